//! What is there: revisions from the watches, the split from the routes and, where it can be asked, the gateway.

use std::time::{Duration, Instant};

use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_engine::ports::TargetError;
use serde_json::Value;

use super::KubernetesTarget;
use super::evidence::has_something_to_tell;
use crate::access::in_time;
use crate::names::TRAFFIC;
use crate::probe;
use crate::seen::{Standing, View, revisions, standing};
use crate::write::{self, resource};

/// How long a gateway that cannot be asked may take to follow its status.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(2);

impl KubernetesTarget {
    pub(super) async fn look(&self) -> Result<Observed, TargetError> {
        let (version, view, routes) = self.watches().await?.view().await?;
        let traffic = self.traffic(&view, &routes).await?;
        let mut revisions = revisions(&view);
        for (revision, seen) in &mut revisions {
            if seen.is_ready() {
                continue;
            }
            if let Some(pod) = view.pods_of(&revision.0).find(|pod| has_something_to_tell(pod)) {
                seen.trouble = self.evidence(pod).await.or(seen.trouble.take());
            }
        }
        let workloads = self.own_workloads().await?;
        Ok(Observed { version, revisions, traffic, workloads })
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
}
