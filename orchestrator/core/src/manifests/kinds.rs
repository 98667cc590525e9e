//! Kinds of objects, and which of them a cluster serves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Manifest;

/// A kind in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// How a kind is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The word in paths, such as `configmaps`.
    pub plural: String,
    pub namespaced: bool,
}

/// What a cluster serves.
#[derive(Debug, Clone, Default)]
pub struct Kinds(pub BTreeMap<Kind, Served>);

/// Where objects of a kind are: what one list asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub kind: Kind,
    pub plural: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Kind {
    /// `apiVersion` and `kind` as manifests write them.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.into(), version: version.into(), kind: kind.into() }
    }

    pub fn api_version(&self) -> String {
        match self.group.is_empty() {
            true => self.version.clone(),
            false => format!("{}/{}", self.group, self.version),
        }
    }

    /// Whether two name the same kind, in whatever version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl Kinds {
    /// With the kinds that these manifests bring along, which a cluster does not serve yet.
    pub fn with_definitions<'a>(mut self, manifests: impl Iterator<Item = &'a Manifest>) -> Self {
        for manifest in manifests {
            let spec = &manifest.0["spec"];
            let (Some((group, kind)), Some(plural)) =
                (defines(&manifest.0), spec["names"]["plural"].as_str())
            else {
                continue;
            };
            let namespaced = spec["scope"] == "Namespaced";
            for version in spec["versions"].as_array().into_iter().flatten() {
                let version = version["name"].as_str().unwrap_or_default().to_string();
                let kind = Kind { group: group.clone(), version, kind: kind.clone() };
                let served = Served { plural: plural.into(), namespaced };
                self.0.entry(kind).or_insert(served);
            }
        }
        self
    }

    pub fn get(&self, kind: &Kind) -> Option<&Served> {
        self.0.get(kind)
    }
}

/// The group and kind that a CustomResourceDefinition defines.
pub(super) fn defines(object: &Value) -> Option<(String, String)> {
    if object["kind"] != "CustomResourceDefinition" {
        return None;
    }
    let spec = &object["spec"];
    Some((spec["group"].as_str()?.into(), spec["names"]["kind"].as_str()?.into()))
}

/// What a version that is served nowhere any more was removed in, and what takes its place.
pub(super) fn removed(kind: &Kind) -> Option<(&'static str, &'static str)> {
    let is = |group: &str, versions: &[&str], kinds: &[&str]| {
        kind.group == group
            && versions.contains(&kind.version.as_str())
            && (kinds.is_empty() || kinds.contains(&kind.kind.as_str()))
    };
    let removed: [(bool, &str, &str); 20] = [
        (is("extensions", &["v1beta1"], &["Ingress"]), "1.22", "networking.k8s.io/v1"),
        (is("extensions", &["v1beta1"], &["NetworkPolicy"]), "1.16", "networking.k8s.io/v1"),
        (is("extensions", &["v1beta1"], &["PodSecurityPolicy"]), "1.25", ""),
        (is("extensions", &["v1beta1"], &[]), "1.16", "apps/v1"),
        (is("apps", &["v1beta1", "v1beta2"], &[]), "1.16", "apps/v1"),
        (
            is("networking.k8s.io", &["v1beta1"], &["Ingress", "IngressClass"]),
            "1.22",
            "networking.k8s.io/v1",
        ),
        (
            is("rbac.authorization.k8s.io", &["v1alpha1", "v1beta1"], &[]),
            "1.22",
            "rbac.authorization.k8s.io/v1",
        ),
        (is("apiextensions.k8s.io", &["v1beta1"], &[]), "1.22", "apiextensions.k8s.io/v1"),
        (
            is(
                "admissionregistration.k8s.io",
                &["v1beta1"],
                &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
            ),
            "1.22",
            "admissionregistration.k8s.io/v1",
        ),
        (is("apiregistration.k8s.io", &["v1beta1"], &[]), "1.22", "apiregistration.k8s.io/v1"),
        (
            is("scheduling.k8s.io", &["v1alpha1", "v1beta1"], &["PriorityClass"]),
            "1.22",
            "scheduling.k8s.io/v1",
        ),
        (is("coordination.k8s.io", &["v1beta1"], &["Lease"]), "1.22", "coordination.k8s.io/v1"),
        (
            is(
                "storage.k8s.io",
                &["v1beta1"],
                &["StorageClass", "VolumeAttachment", "CSIDriver", "CSINode"],
            ),
            "1.22",
            "storage.k8s.io/v1",
        ),
        (is("storage.k8s.io", &["v1beta1"], &["CSIStorageCapacity"]), "1.27", "storage.k8s.io/v1"),
        (is("batch", &["v1beta1", "v2alpha1"], &["CronJob"]), "1.25", "batch/v1"),
        (is("discovery.k8s.io", &["v1beta1"], &["EndpointSlice"]), "1.25", "discovery.k8s.io/v1"),
        (is("policy", &["v1beta1"], &["PodDisruptionBudget"]), "1.25", "policy/v1"),
        (is("policy", &["v1beta1"], &["PodSecurityPolicy"]), "1.25", ""),
        (is("autoscaling", &["v2beta1", "v2beta2"], &[]), "1.25 and 1.26", "autoscaling/v2"),
        (
            is("flowcontrol.apiserver.k8s.io", &["v1alpha1", "v1beta1", "v1beta2", "v1beta3"], &[]),
            "1.32 at the latest",
            "flowcontrol.apiserver.k8s.io/v1",
        ),
    ];
    removed.into_iter().find(|(is, ..)| *is).map(|(_, since, instead)| (since, instead))
}
