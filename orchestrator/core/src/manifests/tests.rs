//! Properties and cases of the decisions about manifests.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::render::RenderedFile;

fn files(text: &str) -> Vec<RenderedFile> {
    vec![RenderedFile { path: "kubernetes/own.yaml".into(), text: text.into() }]
}

fn problems(text: &str) -> Vec<(String, String)> {
    let told = match read(&files(text)) {
        Err(problems) => problems,
        Ok(found) => complete(found, &kinds(), "n").expect_err("something is wrong with it"),
    };
    told.into_iter()
        .map(|p| (p.at, format!("{} / {}", p.message, p.hint.unwrap_or_default())))
        .collect()
}

fn kinds() -> Kinds {
    let kind = |version: &str, kind: &str, plural: &str, namespaced| {
        (Kind::new(version, kind), Served { plural: plural.into(), namespaced })
    };
    Kinds(BTreeMap::from([
        kind("v1", "ConfigMap", "configmaps", true),
        kind("v1", "Namespace", "namespaces", false),
        kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
        kind("apps/v1", "Deployment", "deployments", true),
    ]))
}

fn config(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "n" }, "data": data })
}

/// What a cluster has of a manifest that was applied.
fn applied(manifest: &Manifest) -> Value {
    let mut live = manifest.0.clone();
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["resourceVersion"] = json!("7");
    live["metadata"]["labels"][ENVIRONMENT] = json!("p-e");
    live["metadata"]["annotations"][MANIFEST] = json!(manifest.digest());
    live["metadata"]["managedFields"] = json!([{ "manager": MANAGER, "operation": "Apply" }]);
    live
}

#[test]
fn a_file_holds_many_documents_and_lists_each_with_its_line() {
    let text = "# first\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {mode: \"0644\"}\n---\n---\nkind: List\napiVersion: v1\nitems:\n  \
                - apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: b, uid: x, creationTimestamp: null}\n    status: {}\n  \
                - {apiVersion: v1, kind: Namespace, metadata: {name: c, namespace: wrong}}\n";
    let found = complete(read(&files(text)).expect("readable"), &kinds(), "n").expect("complete");
    let told: Vec<_> =
        found.iter().map(|read| (read.at.clone(), read.manifest.id().to_string())).collect();
    let expected = [
        ("kubernetes/own.yaml:3", "ConfigMap n/a"),
        ("kubernetes/own.yaml:12", "ConfigMap n/b"),
        ("kubernetes/own.yaml:16", "Namespace c"),
    ];
    assert_eq!(told, expected.map(|(at, id)| (at.to_string(), id.to_string())));
    assert_eq!(found[0].manifest.0["data"]["mode"], "0644", "quoted is text");
    assert_eq!(found[1].manifest.0["metadata"], json!({ "name": "b", "namespace": "n" }));
    assert!(found[1].manifest.0.get("status").is_none());
}

#[test]
fn the_tools_own_templates_are_none_of_the_users_manifests() {
    let ours =
        RenderedFile { path: "kubernetes/60-components.yaml".into(), text: "kind: [".into() };
    let readme = RenderedFile { path: "kubernetes/README.md".into(), text: "# x".into() };
    assert_eq!(read(&[ours, readme]), Ok(Vec::new()));
}

