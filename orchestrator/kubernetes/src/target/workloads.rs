//! The user's own workloads that a run waits for: watched from the first look until the run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use neuroca_deploy_core::manifests::{ENVIRONMENT, Id, MANAGER};
use neuroca_deploy_core::observed::{Trouble, WorkloadObserved};
use neuroca_deploy_engine::ports::{StateStore, TargetError};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::KubernetesTarget;
use super::evidence::has_something_to_tell;
use crate::access::AccessError;
use crate::seen::{Complaint, Workload, complaint, is_hopeless};
use crate::watch::{Cache, keep};

/// How long pods may be refused before that counts: others that go may make room.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// What is watched for one run.
pub(super) struct Workloads {
    run: u64,
    awaited: Vec<Id>,
    namespaces: BTreeMap<String, Watched>,
    /// Since when the pods of a workload are refused.
    refused: BTreeMap<Id, Instant>,
}

/// The workloads and pods of one namespace; of kinds that nothing is awaited of there is nothing.
struct Watched {
    deployments: Option<Cache<Deployment>>,
    stateful_sets: Option<Cache<StatefulSet>>,
    daemon_sets: Option<Cache<DaemonSet>>,
    jobs: Option<Cache<Job>>,
    pods: Cache<Pod>,
}

impl KubernetesTarget {
    /// The workloads that the open run waits for, as they are now.
    pub(super) async fn own_workloads(&self) -> Result<Vec<WorkloadObserved>, TargetError> {
        let mut kept = self.workloads.lock().await;
        let Some(run) = self.store.open_run() else {
            *kept = None;
            return Ok(Vec::new());
        };
        if kept.as_ref().is_none_or(|kept| kept.run != run) {
            *kept = Some(self.begin_to_watch(run).await?);
        }
        let Some(own) = kept.as_mut() else { return Ok(Vec::new()) };
        let mut found = BTreeMap::new();
        for (namespace, watched) in &own.namespaces {
            let pods = watched.pods.so_far();
            for (kind, workload) in watched.workloads().await? {
                let name = workload.metadata().name.clone().unwrap_or_default();
                found.insert((namespace.clone(), kind, name), (workload, pods.clone()));
            }
        }
        let mut observed = Vec::new();
        for id in &own.awaited {
            let key = (id.namespace.clone().unwrap_or_default(), id.kind.as_str(), id.name.clone());
            if let Some((workload, pods)) = found.get(&key) {
                observed.push(self.look_at(id, workload, pods, &mut own.refused).await);
            }
        }
        Ok(observed)
    }

    async fn begin_to_watch(&self, run: u64) -> Result<Workloads, TargetError> {
        let open =
            self.store.unfinished().await.map_err(|e| TargetError::Unreachable(e.to_string()))?;
        let spec = open.and_then(|open| open.plan.rollout.manifests);
        let awaited = spec.map(|own| own.awaited).unwrap_or_default();
        let mut namespaces = BTreeMap::new();
        if !awaited.is_empty() {
            let client = self.cluster.client().await?;
            let version = self.watches().await?.version();
            let selector = format!("{ENVIRONMENT}={}", self.cluster.names.instance());
            let named: BTreeSet<&String> =
                awaited.iter().filter_map(|id| id.namespace.as_ref()).collect();
            for namespace in named {
                let here = awaited.iter().filter(|id| id.namespace.as_ref() == Some(namespace));
                let kinds = here.map(|id| id.kind.as_str()).collect();
                let watched = Watched::begin(&client, namespace, &kinds, &selector, version);
                namespaces.insert(namespace.clone(), watched);
            }
        }
        Ok(Workloads { run, awaited, namespaces, refused: BTreeMap::new() })
    }

