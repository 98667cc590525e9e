//! The adapter for Kubernetes: the engine's ports on a cluster's API.
//!
//! What an object should be, what a pod's status means and whether a split is in force are pure functions
//! (`objects`, `seen`, `state`); few files speak to the API (`access`, `write`, `watch`, `store`, `target`).
//! It knows no plans, no command line and no other target.

pub mod access;
pub mod clean;
mod jobs;
pub mod logs;
pub mod manifests;
mod metrics;
mod names;
mod objects;
mod probe;
pub mod rbac;
pub mod rights;
pub mod secrets;
mod seen;
mod state;
mod store;
mod target;
mod watch;
mod write;

pub use access::{AccessError, Cluster};
pub use metrics::{PodCounts, Uncounted};
pub use names::Names;
pub use store::KubernetesStore;
pub use target::KubernetesTarget;
