//! What is known about a pod that is not ready: what its status says, the last warning about it, its last lines.
//!
//! Events and logs have to be asked for, so what they said is good for a moment, as long as the status says the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};
use neuroca_deploy_core::observed::Trouble;

use super::KubernetesTarget;
use crate::access::in_time;
use crate::seen::{is_going, telling, trouble, waits_for_probe};

const GOOD_FOR: Duration = Duration::from_secs(2);
const LINES: i64 = 20;

/// What was found out, by the pod's uid.
pub(super) type Evidence = BTreeMap<String, Found>;

#[derive(Debug, Clone)]
pub(super) struct Found {
    at: Instant,
    /// What its status said then.
    status: Option<Trouble>,
    told: Option<Trouble>,
}

/// Whether its status names a trouble, or an event may.
pub(super) fn has_something_to_tell(pod: &Pod) -> bool {
    !is_going(pod) && (trouble(pod).is_some() || waits_for_probe(pod))
}

impl KubernetesTarget {
    /// Why this pod is not ready; nothing where nobody has said anything yet.
    pub(super) async fn evidence(&self, pod: &Pod) -> Option<Trouble> {
        let uid = pod.metadata.uid.clone()?;
        let status = trouble(pod);
        let known = self.evidence.lock().expect("not poisoned").get(&uid).cloned();
        if let Some(known) = known
            && known.at.elapsed() < GOOD_FOR
            && known.status == status
        {
            return known.told;
        }
        let told = self.ask_about(pod, status.clone()).await;
        let found = Found { at: Instant::now(), status, told: told.clone() };
        self.evidence.lock().expect("not poisoned").insert(uid, found);
        told
    }

    async fn ask_about(&self, pod: &Pod, status: Option<Trouble>) -> Option<Trouble> {
        let namespace = pod.metadata.namespace.as_deref()?;
        let name = pod.metadata.name.as_deref()?;
        let (warning, lines) =
            futures::join!(self.warning(namespace, "Pod", name), self.last_lines(namespace, pod));
        let mut told = match (status, warning) {
            (None, None) => return None,
            (None, Some(warning)) => Trouble { what: warning, ..Trouble::default() },
            (Some(status), None) => status,
            // An event often has the same words, and more around them.
            (Some(status), Some(warning)) if status.what.contains(&warning) => status,
            (Some(status), Some(warning)) => {
                Trouble { what: format!("{} ({warning})", status.what), ..status }
            }
        };
        if !lines.is_empty() {
            told.log_lines = lines;
        }
        Some(told)
    }

    /// The last warning about an object.
    pub(super) async fn warning(&self, namespace: &str, kind: &str, name: &str) -> Option<String> {
        let client = self.cluster.client().await.ok()?;
        let events: Api<Event> = Api::namespaced(client, namespace);
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name},type=Warning");
        let list = ListParams::default().fields(&fields);
        let found = in_time(&self.cluster, "read events", events.list(&list)).await.ok()?;
        let last = found.items.into_iter().max_by_key(|event| {
            let at = event.last_timestamp.as_ref().map(|at| at.0);
            at.or(event.event_time.as_ref().map(|at| at.0))
        });
        last?.message.map(|message| message.trim().to_string())
    }

    /// The last lines of what keeps it from being ready.
    async fn last_lines(&self, namespace: &str, pod: &Pod) -> Vec<String> {
        let Some((container, previous)) = telling(pod) else { return Vec::new() };
        let (Ok(client), Some(name)) = (self.cluster.client().await, &pod.metadata.name) else {
            return Vec::new();
        };
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let params = LogParams {
            container: Some(container.into()),
            previous,
            tail_lines: Some(LINES),
            ..LogParams::default()
        };
        let text = in_time(&self.cluster, "read a log", pods.logs(name, &params)).await;
        text.unwrap_or_default().lines().map(String::from).collect()
    }
}
