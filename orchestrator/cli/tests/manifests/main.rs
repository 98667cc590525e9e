//! Manifests of the user's own, through the real binary on a real API server: planned, applied, pruned, gone back
//! from, raced and destroyed. What `kubectl` finds afterwards is what counts.
#![allow(clippy::print_stderr)] // what is left out is said

mod failing;
mod large;
mod project;
mod races;
mod refused;
mod rights;
mod webhook;

use project::{Project, config};
use serde_json::json;

const MIXED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
        - name: web
          image: web:1
          resources: {requests: {cpu: 1000m, memory: 1024Mi}}
          envFrom: [{configMapRef: {name: settings}}]
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ServiceAccount, metadata: {name: web}}
  - {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
  - {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: web}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
  - apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata: {name: web}
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}
    subjects: [{kind: ServiceAccount, name: web}]
"#;

/// A kind of one test's own, with an object of it before it, and a namespace.
fn widgets(group: &str, namespace: &str) -> String {
    format!(
        "{{apiVersion: {group}/v1, kind: Widget, metadata: {{name: w, namespace: {namespace}}}, spec: {{size: 3}}}}\n---\n\
         {{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}\n---\n\
         apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.{group}}}\n\
         spec:\n  group: {group}\n  scope: Namespaced\n  names: {{plural: widgets, singular: widget, kind: Widget}}\n  \
         versions:\n    - name: v1\n      served: true\n      storage: true\n      \
         schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
    )
}

#[test]
fn from_nothing_to_everything_to_nothing() {
    let Some(project) = Project::new("whole") else { return };
    project.write("kubernetes/settings.yaml", &config("settings", "a", "1"));
    project.write("kubernetes/more/web.yaml", MIXED);
    let shown = project.run(2, &["plan", "staging", "--detailed-exitcode"]);
    assert!(
        shown.contains("+ ConfigMap") && shown.contains("(kubernetes/settings.yaml:1)"),
        "{shown}"
    );
    assert!(
        project.kubectl(&["get", "namespace", "--ignore-not-found", &project.namespace]).is_empty(),
        "a plan writes nothing"
    );
    project.apply(0);
    assert_eq!(project.value("settings", "a"), "1");
    assert_eq!(project.names("rolebinding"), ["web"]);

    // Quantities were written in another unit than the cluster keeps them in.
    project.run(0, &["plan", "staging", "--detailed-exitcode"]);
    assert_eq!(project.json(&["plan", "staging"])["manifests"]["unchanged"], 6);

    project.write(
        "kubernetes/settings.yaml",
        &format!("{}{}", config("settings", "a", "2"), config("added", "b", "1")),
    );
    let shown = project.run(2, &["plan", "staging", "--detailed-exitcode"]);
    assert!(shown.contains("data.a  1 → 2"), "{shown}");
    project.apply(0);
    assert_eq!(
        (project.value("settings", "a"), project.value("added", "b")),
        ("2".into(), "1".into())
    );

    project.kubectl_apply(&config("stranger", "x", "1").replace("---\n", ""), &[]);
    project.write("kubernetes/settings.yaml", &config("settings", "a", "3"));
    let shown = project.apply(0);
    assert!(shown.contains("- ConfigMap"), "{shown}");
    assert_eq!(project.names("configmap"), ["settings", "stranger"], "only what is ours is pruned");

    project.run(0, &["rollback", "staging", "-y"]);
    assert_eq!(
        (project.value("settings", "a"), project.value("added", "b")),
        ("2".into(), "1".into())
    );

    project.run(0, &["destroy", "staging", "-y", "--purge"]);
    assert_eq!(project.names("configmap"), ["stranger"]);
    for kind in
        ["deployment", "service", "serviceaccount", "role", "rolebinding", "secret", "lease"]
    {
        assert_eq!(project.names(kind), [""; 0], "{kind}");
    }
}

#[test]
fn a_namespace_a_definition_and_an_object_of_it_come_in_one_plan_and_stay_until_purged() {
    let Some(project) = Project::new("crd") else { return };
    let (group, other) =
        (format!("{}.example.com", project.namespace), format!("{}-too", project.namespace));
    project.write("kubernetes/all.yaml", &widgets(&group, &other));
    project.apply(0);
    let size = || {
        project.kubectl(&[
            "-n",
            &other,
            "get",
            &format!("widgets.{group}"),
            "w",
            "-o",
            "jsonpath={.spec.size}",
        ])
    };
    assert_eq!(size(), "3");
    project.write("kubernetes/all.yaml", &config("only", "a", "1"));
    let shown = project.apply(0);
    assert!(shown.contains("Namespace") && shown.contains("stays, since"), "{shown}");
    project.kubectl(&["get", "crd", &format!("widgets.{group}")]);
    project.kubectl(&["get", "namespace", &other]);
    project.run(0, &["destroy", "staging", "-y", "--purge"]);
    let left = project.kubectl(&["get", "crd", "--ignore-not-found", &format!("widgets.{group}")]);
    assert_eq!(left, "");
}