    async fn look_at(
        &self,
        id: &Id,
        workload: &Workload,
        pods: &[Arc<Pod>],
        refused: &mut BTreeMap<Id, Instant>,
    ) -> WorkloadObserved {
        let standing = workload.standing();
        let mut seen = WorkloadObserved {
            id: id.clone(),
            wanted: standing.wanted,
            ready: standing.ready,
            is_ready: standing.is_ready,
            is_hopeless: false,
            trouble: None,
        };
        if seen.is_ready {
            return seen;
        }
        let own = workload.pods(pods);
        let said = match standing.complaint {
            Some(said) => Some(said),
            None if own.is_empty() => self.refusal(id, workload).await,
            None => None,
        };
        let troubled = own.iter().find(|pod| has_something_to_tell(pod));
        let evidence = match troubled {
            Some(pod) => self.evidence(pod).await,
            None => None,
        };
        seen.is_hopeless = own.iter().any(|pod| is_hopeless(pod) && is_younger(pod, workload));
        match &said {
            Some(Complaint::GivenUp(_)) => seen.is_hopeless = true,
            Some(Complaint::Refused(_)) => {
                let since = refused.entry(id.clone()).or_insert_with(Instant::now);
                seen.is_hopeless |= since.elapsed() >= ROOM_WITHIN;
            }
            None => {
                refused.remove(id);
            }
        }
        seen.trouble = told(said.as_ref(), evidence);
        seen
    }

    /// Controllers other than a Deployment's note only in an event that their pods are refused.
    async fn refusal(&self, id: &Id, workload: &Workload) -> Option<Complaint> {
        if matches!(workload, Workload::Deployment(_)) {
            return None;
        }
        let namespace = id.namespace.as_deref()?;
        self.warning(namespace, &id.kind, &id.name).await.map(Complaint::Refused)
    }
}

/// What the controller says, with what a pod has to add.
fn told(said: Option<&Complaint>, evidence: Option<Trouble>) -> Option<Trouble> {
    match (said.map(complaint), evidence) {
        (Some(said), Some(pod)) => {
            Some(Trouble { what: format!("{}: {}", said.what, pod.what), ..pod })
        }
        (said, evidence) => said.or(evidence),
    }
}

/// Whether the pod was made after the workload was last written by us: one of before says nothing about what was written.
fn is_younger(pod: &Pod, workload: &Workload) -> bool {
    let entries = workload.metadata().managed_fields.iter().flatten();
    let ours = entries.filter(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    let written = ours.filter_map(|entry| entry.time.as_ref().map(|at| at.0)).max();
    pod.metadata.creation_timestamp.as_ref().map(|at| at.0) >= written
}

impl Watched {
    fn begin(
        client: &Client,
        namespace: &str,
        kinds: &BTreeSet<&str>,
        selector: &str,
        version: &watch::Sender<u64>,
    ) -> Self {
        let at = (client, namespace, selector);
        Self {
            deployments: watched(kinds, at, version),
            stateful_sets: watched(kinds, at, version),
            daemon_sets: watched(kinds, at, version),
            jobs: watched(kinds, at, version),
            // Pods carry the labels of their template, not ours.
            pods: keep(Api::namespaced(client.clone(), namespace), "", version, ()),
        }
    }

    async fn workloads(&self) -> Result<Vec<(&'static str, Workload)>, AccessError> {
        let mut found = Vec::new();
        if let Some(cache) = &self.deployments {
            let all = cache.state().await?.into_iter().map(Workload::Deployment);
            found.extend(all.map(|made| ("Deployment", made)));
        }
        if let Some(cache) = &self.stateful_sets {
            let all = cache.state().await?.into_iter().map(Workload::StatefulSet);
            found.extend(all.map(|made| ("StatefulSet", made)));
        }
        if let Some(cache) = &self.daemon_sets {
            let all = cache.state().await?.into_iter().map(Workload::DaemonSet);
            found.extend(all.map(|made| ("DaemonSet", made)));
        }
        if let Some(cache) = &self.jobs {
            let all = cache.state().await?.into_iter().map(Workload::Job);
            found.extend(all.map(|made| ("Job", made)));
        }
        Ok(found)
    }
}

/// A watch of a kind that something is awaited of: by whom, where and by which labels.
fn watched<K>(
    kinds: &BTreeSet<&str>,
    (client, namespace, selector): (&Client, &str, &str),
    version: &watch::Sender<u64>,
) -> Option<Cache<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    kinds.contains(K::kind(&()).as_ref()).then(|| keep(api, selector, version, ()))
}
