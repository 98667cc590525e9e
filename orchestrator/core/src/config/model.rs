//! The typed environment: what a resolved environment file says.
//!
//! These are plain values. How they are read, layered and checked is in the sibling modules;
//! this one knows neither files nor where a value came from.

mod component;
mod edge;
mod kubernetes;
mod process;
mod rollout;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use component::{Component, Route};
pub use edge::{Edge, HeaderRoute, Side, Sticky, Tls};
pub use kubernetes::{
    Autoscale, ComponentOnKubernetes, Egress, Gateway, Ingress, Kubernetes, Storage,
};
pub use process::{Health, HookTimeout, Hooks, Limits, Logs, Restart};
pub use rollout::{RolloutPolicy, Step, Strategy};

use super::units::Bytes;

/// One environment, resolved: every value has been layered and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The project that this environment belongs to; names its state on the target.
    pub project: String,
    /// Where it runs.
    #[serde(default)]
    pub target: TargetKind,
    /// The cluster, where it runs on one; and that which manifests are rendered for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// The edge proxy in front of the components that listen.
    #[serde(default)]
    pub edge: Edge,
    /// How a new release takes over.
    #[serde(default)]
    pub rollout: RolloutPolicy,
    /// How much history is kept.
    #[serde(default)]
    pub retention: Retention,
    /// What is deployed, by name.
    pub components: BTreeMap<String, Component>,
}

/// The kinds of target that this build knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// One machine: processes behind the edge proxy, no Docker and no cluster.
    #[default]
    Local,
    /// A cluster: pods behind a Gateway, state in the namespace.
    Kubernetes,
}

/// What is kept, so that going back stays possible and the disk stays bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Releases whose artifacts are kept for `rollback --to`.
    pub releases: u32,
    /// Most bytes of stored artifacts beyond those which kept releases need.
    pub artifact_bytes: Bytes,
}

impl Default for Retention {
    fn default() -> Self {
        Self { releases: 20, artifact_bytes: Bytes(10 * 1024 * 1024 * 1024) }
    }
}

fn yes() -> bool {
    true
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
