//! The replicas of one revision. Its pods never change: what would change them is another revision.

use serde_json::{Value, json};

use super::pod::{For, pod};
use super::{Part, seconds};
use crate::names::{CRASH_LOOP, REVISION, ROLE};

/// The Deployment, with the release's number of replicas.
pub fn deployment(part: &Part<'_>) -> Value {
    let component = &part.spec.spec;
    let revision = part.revision();
    let selector = json!({ "matchLabels": { REVISION: revision } });
    let mut metadata = part.metadata(&revision.0);
    let failures = component.restart.crash_loop_failures.to_string();
    metadata["annotations"] = json!({ CRASH_LOOP: failures });
    let mut spec = pod(part, For::Replica);
    // Not all of them on one machine or in one zone, where there are several.
    let spread = |key: &str| {
        json!({
            "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
        })
    };
    spec["topologySpreadConstraints"] =
        json!([spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")]);
    let mut labels = part.names.labels_of(part.component, &revision);
    labels.insert(ROLE.into(), "serving".into());
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": component.replicas,
            "selector": selector,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": seconds(component.health.start_timeout.0).max(2),
            "template": {
                "metadata": { "labels": labels },
                "spec": spec,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::{FILE, names, release, with_part};

    #[test]
    fn pods_are_selected_by_their_revision_alone() {
        let deployment = with_part("api", |part| deployment(&part));
        let selected = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(selected, &json!({ REVISION: deployment["metadata"]["name"] }));
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels[REVISION], deployment["metadata"]["name"]);
        assert_eq!(deployment["spec"]["replicas"], 2);
    }

    #[test]
    fn another_image_or_another_value_is_another_revision_and_another_size_is_not() {
        let names = names();
        let name = |file: &str| {
            let release = release(file);
            let spec = &release.components["api"];
            let part = Part { names: &names, release: &release, component: "api", spec };
            deployment(&part)["metadata"]["name"].clone()
        };
        assert_ne!(name(FILE), name(&FILE.replace("sha256:12, cpu", "sha256:13, cpu")));
        assert_ne!(name(FILE), name(&FILE.replace("nca.db", "other.db")));
        assert_ne!(name(FILE), name(&FILE.replace("cpu: 250m", "cpu: 300m")));
        assert_eq!(name(FILE), name(&FILE.replace("replicas: 2", "replicas: 3")));
    }
}
