//! Releases to deploy in the simulated world.

use std::collections::BTreeMap;

use neuroca_deploy_core::config::model::{Component, Edge, Retention, RolloutPolicy, Strategy};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::release::{ComponentRelease, Release};

/// A component as an environment file gives it: defaults and what a test cares about.
fn component(port: bool, replicas: u32, hooks: bool) -> Component {
    let json = serde_json::json!({
        "artifact": "app", "command": ["./app"], "port": port, "replicas": replicas,
        "drain": "10s",
        "hooks": if hooks {
            serde_json::json!({"pre_deploy": ["a"], "smoke_test": ["b"], "post_deploy": ["c"]})
        } else {
            serde_json::json!({})
        },
        "migrate": if hooks { Some(["m"]) } else { None },
    });
    serde_json::from_value(json).expect("a valid component")
}

/// `api` with hooks, `web`, and `worker` without a port, at a version.
pub fn release(version: &str, strategy: Strategy) -> Release {
    let parts = [("api", true, 2, true), ("web", true, 1, false), ("worker", false, 1, false)];
    let components = parts.into_iter().map(|(name, port, replicas, hooks)| {
        let release = ComponentRelease {
            artifact: Digest::of_bytes(format!("{name} {version}").as_bytes()),
            spec: component(port, replicas, hooks),
            secrets: BTreeMap::new(),
            restarted: None,
        };
        (name.to_string(), release)
    });
    Release {
        project: "test".into(),
        environment: "simulated".into(),
        version: Some(version.into()),
        components: components.collect(),
        edge: Edge::default(),
        rollout: RolloutPolicy { strategy, ..Default::default() },
        retention: Retention::default(),
        rendered: BTreeMap::new(),
    }
}
