//! Releases, journal, lock and intents in the environment's namespace: Secrets and a Lease.
//!
//! A small Secret, the head, says where everything is and is replaced as a whole; what is large lies in
//! immutable Secrets beside it that are written before the head names them. No secret value is in any of it.

mod head;
mod intents;
mod lock;
mod pieces;
mod port;

use std::sync::{Arc, Mutex};

use k8s_openapi::api::coordination::v1::Lease;

use crate::access::Cluster;
use head::Read;

/// The state of one environment on its cluster.
pub struct KubernetesStore {
    cluster: Arc<Cluster>,
    /// The head as it was read or written last.
    known: Mutex<Option<Read>>,
    /// The lease as this process wrote it last.
    lease: Mutex<Option<Lease>>,
    /// The lease as it was seen first in its present version: whoever waits for a rollout to end has watched its lock.
    watched: Mutex<Option<lock::Watched>>,
    /// Packed values that were read, by name: they never change.
    read: Mutex<std::collections::BTreeMap<String, Arc<Vec<u8>>>>,
    intents: Mutex<intents::Looked>,
}

impl KubernetesStore {
    /// Asks nothing yet.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            known: Mutex::default(),
            lease: Mutex::default(),
            watched: Mutex::default(),
            read: Mutex::default(),
            intents: Mutex::default(),
        }
    }
}
