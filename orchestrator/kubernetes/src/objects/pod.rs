//! The pod of a component, for its replicas and for its commands that run to their end.

use serde_json::{Value, json};

use super::{DATA_DIR, PORT, Part, seconds};

/// Nobody in particular, without any right.
const USER: u32 = 65532;
/// From SIGTERM to SIGKILL for what has no requests to end.
const STOPS_WITHIN: u64 = 10;

/// Which process the pod is for.
#[derive(Clone, Copy)]
pub enum For<'a> {
    /// A replica that serves or works.
    Replica,
    /// This command, run to its end, with these variables beside the component's own.
    Command(&'a [String], &'a [(&'a str, String)]),
}

/// The pod's spec.
pub fn pod(part: &Part<'_>, purpose: For<'_>) -> Value {
    let component = &part.spec.spec;
    let settings = part.release.kubernetes.clone().unwrap_or_default();
    let mut container = json!({
        "name": part.component,
        "image": component.kubernetes.image,
        "env": [],
        "envFrom": environment(part),
        "resources": {
            "requests": {
                "cpu": component.kubernetes.cpu,
                "memory": component.kubernetes.memory.0.to_string(),
            },
            "limits": { "memory": memory_limit(part).to_string() },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
        // What a process says last stands in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let mut volumes = vec![json!({ "name": "tmp", "emptyDir": {} })];
    // The bundled service names its revision in its answers and counts.
    if component.artifact == "bundled" && !component.env.contains_key("NEUROCA_REVISION") {
        let revision = part.revision();
        push(&mut container["env"], json!({ "name": "NEUROCA_REVISION", "value": revision }));
    }
    if part.uses_data() {
        push(&mut container["volumeMounts"], json!({ "name": "data", "mountPath": DATA_DIR }));
        let claim = json!({ "claimName": part.names.claim() });
        volumes.push(json!({ "name": "data", "persistentVolumeClaim": claim }));
    }
    let mut grace = STOPS_WITHIN;
    match purpose {
        For::Replica => {
            container["command"] = json!(component.command);
            if component.port {
                listens(part, &mut container);
            }
            grace += component.drain.0.div_ceil(1000);
        }
        For::Command(command, variables) => {
            container["command"] = json!(command);
            for (name, value) in variables {
                push(&mut container["env"], json!({ "name": name, "value": value }));
            }
        }
    }
    let pull: Vec<Value> =
        settings.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    json!({
        "automountServiceAccountToken": false,
        // Names such as NCA_SERVICE_HOST would be unknown parameters to the component.
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": grace,
        "imagePullSecrets": pull,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container],
        "volumes": volumes,
    })
}

/// A port, a probe, and time for requests to end: a pod that goes away still answers what it has, and what
/// is sent to it until everybody knows.
fn listens(part: &Part<'_>, container: &mut Value) {
    let component = &part.spec.spec;
    let health = &component.health;
    push(&mut container["env"], json!({ "name": "PORT", "value": PORT.to_string() }));
    // Probes and requests come from elsewhere; a program may take its own machine for all there is.
    if !component.env.contains_key("HOST") {
        push(&mut container["env"], json!({ "name": "HOST", "value": "0.0.0.0" }));
    }
    container["ports"] = json!([{ "name": "http", "containerPort": PORT, "protocol": "TCP" }]);
    container["readinessProbe"] = json!({
        "httpGet": { "path": health.path, "port": "http" },
        "periodSeconds": seconds(health.interval.0),
        "timeoutSeconds": seconds(health.timeout.0),
        "successThreshold": health.success_threshold,
        "failureThreshold": health.failure_threshold,
    });
    if component.drain.0 > 0 {
        let sleep = json!({ "seconds": seconds(component.drain.0) });
        container["lifecycle"] = json!({ "preStop": { "sleep": sleep } });
    }
}

fn environment(part: &Part<'_>) -> Value {
    let revision = part.revision();
    let mut from = vec![json!({ "configMapRef": { "name": revision } })];
    if part.has_secrets() {
        from.push(json!({ "secretRef": { "name": revision } }));
    }
    json!(from)
}

fn memory_limit(part: &Part<'_>) -> u64 {
    let component = &part.spec.spec;
    component.limits.memory.map_or(2 * component.kubernetes.memory.0, |limit| limit.0)
}

fn push(list: &mut Value, value: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::with_part;

    #[test]
    fn a_replica_has_nothing_that_it_does_not_need() {
        let pod = with_part("api", |part| pod(&part, For::Replica));
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0];
        assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
        let env = container["env"].as_array().expect("a list");
        let names: Vec<_> = env.iter().filter_map(|variable| variable["name"].as_str()).collect();
        assert_eq!(names, ["NEUROCA_REVISION", "PORT", "HOST"]);
        assert_eq!(env[1]["value"], "8000");
        assert_eq!(container["resources"]["limits"]["memory"], (512u64 << 20).to_string());
        let text = pod.to_string();
        assert!(!text.contains("NEUROCA_DB_URL") && !text.contains("SECRET_KEY"), "{text}");
    }

    #[test]
    fn requests_in_flight_have_the_drain_time_before_the_process_is_told_to_stop() {
        let pod = with_part("api", |part| pod(&part, For::Replica));
        assert_eq!(pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 2);
        assert_eq!(pod["terminationGracePeriodSeconds"], 12);
    }

    #[test]
    fn what_does_not_listen_has_no_port_and_no_probe() {
        let pod = with_part("worker", |part| pod(&part, For::Replica));
        let container = &pod["containers"][0];
        assert_eq!(
            (&container["ports"], &container["readinessProbe"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(container["resources"]["limits"]["memory"], (256u64 << 20).to_string());
        assert_eq!(container["envFrom"].as_array().map(Vec::len), Some(1), "no secrets");
    }
}