#[test]
fn mistakes_have_file_and_line_and_say_what_to_do() {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let twice = problems(&format!("{head}---\n{head}"));
    assert_eq!(twice[0].0, "kubernetes/own.yaml:5");
    assert!(
        twice[0].1.contains("ConfigMap n/a is given twice; first at kubernetes/own.yaml:1"),
        "{twice:?}"
    );

    let old =
        problems("apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}\n");
    assert!(
        old[0].1.contains("removed in Kubernetes 1.25")
            && old[0].1.contains("apiVersion: policy/v1"),
        "{old:?}"
    );

    let misspelt = problems("apiVersion: apps/v1\nkind: Deplyoment\nmetadata: {name: a}\n");
    assert!(misspelt[0].1.contains("did you mean `Deployment`?"), "{misspelt:?}");
    let version = problems("apiVersion: apps/v2\nkind: Deployment\nmetadata: {name: a}\n");
    assert!(version[0].1.contains("it knows it in apps/v1"), "{version:?}");

    let several = problems(
        "kind: ConfigMap\n---\n- 1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n",
    );
    let lines: Vec<&str> =
        several.iter().map(|(at, _)| at.rsplit(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["1", "3", "5"], "all at once: {several:?}");
    assert!(several[2].1.contains("give it a name"), "{several:?}");

    let broken = problems("apiVersion: v1\nkind: [ConfigMap\n");
    assert!(broken[0].0.starts_with("kubernetes/own.yaml:"), "{broken:?}");
    let key =
        problems("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: 1\n  x: 2\n");
    assert_eq!(key[0].0, "kubernetes/own.yaml:6", "{key:?}");
}

#[test]
fn a_secret_in_plain_text_comes_into_no_plan() {
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n";
    let told = problems(secret);
    assert!(told[0].1.contains("Secret s holds its values in plain text"), "{told:?}");
    assert!(!told[0].1.contains("hunter2"));
}

#[test]
fn a_definition_brought_along_makes_its_kind_known() {
    let text = "apiVersion: x.io/v1\nkind: Widget\nmetadata: {name: w}\n---\n\
                {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.x.io}, \
                spec: {group: x.io, scope: Namespaced, names: {kind: Widget, plural: widgets}, versions: [{name: v1}]}}\n";
    let found = read(&files(text)).expect("readable");
    let mut served = kinds();
    served.0.insert(
        Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        Served { plural: "crds".into(), namespaced: false },
    );
    assert!(complete(found.clone(), &served, "n").is_err(), "nobody serves it");
    let brought = served.with_definitions(found.iter().map(|read| &read.manifest));
    let found = complete(found, &brought, "n").expect("known now");
    let graph = Graph::of(found.iter().map(|read| &read.manifest.0));
    assert_eq!(found[1].manifest.id().kind, "Widget");
    assert_eq!(graph.waits, [0, 1], "the definition first");
}

#[test]
fn nothing_is_to_be_done_only_if_nobody_changed_anything() {
    let manifest = Manifest(config("a", json!({ "x": "1" })));
    let live = applied(&manifest);
    let look =
        |manifest: &Manifest, live: &Value| first_look(manifest, &Exists::There(live), "p-e");
    assert_eq!(look(&manifest, &live), FirstLook::Same);
    let mut more = live.clone();
    more["data"]["y"] = json!("somebody else's");
    assert_eq!(look(&manifest, &more), FirstLook::Same, "what we do not say is not ours");
    let mut edited = live.clone();
    edited["data"]["x"] = json!("2");
    assert_eq!(look(&manifest, &edited), FirstLook::Rehearse, "drift");
    let less = Manifest(config("a", json!({})));
    assert_eq!(look(&less, &live), FirstLook::Rehearse, "a field was taken out of the manifest");
    assert_eq!(first_look(&manifest, &Exists::Nowhere, "p-e"), FirstLook::Absent);
}

#[test]
fn whose_an_object_is_shows_by_who_wrote_it() {
    let manifest = Manifest(config("a", json!({})));
    let mut copied = applied(&manifest);
    copied["metadata"]["managedFields"] =
        json!([{ "manager": "kubectl-client-side-apply", "operation": "Update" }]);
    assert!(!is_ours(&copied, "p-e"), "labels come along with a copy");
    assert!(!is_ours(&applied(&manifest), "p-other"));
    let mut helm = config("a", json!({}));
    helm["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("shop");
    let FirstLook::Foreign(owner) = first_look(&manifest, &Exists::There(&helm), "p-e") else {
        panic!("Helm's")
    };
    assert_eq!(owner, "Helm (release shop)");
    assert_eq!(owner_of(&copied), "the environment p-e of neuroca-deploy");
}

fn owner_of(live: &Value) -> String {
    super::owner(live)
}

#[test]
fn whoever_wrote_after_us_is_noticed() {
    let entry = |manager: &str, operation: &str, part: &str, time: &str| json!({ "manager": manager, "operation": operation, "subresource": part, "time": format!("2026-01-01T00:00:{time}Z") });
    let ours = entry(MANAGER, "Apply", "", "05");
    let with = |other: Value| json!({ "metadata": { "managedFields": [ours.clone(), other] } });
    assert!(is_as_written(&with(entry("kubectl-edit", "Update", "", "04"))));
    assert!(is_as_written(&with(entry("kubelet", "Update", "status", "09"))));
    for late in ["05", "06"] {
        assert!(!is_as_written(&with(entry("kubectl-edit", "Update", "", late))), "{late}");
    }
    assert!(!is_as_written(&json!({})));
}

#[test]
fn only_what_is_ours_is_pruned_and_never_what_cannot_be_brought_back() {
    let of = |object: Value| applied(&Manifest(object));
    let mut copied = of(config("copy", json!({})));
    copied["metadata"]["managedFields"] = json!([]);
    let mut going = of(config("going", json!({})));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "n" } });
    let all =
        [of(config("gone", json!({}))), of(config("stays", json!({}))), copied, going, of(claim)];
    let live: BTreeMap<Id, Value> =
        all.into_iter().map(|object| (id_of(&object), object)).collect();
    let wanted = BTreeSet::from([id_of(&config("stays", json!({})))]);
    let (removed, kept) = prune(&live, &wanted, "p-e");
    assert_eq!(removed.iter().map(|c| c.id.name.as_str()).collect::<Vec<_>>(), ["gone"]);
    assert_eq!(kept.iter().map(|id| id.name.as_str()).collect::<Vec<_>>(), ["data"]);
}

