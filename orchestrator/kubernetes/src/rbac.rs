//! What has to be allowed for one environment, as objects for an administrator to look at and to apply. Pure.
//!
//! The cluster's part is applied once: the namespace, and a policy by which the API server itself refuses a driver
//! that has been succeeded. The namespace's part is an account with a Role for every day, and nothing beyond it.

use std::collections::{BTreeMap, BTreeSet};

use neuroca_deploy_core::manifests::Place;
use serde_json::{Value, json};

use crate::names::{EPOCH, MANAGER, Names, STATE};
use crate::rights::{NEEDED, PURGING, SCRAPING};

/// What is done to objects of the user's own.
const OWN: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// What only an administrator may make. `places` are those of the user's own manifests.
pub fn cluster_part(names: &Names, places: &BTreeSet<Place>) -> Vec<Value> {
    let mut labels = names.labels();
    // What is deployed asks for no more; whatever else comes into the namespace is held to the same.
    labels.insert("pod-security.kubernetes.io/enforce".into(), "restricted".into());
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": names.namespace, "labels": labels },
    });
    let mut objects = vec![namespace, policy(names), binding(names)];
    let wide: Vec<&Place> = places.iter().filter(|place| place.namespace.is_none()).collect();
    if !wide.is_empty() {
        let role = role(names, "ClusterRole", own_rules(&wide));
        objects.extend([role, bound(names, "ClusterRole")]);
    }
    objects
}

/// The account, and what it may do in the namespace; with `scrapes`, to ask pods for their counts too.
pub fn namespace_part(names: &Names, places: &BTreeSet<Place>, scrapes: bool) -> Vec<Value> {
    let own = places.iter().filter(|place| place.namespace.as_ref() == Some(&names.namespace));
    let mut rules: Vec<Value> = NEEDED
        .iter()
        .chain(PURGING)
        .chain(if scrapes { SCRAPING } else { &[] })
        .map(|(group, resource, verbs)| rule(group, resource, verbs))
        .collect();
    rules.extend(own_rules(&own.collect::<Vec<_>>()));
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(names, MANAGER, true),
        "automountServiceAccountToken": false,
    });
    vec![account, role(names, "Role", rules), bound(names, "Role")]
}

/// Whoever writes as this tool names the epoch of its lock, and one that is lower than the lock's is refused. The
/// tool's own state is guarded by the versions of its objects instead.
fn policy(names: &Names) -> Value {
    let epoch = format!("object.metadata.annotations['{EPOCH}']");
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata(names, &wide_name(names), false),
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": { "apiVersion": "coordination.k8s.io/v1", "kind": "Lease" },
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"],
                "operations": ["CREATE", "UPDATE"], "scope": "Namespaced",
            }] },
            "matchConditions": [
                {
                    "name": "written-by-a-driver",
                    "expression": format!("has(request.options.fieldManager) && request.options.fieldManager == '{MANAGER}'"),
                },
                // A plan rehearses its writes, and holds no lock.
                { "name": "is-no-rehearsal", "expression": "!(has(request.dryRun) && request.dryRun)" },
                {
                    "name": "is-no-state",
                    "expression": format!("!(has(object.metadata.labels) && '{STATE}' in object.metadata.labels)"),
                },
            ],
            "validations": [{
                "expression": format!(
                    "has(object.metadata.annotations) && '{EPOCH}' in object.metadata.annotations && \
                     int({epoch}) >= params.spec.leaseTransitions"
                ),
                "messageExpression": format!("'{SUCCEEDED}: the lock has epoch ' + string(params.spec.leaseTransitions)"),
            }],
        },
    })
}

/// The words by which the policy refuses; whoever reads them has to stop.
pub(crate) const SUCCEEDED: &str = "another driver took the lock over";

fn binding(names: &Names) -> Value {
    let lock = json!({ "name": names.state(""), "namespace": names.namespace, "parameterNotFoundAction": "Allow" });
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata(names, &wide_name(names), false),
        "spec": {
            "policyName": wide_name(names),
            "validationActions": ["Deny"],
            "paramRef": lock,
            "matchResources": { "namespaceSelector": { "matchLabels": {
                "kubernetes.io/metadata.name": names.namespace,
            } } },
        },
    })
}

/// The name of what has no namespace: it tells two environments of one name in two namespaces apart.
fn wide_name(names: &Names) -> String {
    format!("{MANAGER}.{}.{}", names.namespace, names.instance())
}

fn metadata(names: &Names, name: &str, in_namespace: bool) -> Value {
    let mut metadata = json!({ "name": name, "labels": names.labels() });
    if in_namespace {
        metadata["namespace"] = json!(names.namespace);
    }
    metadata
}

fn role(names: &Names, kind: &str, rules: Vec<Value>) -> Value {
    let (name, inside) = named(names, kind);
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": metadata(names, &name, inside), "rules": rules,
    })
}

fn bound(names: &Names, kind: &str) -> Value {
    let (name, inside) = named(names, kind);
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": metadata(names, &name, inside),
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": MANAGER, "namespace": names.namespace }],
    })
}

fn named(names: &Names, kind: &str) -> (String, bool) {
    match kind {
        "Role" => (MANAGER.to_string(), true),
        _ => (wide_name(names), false),
    }
}

fn own_rules(places: &[&Place]) -> Vec<Value> {
    let mut by_group: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for place in places {
        by_group.entry(&place.kind.group).or_default().insert(&place.plural);
    }
    by_group
        .into_iter()
        .map(|(group, kinds)| json!({ "apiGroups": [group], "resources": kinds, "verbs": OWN }))
        .collect()
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs })
}

#[cfg(test)]
mod tests {
    use neuroca_deploy_core::manifests::Kind;

    use super::*;
    use crate::objects::tests::names;

    fn place(version: &str, kind: &str, plural: &str, namespace: Option<&str>) -> Place {
        Place {
            kind: Kind::new(version, kind),
            plural: plural.into(),
            namespace: namespace.map(String::from),
        }
    }

    #[test]
    fn nothing_is_allowed_beyond_what_is_done() {
        let places = BTreeSet::from([
            place("v1", "ConfigMap", "configmaps", Some("nca")),
            place("batch/v1", "CronJob", "cronjobs", Some("nca")),
            place("v1", "Service", "services", Some("elsewhere")),
            place(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "customresourcedefinitions",
                None,
            ),
        ]);
        let objects = namespace_part(&names(), &places, false);
        let rules = objects[1]["rules"].as_array().expect("rules");
        let has = |group: &str, resource: &str, verb: &str| {
            rules.iter().any(|rule| {
                let lists = |key: &str, word: &str| {
                    rule[key].as_array().is_some_and(|all| all.contains(&json!(word)))
                };
                lists("apiGroups", group) && lists("resources", resource) && lists("verbs", verb)
            })
        };
        assert!(has("batch", "cronjobs", "patch") && has("", "secrets", "create"));
        assert!(!has("", "pods/proxy", "get"), "nobody counts by the pods");
        assert!(
            !has("apiextensions.k8s.io", "customresourcedefinitions", "create"),
            "the cluster's part has it"
        );
        assert!(!objects.iter().any(|object| object.to_string().contains("\"*\"")), "no wildcards");
        let wide = cluster_part(&names(), &places);
        let kinds: Vec<&str> = wide.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(
            kinds,
            [
                "Namespace",
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
                "ClusterRole",
                "ClusterRoleBinding"
            ]
        );
        assert_eq!(
            cluster_part(&names(), &BTreeSet::new()).len(),
            3,
            "no ClusterRole where nothing asks for one"
        );
    }
}
