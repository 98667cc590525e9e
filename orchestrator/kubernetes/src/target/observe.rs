//! What is there: revisions from the watches, the split from the routes and, where it can be asked, the gateway.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};
use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::observed::{Observed, Trouble};
use neuroca_deploy_engine::ports::TargetError;
use serde_json::Value;

use super::KubernetesTarget;
use crate::access::in_time;
use crate::names::TRAFFIC;
use crate::probe;
use crate::seen::{Standing, View, revisions, standing, waits_for_probe};
use crate::write::{self, resource};

/// How long a gateway that cannot be asked may take to follow its status.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(2);
/// How old evidence about a pod may be.
const EVIDENCE_IS_GOOD_FOR: Duration = Duration::from_secs(2);
const LINES: i64 = 20;

impl KubernetesTarget {
    pub(super) async fn look(&self) -> Result<Observed, TargetError> {
        let (version, view, routes) = self.watches().await?.view().await?;
        let traffic = self.traffic(&view, &routes).await?;
        let mut revisions = revisions(&view);
        for (revision, seen) in &mut revisions {
            if !seen.is_ready() && seen.trouble.is_none() {
                seen.trouble = self.evidence(&view, &revision.0).await;
            }
        }
        Ok(Observed { version, revisions, traffic })
    }

    /// The split that is in force; nothing while that is not certain.
    async fn traffic(&self, view: &View, routes: &[Value]) -> Result<Option<Traffic>, TargetError> {
        if routes.is_empty() {
            return self.noted_split().await;
        }
        let mut found: Option<Traffic> = None;
        for route in routes {
            let Standing::Accepted { traffic, name, generation, probe, host } =
                standing(route, view)
            else {
                return Ok(None);
            };
            if found.as_ref().is_some_and(|found| *found != traffic) {
                return Ok(None);
            }
            if !self.is_in_data_plane(&traffic, &name, generation, &probe, host.as_deref()).await? {
                return Ok(None);
            }
            found = Some(traffic);
        }
        Ok(found)
    }

    async fn noted_split(&self) -> Result<Option<Traffic>, TargetError> {
        let kind = resource("v1", "ConfigMap");
        let api = write::api(&self.cluster, &kind).await?;
        let name = self.cluster.names.state("split");
        let found = in_time(&self.cluster, "look for a split", api.get_metadata_opt(&name)).await?;
        let noted = found.and_then(|found| found.metadata.annotations?.remove(TRAFFIC));
        Ok(noted.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Whether requests go by this generation of the route.
    async fn is_in_data_plane(
        &self,
        traffic: &Traffic,
        name: &str,
        generation: i64,
        path: &str,
        host: Option<&str>,
    ) -> Result<bool, TargetError> {
        if self.proved.lock().expect("not poisoned").get(name) == Some(&generation) {
            return Ok(true);
        }
        let settings = self.store.record(&traffic.settings).await;
        let settings = settings.map_err(|e| TargetError::Unreachable(e.to_string()))?;
        let gateway = settings.and_then(|s| s.kubernetes).and_then(|k| k.gateway);
        match gateway.and_then(|gateway| gateway.address) {
            Some(address) => {
                if let Err(why) = probe::has_rules(&address, host, path).await {
                    tracing::debug!(%name, generation, %why, "not in force yet");
                    return Ok(false);
                }
            }
            None => {
                let mut accepted = self.accepted.lock().expect("not poisoned");
                accepted.retain(|(known, at), _| known != name || *at == generation);
                let since = accepted.entry((name.into(), generation)).or_insert_with(Instant::now);
                if since.elapsed() < FOLLOWS_WITHIN {
                    return Ok(false);
                }
            }
        }
        self.proved.lock().expect("not poisoned").insert(name.into(), generation);
        Ok(true)
    }

    /// Why a pod that runs is not ready: the last warning about it, and its last lines.
    async fn evidence(&self, view: &View, revision: &str) -> Option<Trouble> {
        let pod = view.pods_of(revision).find(|pod| waits_for_probe(pod))?;
        let name = pod.metadata.name.clone()?;
        let known = self.evidence.lock().expect("not poisoned").get(&name).cloned();
        if let Some((at, trouble)) = known
            && at.elapsed() < EVIDENCE_IS_GOOD_FOR
        {
            return trouble;
        }
        let trouble = match self.warning(&name).await {
            Some(what) => {
                Some(Trouble { what, body: None, log_lines: self.last_lines(&name).await })
            }
            None => None,
        };
        let kept = (Instant::now(), trouble.clone());
        self.evidence.lock().expect("not poisoned").insert(name, kept);
        trouble
    }

    async fn warning(&self, pod: &str) -> Option<String> {
        let client = self.cluster.client().await.ok()?;
        let events: Api<Event> = Api::namespaced(client, &self.cluster.names.namespace);
        let list = ListParams::default().fields(&format!("involvedObject.name={pod},type=Warning"));
        let found = in_time(&self.cluster, "read events", events.list(&list)).await.ok()?;
        let last = found.items.into_iter().max_by_key(|event| {
            let at = event.last_timestamp.as_ref().map(|at| at.0);
            at.or(event.event_time.as_ref().map(|at| at.0))
        });
        last?.message
    }

    async fn last_lines(&self, pod: &str) -> Vec<String> {
        let Ok(client) = self.cluster.client().await else { return Vec::new() };
        let pods: Api<Pod> = Api::namespaced(client, &self.cluster.names.namespace);
        let params = LogParams { tail_lines: Some(LINES), ..LogParams::default() };
        let text = in_time(&self.cluster, "read a log", pods.logs(pod, &params)).await;
        text.unwrap_or_default().lines().map(String::from).collect()
    }
}
