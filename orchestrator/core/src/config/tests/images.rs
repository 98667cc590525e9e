//! Images of components.

use super::*;

fn told(components: &str) -> String {
    errors(&[&format!("project: demo\nkubernetes: {{}}\ncomponents:\n{components}")]).to_string()
}

#[test]
fn a_component_of_ones_own_needs_an_image_on_a_cluster() {
    let told = told(
        "  api: {artifact: bundled, command: [./neuroca, serve]}\n  web: {artifact: ./web, command: [./run], port: false}\n",
    );
    assert!(told.starts_with("environments/0.yaml:5:3: `web` has no image"), "{told}");
    assert!(told.contains("components.web.kubernetes.image"), "{told}");
    assert!(!told.contains("`api`"), "the bundled service has one: {told}");
}