#[test]
fn what_others_changed_is_named_and_what_cannot_change_is_replaced() {
    let Some(project) = Project::new("drift") else { return };
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: None, ports: [{port: 80}]}\n";
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.write("kubernetes/b.yaml", service);
    project.write(
        "kubernetes/c.yaml",
        &MIXED
            .replace("serviceAccountName: web\n", "serviceAccountName: default\n")
            .replace("name: settings", "name: a"),
    );
    project.remove("kubernetes/b.yaml");
    project.apply(0);
    project.kubectl(&[
        "patch",
        "configmap",
        "a",
        "--field-manager=somebody",
        "--type=merge",
        "-p",
        r#"{"data":{"x":"9"}}"#,
    ]);
    let shown = project.run(2, &["plan", "staging", "--detailed-exitcode"]);
    assert!(
        shown.contains("data.x  9 → 1") && shown.contains("data.x is set by `somebody`"),
        "{shown}"
    );
    project.apply(0);
    assert_eq!(project.value("a", "x"), "1");

    let uid = || project.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.metadata.uid}"]);
    let before = uid();
    let moved = MIXED
        .replace("app: web}}\n  template", "app: new}}\n  template")
        .replace("labels: {app: web}", "labels: {app: new}");
    project.write(
        "kubernetes/c.yaml",
        &moved
            .replace("serviceAccountName: web\n", "serviceAccountName: default\n")
            .replace("name: settings", "name: a"),
    );
    let shown = project.run(2, &["plan", "staging", "--detailed-exitcode"]);
    assert!(
        shown.contains("-/+ Deployment")
            && shown.contains("field is immutable; ALL ITS PODS ARE STOPPED"),
        "{shown}"
    );
    project.apply(0);
    assert_ne!(uid(), before);
}

#[test]
fn what_belongs_to_others_is_taken_over_only_when_asked_for() {
    let Some(project) = Project::new("adopt") else { return };
    project.kubectl(&["create", "namespace", &project.namespace]);
    project.kubectl_apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {app.kubernetes.io/managed-by: Helm}\n  annotations: {meta.helm.sh/release-name: shop}\ndata: {x: \"1\", theirs: \"1\"}\n",
        &["--server-side"],
    );
    project.write("kubernetes/a.yaml", &config("a", "x", "2"));
    let refused = project.apply(6);
    assert!(
        refused.contains("kubernetes/a.yaml:1: ConfigMap")
            && refused.contains("belongs to Helm (release shop)"),
        "{refused}"
    );
    assert!(refused.contains("--adopt"), "{refused}");
    assert_eq!(project.value("a", "x"), "1");
    let shown = project.run(0, &["plan", "staging", "--adopt"]);
    assert!(
        shown.contains("> ConfigMap") && shown.contains("it belongs to Helm (release shop)"),
        "{shown}"
    );
    project.run(0, &["apply", "staging", "-y", "--adopt"]);
    assert_eq!((project.value("a", "x"), project.value("a", "theirs")), ("2".into(), "1".into()));
    project.run(0, &["plan", "staging", "--detailed-exitcode"]);
}

#[test]
fn mistakes_are_told_before_anything_is_written() {
    let Some(project) = Project::new("wrong") else { return };
    let told = |text: &str, code: i32, words: &[&str]| {
        project.write("kubernetes/a.yaml", text);
        project.run(code, words)
    };
    let twice = format!("{0}{0}", config("a", "x", "1"));
    let text = told(&twice, 64, &["apply", "staging", "-y"]);
    assert!(
        text.contains("kubernetes/a.yaml:6: ConfigMap") && text.contains("given twice"),
        "{text}"
    );
    let text = told(
        "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n",
        64,
        &["plan", "staging"],
    );
    assert!(
        text.contains("kubernetes/a.yaml:1") && text.contains("was removed in Kubernetes 1.25"),
        "{text}"
    );
    project.kubectl(&["create", "namespace", &project.namespace]);
    let text = told(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatta: {x: y}\n",
        64,
        &["plan", "staging"],
    );
    assert!(
        text.contains("kubernetes/a.yaml:1: the cluster refuses ConfigMap")
            && text.contains("datta"),
        "{text}"
    );
    let text = told("kind: ConfigMap\n", 64, &["validate", "staging"]);
    assert!(text.contains("kubernetes/a.yaml:1: this object has no `apiVersion`"), "{text}");
    assert_eq!(project.names("configmap"), [""; 0]);
    assert_eq!(project.names("secret"), [""; 0], "no state of a run that never began");
}

#[test]
fn a_run_that_fails_half_way_leaves_things_as_they_were() {
    let Some(project) = Project::new("half") else { return };
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.apply(0);
    // The service account is made, and what needs it refused: only the write itself finds out.
    let bad = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "serviceAccountName": "late", "containers": [{ "name": "c", "image": "c", "securityContext": { "privileged": true } }] } });
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: late}\n---\n";
    project.write("kubernetes/a.yaml", &format!("{}{account}{bad}\n", config("a", "x", "2")));
    let failed = project.apply(1);
    assert!(failed.contains("PodSecurity") || failed.contains("privileged"), "{failed}");
    assert_eq!(project.value("a", "x"), "1", "taken back");
    assert_eq!(project.names("serviceaccount"), [""; 0]);
    project.write("kubernetes/a.yaml", &config("a", "x", "1"));
    project.run(0, &["plan", "staging", "--detailed-exitcode"]);
}
