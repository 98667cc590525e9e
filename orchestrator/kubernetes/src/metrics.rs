//! Counts of requests, fetched from the pods by way of the API server: nothing has to be installed. What they mean is for
//! the core to say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use neuroca_deploy_core::judge::scraped::{Scraped, Told};
use neuroca_deploy_core::judge::{Compared, Scrape, Window};
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_engine::ports::{Metrics, MetricsError};
use tokio::sync::Mutex;

use crate::access::{AccessError, Cluster, in_time};
use crate::names::{JOB, REVISION};
use crate::objects::PORT;
use crate::seen::is_running;

/// A pod that takes longer to tell its counts is left out of the window.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// Says that there is no source, so that a judge comes to no verdict by it.
pub struct Uncounted;

#[async_trait]
impl Metrics for Uncounted {
    async fn windows(&self, _: &[Compared], _: u64) -> Result<Vec<Window>, MetricsError> {
        Err(MetricsError(
            "nothing is said of who counts requests; name the pods' own counters under \
             `rollout.analysis.scrape`, or a Prometheus server under `rollout.analysis.prometheus`"
                .into(),
        ))
    }
}

/// The pods' own counters, as long as this process drives: a successor begins with a look of its own.
pub struct PodCounts {
    cluster: Arc<Cluster>,
    path: String,
    interval_ms: u64,
    state: Mutex<State>,
}

struct State {
    scraped: Scraped,
    last_ms: u64,
}

impl PodCounts {
    /// Asks nothing yet. `Err` says which selector is none.
    pub fn new(cluster: Arc<Cluster>, scrape: &Scrape) -> Result<Self, MetricsError> {
        let scraped = Scraped::new(scrape)
            .map_err(|why| MetricsError(format!("`rollout.analysis.scrape`: {why}")))?;
        let state = Mutex::new(State { scraped, last_ms: 0 });
        Ok(Self { cluster, path: scrape.path.clone(), interval_ms: scrape.interval.0, state })
    }

    /// The pods of these revisions that run.
    async fn pods(
        &self,
        revisions: &BTreeSet<&RevisionId>,
    ) -> Result<Vec<(RevisionId, String)>, AccessError> {
        let api: Api<Pod> =
            Api::namespaced(self.cluster.client().await?, &self.cluster.names.namespace);
        let names: Vec<&str> = revisions.iter().map(|revision| revision.0.as_str()).collect();
        let list =
            ListParams::default().labels(&format!("{REVISION} in ({}),!{JOB}", names.join(",")));
        let found = in_time(&self.cluster, "list the pods", api.list(&list)).await?;
        let running = found.items.into_iter().filter(is_running);
        let named = running.filter_map(|pod| {
            let revision = pod.metadata.labels?.remove(REVISION)?;
            Some((RevisionId(revision), pod.metadata.name?))
        });
        Ok(named.collect())
    }

    async fn tells(&self, pod: &str) -> Result<String, String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}:{PORT}/proxy{}",
            self.cluster.names.namespace, self.path
        );
        let asked = async {
            let client = self.cluster.client().await?;
            let request = http::Request::get(path).body(Vec::new());
            let request = request.map_err(|e| AccessError::Refused(e.to_string()))?;
            let what = format!("read what the pod {pod} counts");
            in_time(&self.cluster, &what, client.request_text(request)).await
        };
        match tokio::time::timeout(TOLD_WITHIN, asked).await {
            Ok(answer) => answer.map_err(|e| e.to_string()),
            Err(_) => Err(format!("the pod {pod} does not tell its counts within {TOLD_WITHIN:?}")),
        }
    }

    /// What all pods tell, and why those that do not, do not.
    async fn told(&self, compared: &[Compared]) -> Result<(Told, Option<String>), AccessError> {
        let revisions = compared.iter().flat_map(|one| one.stable.iter().chain([&one.canary]));
        let pods = self.pods(&revisions.collect()).await?;
        let answers = join_all(pods.iter().map(|(_, pod)| self.tells(pod))).await;
        let (mut told, mut trouble) = (Told::new(), None);
        for ((revision, pod), answer) in pods.into_iter().zip(answers) {
            match answer {
                Ok(text) => drop(told.entry(revision).or_default().insert(pod, text)),
                Err(why) => trouble = Some(why),
            }
        }
        Ok((told, trouble))
    }
}

#[async_trait]
impl Metrics for PodCounts {
    async fn windows(
        &self,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, MetricsError> {
        let mut state = self.state.lock().await;
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        if now_ms < state.last_ms.max(after_ms) + self.interval_ms {
            return Ok(Vec::new());
        }
        let told = self.told(compared).await;
        let (told, trouble) = told.map_err(|e| MetricsError(e.to_string()))?;
        state.last_ms = now_ms;
        let window = state.scraped.window(now_ms, compared, &told).map_err(MetricsError)?;
        let silent = compared.iter().find_map(|one| {
            let mut sides = one.stable.iter().chain([&one.canary]);
            sides.find(|revision| !told.contains_key(revision))
        });
        match (window, silent) {
            (Some(window), _) => Ok(vec![window]),
            (None, Some(revision)) => Err(MetricsError(trouble.unwrap_or_else(|| {
                format!("no pod of {revision} runs that could tell its counts")
            }))),
            // It was the first look.
            (None, None) => Ok(Vec::new()),
        }
    }
}