#[test]
fn a_rehearsal_says_what_changes_what_is_contested_and_what_has_to_be_replaced() {
    let manifest = Manifest(config("a", json!({ "x": "2" })));
    let read = Read { manifest: manifest.clone(), at: "kubernetes/a.yaml:1".into() };
    let live = applied(&Manifest(config("a", json!({ "x": "1" }))));
    let contested = vec![Contested { field: "data.x".into(), manager: "kubectl-edit".into() }];
    let merged = Rehearsed::Merged(applied(&manifest), contested.clone());
    let change = decide(&read, &live, None, merged).expect("no problem").expect("a change");
    assert_eq!((change.action, &change.contested), (Action::Update, &contested));
    let field =
        FieldChange { field: "data.x".into(), from: Some("1".into()), to: Some("2".into()) };
    assert_eq!(change.fields, [field]);

    let immutable = || Rehearsed::Immutable("data: field is immutable".into());
    let change = decide(&read, &live, None, immutable()).expect("no problem").expect("a change");
    assert_eq!(change.action, Action::Replace);
    assert!(
        change
            .note
            .is_some_and(|note| note.contains("field is immutable; it is not there for a moment"))
    );
    let mut claim = live.clone();
    claim["kind"] = json!("PersistentVolumeClaim");
    assert!(decide(&read, &claim, None, immutable()).is_err(), "its data would be lost");

    let same =
        decide(&read, &applied(&manifest), None, Rehearsed::Merged(applied(&manifest), Vec::new()));
    assert_eq!(same, Ok(None));
}

#[test]
fn quantities_are_the_same_in_any_unit_and_other_texts_are_not() {
    let with = |cpu: Value, memory: &str| json!({ "resources": { "requests": { "cpu": cpu, "memory": memory } } });
    assert!(says(&with(json!("1"), "1Gi"), &with(json!("1000m"), "1024Mi")));
    assert!(says(&with(json!("2"), "1Gi"), &with(json!(2), "1Gi")));
    assert!(says(&with(json!("500m"), "1Gi"), &with(json!("0.5"), "1Gi")));
    assert!(!says(&with(json!("1"), "1Gi"), &with(json!("1"), "1G")));
    assert!(!says(&json!({ "data": { "a": "1" } }), &json!({ "data": { "a": "1000m" } })));
}

#[test]
fn what_is_named_is_there_before_what_names_it() {
    let pod = json!({ "spec": {
        "serviceAccountName": "sa",
        "volumes": [{ "configMap": { "name": "files" } }],
        "containers": [{ "envFrom": [{ "configMapRef": { "name": "env" } }] }],
    }});
    let objects = [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "n" }, "spec": { "template": pod } }),
        config("env", json!({})),
        config("files", json!({})),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "n" } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "sa", "namespace": "n" } }),
    ];
    let graph = Graph::of(objects.iter());
    assert_eq!(graph.waits, [4, 1, 1, 0, 1]);
    assert_eq!(graph.reversed().waits, [0, 1, 1, 4, 1], "removed the other way round");
}

/// A small value of any shape.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..9).prop_map(Value::from),
        "[a-c]{1,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 1..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn two_values_differ_exactly_if_a_difference_is_told(old in value(), new in value()) {
        prop_assert_eq!(differences(&old, &new).is_empty(), old == new);
        prop_assert!(says(&old, &old));
        // Whoever says all of the other and the other way round says the same.
        prop_assert_eq!(says(&old, &new) && says(&new, &old), old == new);
    }

    #[test]
    fn json_is_read_as_it_is(value in value()) {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {value}\n");
        let found = read(&files(&text)).expect("readable");
        prop_assert_eq!(&found[0].manifest.0["data"], &value);
    }

    #[test]
    fn every_object_has_its_turn_after_what_it_needs(
        names in prop::collection::btree_map("[a-f]", prop::collection::vec("[a-f]", 0..3), 1..6),
    ) {
        let mut objects: Vec<Value> = names.keys().map(|name| config(name, json!({}))).collect();
        for (name, needs) in &names {
            let env: Vec<Value> = needs.iter().map(|need| json!({ "configMapRef": { "name": need } })).collect();
            objects.insert(0, json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "n" },
                "spec": { "containers": [{ "envFrom": env }] } }));
        }
        for graph in [Graph::of(objects.iter()), Graph::of(objects.iter()).reversed()] {
            let (mut waits, mut ready) = (graph.waits.clone(), Vec::new());
            ready.extend((0..waits.len()).filter(|n| graph.waits[*n] == 0));
            let mut done = 0;
            while let Some(n) = ready.pop() {
                done += 1;
                for dependent in &graph.dependents[n] {
                    waits[*dependent] -= 1;
                    if waits[*dependent] == 0 {
                        ready.push(*dependent);
                    }
                }
            }
            prop_assert_eq!(done, objects.len(), "nobody waits for ever");
        }
    }
}
