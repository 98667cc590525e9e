//! Workloads in manifests, on a cluster with pods: waited for until they are ready, and told at once when they will not be.

use std::time::{Duration, Instant};

use crate::project::{Project, config};

/// A Deployment of one pod, and what else its container says.
fn deployment(image: &str, env: &str, path: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
        - name: web
          image: {image}
          env: [{{name: SPECIMEN_HOST, value: 0.0.0.0}}, {{name: PORT, value: \"8000\"}}, {env}]
          resources: {{requests: {{cpu: 10m, memory: 32Mi}}}}
          readinessProbe: {{httpGet: {{path: {path}, port: 8000}}, periodSeconds: 1}}
          securityContext:
            allowPrivilegeEscalation: false
            runAsNonRoot: true
            runAsUser: 65532
            capabilities: {{drop: [ALL]}}
            seccompProfile: {{type: RuntimeDefault}}
---
"
    )
}

const IMAGE: &str = "cluster.test/specimen:1";

#[test]
fn an_apply_ends_when_the_workloads_of_its_manifests_are_ready_and_a_crash_turns_it_back() {
    let Some(project) = Project::with_pods("workloads") else { return };
    let good = deployment(IMAGE, "", "/health");
    project.write("kubernetes/web.yaml", &(good.clone() + &config("settings", "x", "1")));
    project.apply(0);
    let ready =
        || project.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"]);
    assert_eq!(ready(), "1", "ready when the command ends, not some time later");

    let crashing = deployment(IMAGE, "{name: SPECIMEN_ERRORS, value: none}", "/health");
    project.write("kubernetes/web.yaml", &(crashing + &config("settings", "x", "2")));
    let told = project.apply(5);
    let namespace = &project.namespace;
    assert!(
        told.contains(&format!("Deployment {namespace}/web will not become ready: exited with")),
        "{told}"
    );
    assert!(told.contains("Back-off restarting failed container"), "its event: {told}");
    assert!(told.contains("| error: invalid value 'none'"), "its last lines: {told}");
    assert_eq!(project.value("settings", "x"), "1", "taken back");
    assert_eq!(ready(), "1", "the pod of before serves");

    // The same again after it was mended: a pod that crashed before says nothing about it.
    project.write("kubernetes/web.yaml", &(good + &config("settings", "x", "3")));
    project.apply(0);
    assert_eq!((ready(), project.value("settings", "x")), ("1".into(), "3".into()));
}

#[test]
fn what_keeps_a_workload_from_being_ready_is_told_while_it_is_waited_for() {
    let Some(project) = Project::with_pods("stuck") else { return };
    project.write(
        "kubernetes/web.yaml",
        &deployment(IMAGE, "{name: SPECIMEN_ERRORS, value: \"1\"}", "/nowhere"),
    );
    let began = Instant::now();
    let mut child = project
        .command(&["apply", "staging", "-y"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let stderr = child.stderr.take().expect("a pipe");
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let mut told = Vec::new();
    while !told.iter().any(|line: &String| line.contains("Readiness probe failed")) {
        let left = Duration::from_secs(60).saturating_sub(began.elapsed());
        told.push(
            receive.recv_timeout(left).unwrap_or_else(|_| panic!("nothing is told: {told:?}")),
        );
    }
    assert!(told.iter().any(|line| line.contains("statuscode: 500")), "{told:?}");
    // It can still be turned back while it waits.
    project.run(0, &["rollout", "abort", "staging"]);
    assert_eq!(child.wait().expect("it ends").code(), Some(8));
    assert_eq!(project.names("deployment"), [""; 0]);
}

#[test]
fn a_job_that_fails_and_a_quota_are_told_with_their_cause() {
    let Some(project) = Project::with_pods("ends") else { return };
    project.kubectl(&["create", "namespace", &project.namespace]);
    let job = format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: once}}, spec: {{backoffLimit: 0, template: {{spec: {{restartPolicy: \
         Never, containers: [{{name: c, image: '{IMAGE}', env: [{{name: SPECIMEN_ERRORS, value: none}}]}}]}}}}}}}}"
    );
    project.write("kubernetes/a.yaml", &job);
    let told = project.apply(5);
    assert!(told.contains("/once will not become ready: failed"), "{told}");
    assert!(told.contains("| error: invalid value 'none'"), "its last lines: {told}");
    project.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    project.write("kubernetes/a.yaml", &deployment(IMAGE, "", "/health"));
    let told = project.apply(5);
    assert!(
        told.contains("its pods are refused") && told.contains("exceeded quota: none"),
        "{told}"
    );
    assert_eq!(project.names("deployment"), [""; 0]);
}
