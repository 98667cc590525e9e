//! Manifests of the user's own: what files say, in which order it is brought about, and what a live object means.
//!
//! Decisions only. Manifests, and what a cluster has or answers, come in as values; who asks the cluster is an
//! adapter's business. A component's own objects are not of these.

mod compare;
mod decide;
mod kinds;
mod live;
mod order;
mod read;
#[cfg(test)]
mod tests;
mod workload;
mod yaml;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use compare::{FieldChange, differences, says};
pub use decide::{
    Action, Change, Contested, Exists, FirstLook, ManifestPlan, Rehearsed, decide, first_look,
    prune,
};
pub use kinds::{Kind, Kinds, Place, Served};
pub use live::{is_as_written, is_ours, is_protected, owner, state};
pub use order::Graph;
pub use read::{Problem, Read, complete, read};
pub use workload::{UNAWAITED, has_to_be_ready};

use crate::digest::Digest;

/// Label: the environment that an object of the user's own belongs to.
pub const ENVIRONMENT: &str = "neuroca-deploy/environment";
/// Annotation: the digest of the manifest that the object was last brought to.
pub const MANIFEST: &str = "neuroca-deploy/manifest";
/// Annotation: the epoch of whoever wrote last.
pub const EPOCH: &str = "neuroca-deploy/epoch";
/// The field manager of every write.
pub const MANAGER: &str = "neuroca-deploy";

/// What a file says about one object, with its namespace, and without what only a cluster fills in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub Value);

/// Which object: the same one in every version of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    pub group: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl Manifest {
    pub fn id(&self) -> Id {
        id_of(&self.0)
    }

    pub fn kind(&self) -> Kind {
        kind_of(&self.0)
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// Which object a manifest or a live object is.
pub fn id_of(object: &Value) -> Id {
    let kind = kind_of(object);
    let metadata = &object["metadata"];
    Id {
        group: kind.group,
        kind: kind.kind,
        namespace: metadata["namespace"].as_str().map(String::from),
        name: metadata["name"].as_str().unwrap_or_default().into(),
    }
}

fn kind_of(object: &Value) -> Kind {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    Kind::new(&text(&object["apiVersion"]), &text(&object["kind"]))
}
