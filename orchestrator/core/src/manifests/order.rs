//! In which order: an object after everything that it needs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds::defines;
use super::{Id, id_of};

/// Who waits for whom, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// How many each one waits for.
    pub waits: Vec<usize>,
    /// Who waits for each one.
    pub dependents: Vec<Vec<usize>>,
}

impl Graph {
    /// For bringing about: namespaces and definitions before what is in them, what is named before what names it.
    pub fn of<'a>(objects: impl Iterator<Item = &'a Value>) -> Self {
        let objects: Vec<&Value> = objects.collect();
        let ids: BTreeMap<Id, usize> =
            objects.iter().enumerate().map(|(n, object)| (id_of(object), n)).collect();
        let definitions: BTreeMap<(String, String), usize> = objects
            .iter()
            .enumerate()
            .filter_map(|(n, object)| Some((defines(object)?, n)))
            .collect();
        let mut graph =
            Self { waits: vec![0; objects.len()], dependents: vec![Vec::new(); objects.len()] };
        for (n, object) in objects.iter().enumerate() {
            let id = id_of(object);
            let mut needs: Vec<usize> =
                needs(object, &id).iter().filter_map(|id| ids.get(id).copied()).collect();
            needs.extend(definitions.get(&(id.group, id.kind)));
            needs.sort_unstable();
            needs.dedup();
            for needed in needs.into_iter().filter(|needed| *needed != n) {
                graph.waits[n] += 1;
                graph.dependents[needed].push(n);
            }
        }
        graph
    }

    /// For taking away: the other way round.
    pub fn reversed(&self) -> Self {
        let mut turned = Self {
            waits: self.dependents.iter().map(Vec::len).collect(),
            dependents: vec![Vec::new(); self.waits.len()],
        };
        for (needed, dependents) in self.dependents.iter().enumerate() {
            dependents.iter().for_each(|dependent| turned.dependents[*dependent].push(needed));
        }
        turned
    }
}

/// What an object names that has to be there before. Only kinds whose references lead one way: there is no circle.
fn needs(object: &Value, id: &Id) -> Vec<Id> {
    let mut needs = Vec::new();
    let namespace = id.namespace.as_deref();
    if let Some(namespace) = namespace {
        needs.push(named("", "Namespace", None, namespace));
    }
    let spec = &object["spec"];
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Pod") => pod(spec, namespace, &mut needs),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
            pod(&spec["template"]["spec"], namespace, &mut needs);
        }
        ("batch", "CronJob") => {
            pod(&spec["jobTemplate"]["spec"]["template"]["spec"], namespace, &mut needs)
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            binding(object, namespace, &mut needs)
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            let policy = spec["policyName"].as_str().unwrap_or_default();
            needs.push(named(
                "admissionregistration.k8s.io",
                "ValidatingAdmissionPolicy",
                None,
                policy,
            ));
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            for hook in object["webhooks"].as_array().into_iter().flatten() {
                let service = &hook["clientConfig"]["service"];
                if let Some(name) = service["name"].as_str() {
                    needs.push(named("", "Service", service["namespace"].as_str(), name));
                }
            }
        }
        ("", "PersistentVolumeClaim") => {
            if let Some(class) = spec["storageClassName"].as_str() {
                needs.push(named("storage.k8s.io", "StorageClass", None, class));
            }
        }
        _ => {}
    }
    needs
}

fn binding(object: &Value, namespace: Option<&str>, needs: &mut Vec<Id>) {
    let role = &object["roleRef"];
    let kind = role["kind"].as_str().unwrap_or_default();
    let home = namespace.filter(|_| kind == "Role");
    needs.push(named(
        "rbac.authorization.k8s.io",
        kind,
        home,
        role["name"].as_str().unwrap_or_default(),
    ));
    for subject in object["subjects"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|s| s["kind"] == "ServiceAccount")
    {
        let home = subject["namespace"].as_str().or(namespace);
        needs.push(named("", "ServiceAccount", home, subject["name"].as_str().unwrap_or_default()));
    }
}

fn pod(spec: &Value, namespace: Option<&str>, needs: &mut Vec<Id>) {
    let mut need = |kind: &str, name: &Value| {
        if let Some(name) = name.as_str() {
            needs.push(named("", kind, namespace, name));
        }
    };
    need("ServiceAccount", &spec["serviceAccountName"]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for volume in list(&spec["volumes"]) {
        need("ConfigMap", &volume["configMap"]["name"]);
        need("Secret", &volume["secret"]["secretName"]);
        need("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]);
        for source in list(&volume["projected"]["sources"]) {
            need("ConfigMap", &source["configMap"]["name"]);
            need("Secret", &source["secret"]["name"]);
        }
    }
    for container in list(&spec["containers"]).into_iter().chain(list(&spec["initContainers"])) {
        for source in list(&container["envFrom"]) {
            need("ConfigMap", &source["configMapRef"]["name"]);
            need("Secret", &source["secretRef"]["name"]);
        }
        for variable in list(&container["env"]) {
            need("ConfigMap", &variable["valueFrom"]["configMapKeyRef"]["name"]);
            need("Secret", &variable["valueFrom"]["secretKeyRef"]["name"]);
        }
    }
    if let Some(class) = spec["priorityClassName"].as_str() {
        needs.push(named("scheduling.k8s.io", "PriorityClass", None, class));
    }
}

fn named(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Id {
    Id {
        group: group.into(),
        kind: kind.into(),
        namespace: namespace.map(String::from),
        name: name.into(),
    }
}
