//! `logs`: what components write, of what is in force or of any revision that is kept.

mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_engine::ports::StateStore;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result, did_you_mean};
use crate::intents::running;
use crate::planning::in_force;
use crate::site::{Log, LogFollower, Site};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy logs production
  neuroca-deploy logs production api -f
  neuroca-deploy logs production --revision api-0123456789 -n 500";

/// How often files are looked at when following.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Show what components write.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Logs {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only this component.
    component: Option<String>,
    /// Go on showing what is added.
    #[arg(short, long)]
    follow: bool,
    /// Lines of each log to begin with.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
    /// Only this revision, also one that does not run any more.
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
}

impl Logs {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            if let Some(cluster) = site.as_kubernetes() {
                return self.of_pods(ctx, &site, cluster, store.as_ref()).await;
            }
            let logs = self.logs(&site, store.as_ref()).await?;
            if logs.is_empty() && !self.follow {
                return self.none(&site);
            }
            for log in &logs {
                for line in site.local()?.log_lines(log, self.lines)? {
                    show(ctx, log, &line);
                }
            }
            if self.follow {
                self.follow(ctx, &site, store.as_ref(), logs).await?;
            }
            Ok(Exit::Done)
        })
    }

    /// Follows until it is interrupted; logs that come later are shown from their beginning.
    async fn follow(
        &self,
        ctx: &Context,
        site: &Site,
        store: &dyn StateStore,
        first: Vec<Log>,
    ) -> Result<()> {
        let mut followed: BTreeMap<std::path::PathBuf, (Log, LogFollower)> = BTreeMap::new();
        for log in first {
            let follower = site.local()?.follow_log(&log, true)?;
            followed.insert(log.file.clone(), (log, follower));
        }
        loop {
            for (log, follower) in followed.values_mut() {
                let lines = follower.lines().map_err(|e| {
                    Failure::failed(format!("cannot read {}: {e}", log.file.display()))
                })?;
                for line in lines {
                    show(ctx, log, &line);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
            for log in self.logs(site, store).await? {
                if !followed.contains_key(&log.file) {
                    let follower = site.local()?.follow_log(&log, false)?;
                    followed.insert(log.file.clone(), (log, follower));
                }
            }
        }
    }

    /// The logs that were asked for.
    async fn logs(&self, site: &Site, store: &dyn StateStore) -> Result<Vec<Log>> {
        let logs = site.local()?.logs(self.component.as_deref())?;
        if let Some(wanted) = &self.revision {
            return Ok(logs.into_iter().filter(|log| log.revision.0 == *wanted).collect());
        }
        let live = self.live(site, store).await?;
        Ok(logs.into_iter().filter(|log| live.contains(&log.revision)).collect())
    }

    /// What is in force, and what is taking over.
    async fn live(&self, site: &Site, store: &dyn StateStore) -> Result<BTreeSet<RevisionId>> {
        let current = in_force(store, &site.environment).await?.release;
        let open = running(site, store).await?;
        let releases = current.iter().chain(open.as_ref().map(|open| &open.plan.release));
        let revisions =
            releases.flat_map(|r| r.components.keys().filter_map(|name| r.revision(name)));
        Ok(revisions.collect())
    }

    fn none(&self, site: &Site) -> Result {
        let all = site.local()?.logs(None)?;
        let (what, known): (String, BTreeSet<&str>) = match (&self.revision, &self.component) {
            (Some(revision), _) => (
                format!("revision `{revision}`"),
                all.iter().map(|log| log.revision.0.as_str()).collect(),
            ),
            (None, Some(component)) => (
                format!("component `{component}`"),
                all.iter().map(|log| log.component.as_str()).collect(),
            ),
            (None, None) => (self.environment.clone(), BTreeSet::new()),
        };
        let wanted = self.revision.as_deref().or(self.component.as_deref()).unwrap_or_default();
        let failure = Failure::usage(format!("there is no log of {what}"));
        Err(match did_you_mean(wanted, known.iter().copied()) {
            Some(close) if close != wanted => failure.hint(format!("did you mean `{close}`?")),
            _ => failure.hint(format!(
                "see what runs: neuroca-deploy status {}; older revisions: --revision",
                self.environment
            )),
        })
    }
}

fn show(ctx: &Context, log: &Log, line: &str) {
    if ctx.output.json {
        let body = json!({
            "component": log.component, "revision": log.revision, "log": log.name, "line": line,
        });
        ctx.output.event("log", body);
    } else {
        let head = ctx.output.out.name(&format!("{}/{}", log.revision, log.name));
        ctx.output.data(&format!("{head} {line}\n"));
    }
}
