//! Runs hooks and migrations as Jobs, each to its end.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};
use kube::runtime::wait::await_condition;
use neuroca_deploy_engine::ports::{Epoch, TargetError};

use crate::access::{Cluster, in_time};
use crate::names::{COMPONENT, JOB};
use crate::objects::{JobKind, Part, job};
use crate::seen::{JobEnd, end_of, is_going};
use crate::write;

/// Beyond its own limit, which the cluster watches over.
const GRACE: Duration = Duration::from_secs(60);
const EVIDENCE: i64 = 20;

/// Runs the command, or goes on waiting for the one that an earlier driver of this run began.
pub async fn run(
    cluster: &Cluster,
    epoch: Epoch,
    part: &Part<'_>,
    kind: JobKind,
    run: u64,
) -> Result<(), TargetError> {
    let Some(object) = job(part, kind, run) else { return Ok(()) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
    end_others(cluster, epoch, part, kind, &name).await?;
    write::create(cluster, epoch, object).await?;
    let api: Api<Job> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let ended = |job: Option<&Job>| job.is_none_or(|job| end_of(job).is_some());
    let limit = Duration::from_millis(kind.limit_ms(part)) + GRACE;
    let told =
        |why: String| TargetError::Refused(format!("{} of {} {why}", kind.name(), part.component));
    let job = match tokio::time::timeout(limit, await_condition(api, &name, ended)).await {
        Ok(Ok(job)) => job,
        Ok(Err(error)) => return Err(TargetError::Unreachable(error.to_string())),
        Err(_) => return Err(told("has not ended, and nobody stops it".into())),
    };
    match job.as_ref().and_then(end_of) {
        Some(JobEnd::Done) => Ok(()),
        Some(JobEnd::Failed(why)) => {
            let mut why = why;
            for line in last_lines(cluster, &name).await {
                why.push_str(&format!("\n  | {line}"));
            }
            Err(told(why))
        }
        None => Err(told("was removed by somebody before it had ended".into())),
    }
}

/// No two migrations of one database at the same time: what an earlier run left behind is ended first.
async fn end_others(
    cluster: &Cluster,
    epoch: Epoch,
    part: &Part<'_>,
    kind: JobKind,
    name: &str,
) -> Result<(), TargetError> {
    let more = format!(",{COMPONENT}={},{JOB}={}", part.component, kind.name());
    let resource = write::resource("batch/v1", "Job");
    for other in write::list(cluster, &resource, &more).await? {
        let Some(other) = other.name.filter(|other| other != name) else { continue };
        write::remove(cluster, epoch, &resource, &other).await?;
        let pods: Api<Pod> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
        for pod in pods_of(cluster, &other).await? {
            let Some(pod) = pod.metadata.name else { continue };
            let gone = await_condition(pods.clone(), &pod, |pod: Option<&Pod>| pod.is_none());
            if tokio::time::timeout(GRACE, gone).await.is_err() {
                return Err(TargetError::Unreachable(format!(
                    "{pod} of an earlier run has not ended"
                )));
            }
        }
    }
    Ok(())
}

async fn pods_of(cluster: &Cluster, job: &str) -> Result<Vec<Pod>, TargetError> {
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, &cluster.names.namespace);
    let list = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    Ok(in_time(cluster, "list the pods of a job", pods.list(&list)).await?.items)
}

/// What it said last; nothing where its pod has gone or cannot be read.
async fn last_lines(cluster: &Cluster, job: &str) -> Vec<String> {
    let Ok(client) = cluster.client().await else { return Vec::new() };
    let pods: Api<Pod> = Api::namespaced(client, &cluster.names.namespace);
    let found = pods_of(cluster, job).await.unwrap_or_default();
    let Some(pod) = found.into_iter().rfind(|pod| !is_going(pod)) else { return Vec::new() };
    let name = pod.metadata.name.unwrap_or_default();
    let params = LogParams { tail_lines: Some(EVIDENCE), ..LogParams::default() };
    let text = in_time(cluster, "read a log", pods.logs(&name, &params)).await;
    text.unwrap_or_default().lines().map(String::from).collect()
}
