//! The settings of a cluster, and what is refused for one.

use super::*;
use crate::config::model::{ComponentOnKubernetes, TargetKind};
use crate::config::units::Bytes;

/// A whole environment for a cluster; tests break it.
const CLUSTER: &str = "\
project: demo
target: kubernetes
kubernetes:
  context: staging
  gateway: {name: edge, namespace: gateways}
components:
  web:
    artifact: ./web
    command: [./run]
    kubernetes:
      image: registry.example.com/web@sha256:0123
";

#[test]
fn a_cluster_needs_little_more_than_images_and_a_gateway() {
    let environment = resolved(&[CLUSTER]).environment;
    assert_eq!(environment.target, TargetKind::Kubernetes);
    let settings = environment.kubernetes.expect("given");
    assert_eq!(settings.namespace_of("demo", "staging"), "demo-staging");
    let web = &environment.components["web"].kubernetes;
    assert_eq!((web.cpu.as_str(), web.memory), ("100m", Bytes(128 << 20)));
}

#[test]
fn one_machine_is_told_nothing_of_it() {
    let environment = resolved(&[SMALL]).environment;
    assert_eq!(environment.kubernetes, None);
    assert_eq!(environment.components["web"].kubernetes, ComponentOnKubernetes::default());
    let json = serde_json::to_string(&environment).expect("JSON");
    assert!(!json.contains("kubernetes"), "ids of releases depend on this: {json}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let with = |from: &str, to: &str| {
        assert!(CLUSTER.contains(from), "{from}");
        let found = errors(&[&CLUSTER.replace(from, to)]);
        found.to_string()
    };
    let image = "      image: registry.example.com/web@sha256:0123\n";
    for (from, to, line, what) in [
        (image, "      cpu: 500m\n", 10, "`web` has no image, and Kubernetes runs images"),
        (image, "      image: http://x/y\n", 11, "names no image"),
        (image, "      image: x\n      cpu: 250mm\n", 12, "must be an amount of CPU, not `250mm`"),
        (image, "      image: x\n      memory: 0B\n", 12, "must be more than 0B"),
        ("  gateway: {name: edge, namespace: gateways}\n", "", 3, "`web` listens, and no Gateway"),
        ("name: edge", "name: Edge", 5, "`kubernetes.gateway.name`: `Edge` is no valid name"),
        ("namespace: gateways", "address: http://a:80", 5, "must be host:port"),
        ("  context: staging", "  namespace: Staging", 4, "`Staging` is no name for a namespace"),
        (
            "\ncomponents:",
            "\nedge: {sticky: {cookie: a}}\ncomponents:",
            6,
            "`edge.sticky` is for the edge proxy",
        ),
        ("context:", "contxt:", 4, "did you mean `context`?"),
        ("target: kubernetes", "target: kubernets", 2, "did you mean `kubernetes`?"),
    ] {
        let told = with(from, to);
        assert!(told.contains(what), "{to}: {told}");
        assert!(told.contains(&format!("environments/0.yaml:{line}:")), "{to}: {told}");
    }
}
