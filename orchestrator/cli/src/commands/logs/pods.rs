//! Logs of pods: the cluster keeps them as long as the pods are there.

use std::collections::BTreeSet;
use std::time::Duration;

use neuroca_deploy_engine::ports::StateStore;
use neuroca_deploy_kubernetes::logs::{PodLog, follow, pods, tail, unseen};
use serde_json::json;
use tokio::sync::mpsc;

use super::Logs;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::site::{KubernetesSite, Site};

/// How often new pods are looked for when following.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Logs {
    pub(super) async fn of_pods(
        &self,
        ctx: &Context,
        site: &Site,
        on: &KubernetesSite,
        store: &dyn StateStore,
    ) -> Result {
        let found = self.wanted(site, on, store).await?;
        if found.is_empty() && !self.follow {
            let hint = format!("see what runs: neuroca-deploy status {}", self.environment);
            return Err(Failure::usage("no pod of that is there").hint(hint));
        }
        for log in &found {
            let lines = tail(&on.cluster, log, self.lines).await.map_err(|e| on.refused(&e))?;
            for line in lines {
                show(ctx, log, &line);
            }
        }
        if self.follow {
            self.follow_pods(ctx, site, on, store, found).await?;
        }
        Ok(Exit::Done)
    }

    /// The pods of what is in force and of what is taking over, or of what was asked for.
    async fn wanted(
        &self,
        site: &Site,
        on: &KubernetesSite,
        store: &dyn StateStore,
    ) -> Result<Vec<PodLog>> {
        let mut found = pods(&on.cluster).await.map_err(|e| on.refused(&e))?;
        if let Some(component) = &self.component {
            found.retain(|log| log.component == *component);
        }
        match &self.revision {
            Some(revision) => found.retain(|log| log.revision == *revision),
            None => {
                let live = self.live(site, store).await?;
                found.retain(|log| live.iter().any(|revision| revision.0 == log.revision));
            }
        }
        Ok(found)
    }

    /// Follows until it is interrupted; pods that come later are shown from their beginning.
    async fn follow_pods(
        &self,
        ctx: &Context,
        site: &Site,
        on: &KubernetesSite,
        store: &dyn StateStore,
        first: Vec<PodLog>,
    ) -> Result<()> {
        let (send, mut lines) = mpsc::channel(1024);
        let mut seen = BTreeSet::new();
        let begin = |log: PodLog, from_start: bool| {
            let (cluster, send) = (on.cluster.clone(), send.clone());
            tokio::spawn(async move {
                let pod = log.pod.clone();
                if let Err(error) = follow(&cluster, log, from_start, send).await {
                    tracing::warn!(%error, pod, "its log is not followed");
                }
            });
        };
        unseen(first, &mut seen).into_iter().for_each(|log| begin(log, false));
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                Some((log, line)) = lines.recv() => show(ctx, &log, &line),
                _ = look.tick() => {
                    let found = self.wanted(site, on, store).await?;
                    unseen(found, &mut seen).into_iter().for_each(|log| begin(log, true));
                }
            }
        }
    }
}

fn show(ctx: &Context, log: &PodLog, line: &str) {
    if ctx.output.json {
        let body = json!({
            "component": log.component, "revision": log.revision, "log": log.pod, "line": line,
        });
        ctx.output.event("log", body);
    } else {
        ctx.output.data(&format!("{} {line}\n", ctx.output.out.name(&log.pod)));
    }
}
