//! The user's own objects on a cluster: looked at with one list a kind, rehearsed where only the cluster can tell
//! what would come of it, written many at a time in the order in which they need each other.
//!
//! What is to be done is decided in `core::manifests`. An object is written only in the state in which it was seen,
//! and never when it belongs to somebody else.

mod look;
mod perform;
mod plan;
mod rehearse;
mod requests;
mod write;

pub(crate) use perform::{apply, clear, prune};
pub use plan::{Asked, Unplanned, places, plan};
pub(crate) use write::place_of;

use neuroca_deploy_core::manifests::{ENVIRONMENT, MANIFEST, Manifest};
use serde_json::{Value, json};

/// The manifest as it is written: with whose it is, and what it is made from.
fn dressed(manifest: &Manifest, instance: &str) -> Value {
    let mut object = manifest.0.clone();
    let metadata = &mut object["metadata"];
    for field in ["labels", "annotations"] {
        if !metadata[field].is_object() {
            metadata[field] = json!({});
        }
    }
    metadata["labels"][ENVIRONMENT] = json!(instance);
    metadata["annotations"][MANIFEST] = json!(manifest.digest());
    object
}
