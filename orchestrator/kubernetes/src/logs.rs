//! What components write, from their pods by way of the API server.

use std::collections::BTreeSet;

use futures::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};
use tokio::sync::mpsc;

use crate::access::{AccessError, Cluster, in_time};
use crate::names::{COMPONENT, REVISION};

/// A pod that writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodLog {
    pub component: String,
    pub revision: String,
    pub pod: String,
}

/// The pods of the environment's components, sorted.
pub async fn pods(cluster: &Cluster) -> Result<Vec<PodLog>, AccessError> {
    let api: Api<Pod> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let selector = format!("{},{REVISION}", cluster.names.selector());
    let list = ListParams::default().labels(&selector);
    let found = in_time(cluster, "list the pods", api.list_metadata(&list)).await?;
    let mut pods: Vec<PodLog> = found
        .items
        .into_iter()
        .filter_map(|pod| {
            let mut labels = pod.metadata.labels?;
            let (component, revision) = (labels.remove(COMPONENT)?, labels.remove(REVISION)?);
            Some(PodLog { component, revision, pod: pod.metadata.name? })
        })
        .collect();
    pods.sort();
    Ok(pods)
}

/// The last lines of one; none of a pod that has not begun to write.
pub async fn tail(
    cluster: &Cluster,
    log: &PodLog,
    lines: usize,
) -> Result<Vec<String>, AccessError> {
    let api: Api<Pod> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let params = LogParams { tail_lines: i64::try_from(lines).ok(), ..LogParams::default() };
    match in_time(cluster, "read a log", api.logs(&log.pod, &params)).await {
        Ok(text) => Ok(text.lines().map(String::from).collect()),
        Err(AccessError::Refused(_) | AccessError::Missing(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Sends what is written from now on, until the pod has ended or nobody receives any more.
pub async fn follow(
    cluster: &Cluster,
    log: PodLog,
    from_start: bool,
    lines: mpsc::Sender<(PodLog, String)>,
) -> Result<(), AccessError> {
    let api: Api<Pod> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let params =
        LogParams { follow: true, tail_lines: (!from_start).then_some(0), ..LogParams::default() };
    let stream = in_time(cluster, "follow a log", api.log_stream(&log.pod, &params)).await?;
    let mut read = std::pin::pin!(stream.lines());
    while let Some(Ok(line)) = read.next().await {
        if lines.send((log.clone(), line)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Which of the pods have not been seen yet.
pub fn unseen(pods: Vec<PodLog>, seen: &mut BTreeSet<String>) -> Vec<PodLog> {
    pods.into_iter().filter(|log| seen.insert(log.pod.clone())).collect()
}
