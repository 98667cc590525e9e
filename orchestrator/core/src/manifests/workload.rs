//! Which of the user's own objects run something, and are waited for.

use serde_json::Value;

/// Annotation: `"false"` says that nobody waits for this workload to be ready.
pub const UNAWAITED: &str = "neuroca-deploy/wait";

/// Whether a rollout goes on only once it is ready. One that wants no pods, or is held back, has nothing to wait for.
pub fn has_to_be_ready(manifest: &Value) -> bool {
    let spec = &manifest["spec"];
    let group = manifest["apiVersion"].as_str().unwrap_or_default().split('/').next();
    let runs = match (group, manifest["kind"].as_str().unwrap_or_default()) {
        (Some("apps"), "Deployment") => wants_pods(spec) && spec["paused"] != true,
        (Some("apps"), "StatefulSet" | "DaemonSet") => {
            // Such pods are replaced when somebody removes them, whenever that is.
            wants_pods(spec) && spec["updateStrategy"]["type"] != "OnDelete"
        }
        (Some("batch"), "Job") => spec["suspend"] != true,
        _ => false,
    };
    runs && manifest["metadata"]["annotations"][UNAWAITED] != "false"
}

fn wants_pods(spec: &Value) -> bool {
    spec["replicas"] != 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_wants_pods_is_waited_for_unless_it_says_otherwise() {
        let workload = |version: &str, kind: &str, spec: Value| json!({ "apiVersion": version, "kind": kind, "spec": spec });
        for (version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("batch/v1", "Job"),
        ] {
            let mut made = workload(version, kind, json!({}));
            assert!(has_to_be_ready(&made), "{kind}");
            made["metadata"] = json!({ "annotations": { UNAWAITED: "false" } });
            assert!(!has_to_be_ready(&made), "{kind}");
        }
        let idle = [
            workload("apps/v1", "Deployment", json!({ "replicas": 0 })),
            workload("apps/v1", "Deployment", json!({ "paused": true })),
            workload("apps/v1", "StatefulSet", json!({ "updateStrategy": { "type": "OnDelete" } })),
            workload("batch/v1", "Job", json!({ "suspend": true })),
            workload("batch/v1", "CronJob", json!({})),
            workload("example.com/v1", "Deployment", json!({})),
            workload("v1", "ConfigMap", json!({})),
        ];
        for made in idle {
            assert!(!has_to_be_ready(&made), "{made}");
        }
    }
}
