//! Release records: what was deployed, content-addressed and never changed afterwards.
//!
//! A record holds everything that a rollback needs: artifacts by digest, configuration, secret
//! references with their versions, edge settings. It holds no secret value and no time, so that
//! the same inputs give the same id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::model::{Component, Edge, Kubernetes, Retention, RolloutPolicy};
use crate::digest::Digest;
pub use crate::id::{ReleaseId, RevisionId};
use crate::manifests::Manifest;

/// An immutable release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub project: String,
    pub environment: String,
    /// The `--release` label, for people; `None` when the environment's own artifacts are used.
    pub version: Option<String>,
    pub components: BTreeMap<String, ComponentRelease>,
    pub edge: Edge,
    pub rollout: RolloutPolicy,
    pub retention: Retention,
    /// The cluster's settings without whose kubeconfig context; absent on other targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// The user's own objects on a cluster, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Manifest>,
    /// Rendered documents by path.
    pub rendered: BTreeMap<String, Digest>,
}

/// One component of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRelease {
    /// Where the target stores the artifact.
    pub artifact: Digest,
    pub spec: Component,
    /// Secret versions by environment name.
    pub secrets: BTreeMap<String, SecretVersion>,
    /// Changes when the processes have to be started anew though nothing else changed.
    pub restarted: Option<String>,
}

/// A secret as a record may know it: where it comes from, and a keyed hash that changes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// `env:NAME` or `file:PATH`.
    pub reference: String,
    /// HMAC of the value under a key that never leaves the machine.
    pub version: String,
}

impl Release {
    /// Whether nothing of the environment is left: what `destroy` leads to.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty() && self.manifests.is_empty()
    }

    /// The content address of the record.
    pub fn id(&self) -> ReleaseId {
        ReleaseId(format!("r-{}", Digest::of(self).short(12)))
    }

    /// Where clients reach it, for people.
    pub fn address(&self) -> String {
        let gateway = self.kubernetes.as_ref().and_then(|settings| settings.gateway.as_ref());
        match (&self.kubernetes, gateway) {
            (None, _) => {
                let scheme = if self.edge.tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{}", self.edge.listen)
            }
            (Some(_), Some(gateway)) => match gateway.hosts.first() {
                Some(host) => format!("{host}, by the Gateway {}", gateway.name),
                None => format!("by the Gateway {}", gateway.name),
            },
            (Some(_), None) => "nothing listens".into(),
        }
    }

    /// The revision that `component` runs in this release.
    pub fn revision(&self, component: &str) -> Option<RevisionId> {
        self.components.get(component).map(|c| c.revision(component))
    }
}

impl ComponentRelease {
    /// Identity of the processes: what they run and see, not how many there are, how they are
    /// reached or what happens around them.
    pub fn revision(&self, name: &str) -> RevisionId {
        let spec = &self.spec;
        let identity = (
            &self.artifact,
            (&spec.command, spec.port, &spec.env, &self.secrets, &self.restarted),
            (&spec.health, &spec.limits, &spec.logs, &spec.restart),
        );
        // Nothing is added where nothing is said, so that revisions of other targets keep their names.
        let digest = match spec.kubernetes == Default::default() {
            true => Digest::of(&identity),
            false => Digest::of(&(
                &identity,
                &spec.kubernetes.image,
                &spec.kubernetes.cpu,
                &spec.kubernetes.memory,
            )),
        };
        RevisionId(format!("{name}-{}", digest.short(10)))
    }
}
