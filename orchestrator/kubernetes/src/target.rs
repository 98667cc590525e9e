//! The engine's target: each effect as writes to the cluster, each observation from what is watched.

mod evidence;
mod observe;
mod perform;
mod retire;
mod workloads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_engine::ports::{Epoch, Target, TargetError};
use tokio::sync::OnceCell;

use crate::access::Cluster;
use crate::objects::Part;
use crate::store::KubernetesStore;
use crate::watch::Watches;
use evidence::Evidence;
use workloads::Workloads;

/// One environment on its cluster.
pub struct KubernetesTarget {
    cluster: Arc<Cluster>,
    store: Arc<KubernetesStore>,
    /// Where paths of secrets begin.
    project: PathBuf,
    watches: OnceCell<Watches>,
    /// Routes that the data plane was seen to have, by name, with generation.
    proved: Mutex<BTreeMap<String, i64>>,
    /// Since when a route has been accepted, by name and generation, where nobody can be asked.
    accepted: Mutex<BTreeMap<(String, i64), Instant>>,
    evidence: Mutex<Evidence>,
    /// What is watched of the user's own workloads.
    workloads: tokio::sync::Mutex<Option<Workloads>>,
}

impl KubernetesTarget {
    /// Asks nothing yet.
    pub fn new(cluster: Arc<Cluster>, store: Arc<KubernetesStore>, project: PathBuf) -> Self {
        Self {
            cluster,
            store,
            project,
            watches: OnceCell::new(),
            proved: Mutex::default(),
            accepted: Mutex::default(),
            evidence: Mutex::default(),
            workloads: tokio::sync::Mutex::default(),
        }
    }

    async fn watches(&self) -> Result<&Watches, TargetError> {
        Ok(self.watches.get_or_try_init(|| Watches::begin(&self.cluster)).await?)
    }

    async fn record(&self, id: &ReleaseId) -> Result<Release, TargetError> {
        let found = self.store.record(id).await;
        found
            .map_err(|e| TargetError::Unreachable(e.to_string()))?
            .ok_or_else(|| TargetError::Refused(format!("the record of release {id} is not there")))
    }

    fn part<'a>(
        &'a self,
        release: &'a Release,
        component: &'a str,
    ) -> Result<Part<'a>, TargetError> {
        let spec = release.components.get(component).ok_or_else(|| {
            TargetError::Refused(format!("release {} has no component {component}", release.id()))
        })?;
        Ok(Part { names: &self.cluster.names, release, component, spec })
    }

    /// Whoever has lost the lock writes nothing: the cluster says who holds it.
    async fn check(&self, epoch: Epoch) -> Result<(), TargetError> {
        match self.store.holds(epoch).await? {
            true => Ok(()),
            false => Err(TargetError::Fenced("the lock is somebody else's".into())),
        }
    }
}

#[async_trait]
impl Target for KubernetesTarget {
    async fn perform(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError> {
        self.check(epoch).await?;
        self.done(epoch, effect).await
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        self.look().await
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        match self.watches.get() {
            Some(watches) => watches.changed(seen, at_most).await,
            None => tokio::time::sleep(at_most).await,
        }
    }
}
