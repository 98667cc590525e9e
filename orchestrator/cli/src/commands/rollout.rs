//! `rollout`: looks at a rollout that has not ended, and speaks to whoever drives it.

use std::time::Duration;

use clap::{Args, Subcommand};
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::Reporter;
use neuroca_deploy_engine::ports::StateStore;
use serde_json::json;

use crate::commands::preview::Preview;
use crate::context::Context;
use crate::deploy::ended;
use crate::drive::{Driven, Manner, Task, drive};
use crate::error::{Exit, Failure, Result};
use crate::intents::{Running, leave, running, until_ended};
use crate::output::progress::Progress;
use crate::output::rollout::{block, phase_name};
use crate::output::when;
use crate::site::{Site, is_detached};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy rollout watch production
  neuroca-deploy rollout pause production
  neuroca-deploy rollout abort production
  neuroca-deploy rollout preview production --rps 100";

/// Look at a rollout that has not ended, and speak to it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rollout {
    #[command(subcommand)]
    asked: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    #[command(flatten)]
    Running(What),
    /// Show what the policy would do with some traffic: false alarms, time to see faults and to promote.
    Preview(Preview),
}

#[derive(Debug, Subcommand)]
enum What {
    /// Where it stands.
    #[command(after_help = "Example:\n  neuroca-deploy rollout status production")]
    Status(Which),
    /// Follow it to its end; the exit code tells how it ended.
    #[command(after_help = "Example:\n  neuroca-deploy rollout watch production")]
    Watch(Which),
    /// Hold it where it is.
    #[command(after_help = "Example:\n  neuroca-deploy rollout pause production")]
    Pause(Which),
    /// Go on; a rollout that nobody drives is driven from here.
    #[command(after_help = "Example:\n  neuroca-deploy rollout resume production")]
    Resume(Which),
    /// Go on to the next step without waiting for the rest of this one, or through a gate; in the
    /// watch period, accept the release.
    #[command(
        after_help = "Examples:\n  neuroca-deploy rollout promote production\n  neuroca-deploy rollout promote production --full   # all traffic now"
    )]
    Promote(Promote),
    /// Turn it back.
    #[command(
        after_help = "Example:\n  neuroca-deploy rollout abort production --reason 'wrong release'"
    )]
    Abort(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Why; kept with what is asked.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
struct Promote {
    #[command(flatten)]
    which: Which,
    /// Skip all further steps: the new release gets all of the traffic.
    #[arg(long)]
    full: bool,
}

impl Rollout {
    /// Whether it tells of a rollout as it goes.
    pub fn streams(&self) -> bool {
        matches!(self.asked, Asked::Running(_))
    }

    pub fn run(self, ctx: &Context) -> Result {
        match &self.asked {
            Asked::Running(what) => what.run(ctx),
            Asked::Preview(preview) => preview.run(ctx),
        }
    }
}

impl What {
    fn run(&self, ctx: &Context) -> Result {
        let (What::Status(which)
        | What::Watch(which)
        | What::Pause(which)
        | What::Resume(which)
        | What::Promote(Promote { which, .. })
        | What::Abort(which)) = self;
        ctx.wait(async {
            let site = Site::of_state(ctx, &which.environment)?;
            let store = site.store()?;
            let store = store.as_ref();
            let open = running(&site, store).await?;
            let Some(open) = open else { return nothing(ctx, &site, self) };
            match self {
                What::Status(_) => status(ctx, &site, &open).await,
                What::Watch(_) => watch(ctx, &site, store, open).await,
                What::Pause(_) => pause(ctx, &site, store, &open, which).await,
                What::Resume(_) => resume(ctx, &site, store, &open, which).await,
                What::Promote(Promote { full, .. }) => {
                    let intent = Intent::Promote { full: *full };
                    leave(&site, store, &intent, which.reason.clone()).await?;
                    match open.holder {
                        Some(_) => taken_up(ctx, &site, store, "promote").await,
                        None => go_on(ctx, &site, store, &open, "promote").await,
                    }
                }
                What::Abort(_) => {
                    leave(&site, store, &Intent::Abort, which.reason.clone()).await?;
                    until_ended(ctx, &site, store, &Manner::default()).await?;
                    aborted(ctx, &site, store, &open).await
                }
            }
        })
    }
}

fn nothing(ctx: &Context, site: &Site, what: &What) -> Result {
    if let What::Status(_) = what {
        if ctx.output.json {
            let body = json!({ "environment": site.environment, "running": false });
            ctx.output.document("rollout", body);
        } else {
            ctx.output.data("no rollout is running\n");
        }
        return Ok(Exit::Done);
    }
    Err(Failure::failed("no rollout is running or interrupted")
        .hint(format!("see how the last one ended: neuroca-deploy history {}", site.environment)))
}

async fn status(ctx: &Context, site: &Site, open: &Running) -> Result {
    let observed = site.observe(&ctx.project).await.unwrap_or_default();
    if ctx.output.json {
        ctx.output.document(
            "rollout",
            json!({
                "environment": site.environment,
                "running": true,
                "driver": open.holder,
                "digest": open.plan.digest(),
                "release": open.plan.rollout.release,
                "phase": open.state.phase,
                "paused": open.state.paused,
                "turning_back": open.state.is_turning_back(),
                "waits_for": open.state.waits_for(),
                "step": open.state.step(),
                "steps": open.state.spec.steps,
                "inconclusive": open.state.inconclusive,
                "blind": open.state.blind,
                "evidence": open.state.spec.has_judge().then(|| open.state.judge.evidence()),
                "observed": observed,
            }),
        );
        return Ok(Exit::Done);
    }
    let mut text = block(&open.state, &observed, ctx.output.out, when::now_ms()).join("\n");
    text.push_str(&match &open.holder {
        Some(holder) => format!("\n    driven by {holder}\n"),
        None => format!(
            "\n    nobody drives it; go on with: neuroca-deploy rollout resume {}\n",
            site.environment
        ),
    });
    ctx.output.data(&text);
    Ok(Exit::Done)
}

async fn watch(ctx: &Context, site: &Site, store: &dyn StateStore, first: Running) -> Result {
    let progress = Progress::new(ctx.output);
    let plan = first.plan.clone();
    let began = when::now_ms();
    let mut now = Some(first);
    while let Some(open) = now {
        if open.holder.is_none() {
            progress.end();
            return Err(Failure::new(Exit::Stopped, "interrupted", "nobody drives the rollout")
                .hint(format!("go on with: neuroca-deploy rollout resume {}", site.environment)));
        }
        let observed = site.observe(&ctx.project).await.unwrap_or_default();
        progress.state(&open.state, &observed);
        tokio::time::sleep(Duration::from_millis(200)).await;
        now = running(site, store).await?;
    }
    progress.end();
    match outcome(site, store).await? {
        Some(outcome) => ended(ctx, site, &plan, Driven::Ended(outcome), began),
        None => Ok(Exit::Done),
    }
}

async fn pause(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    open: &Running,
    which: &Which,
) -> Result {
    if open.holder.is_none() {
        ctx.output.note("nobody drives it, so it stands still already");
        return Ok(Exit::Done);
    }
    if open.state.is_turning_back() {
        return Err(Failure::failed("the rollout is being turned back, which cannot be paused"));
    }
    leave(site, store, &Intent::Pause, which.reason.clone()).await?;
    taken_up(ctx, site, store, "pause").await
}

async fn resume(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    open: &Running,
    which: &Which,
) -> Result {
    // A process that only drives on without a terminal must not end a pause: nobody has said so.
    if !is_detached() {
        leave(site, store, &Intent::Resume, which.reason.clone()).await?;
    }
    match open.holder {
        Some(_) => taken_up(ctx, site, store, "resume").await,
        None => go_on(ctx, site, store, open, "resume").await,
    }
}

/// Drives the rollout from here, unless somebody else was quicker to do so.
async fn go_on(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    open: &Running,
    word: &str,
) -> Result {
    let began = when::now_ms();
    let manner = Manner { lock_wait: Duration::from_secs(1), ..Manner::default() };
    let failure = match drive(ctx, site, store, Task::Resume, &manner).await {
        Ok(driven) => return ended(ctx, site, &open.plan, driven, began),
        Err(failure) => failure,
    };
    match running(site, store).await? {
        Some(_) if failure.exit == Exit::Locked => taken_up(ctx, site, store, word).await,
        Some(_) => Err(failure),
        None => match outcome(site, store).await? {
            Some(outcome) => ended(ctx, site, &open.plan, Driven::Ended(outcome), began),
            None => Err(failure),
        },
    }
}

/// Waits until whoever drives has taken up what was left.
async fn taken_up(ctx: &Context, site: &Site, store: &dyn StateStore, word: &str) -> Result {
    let fail = |e| Failure::of_store(e, &site.environment);
    for _ in 0..200 {
        let left = store.intents().await.map_err(fail)?;
        if !left.iter().any(|(_, intent)| intent.word() == word) {
            let now = running(site, store).await?;
            let text = match now {
                Some(open) => format!(
                    "{word} was taken up: {}; waits for {}",
                    phase_name(open.state.phase),
                    open.state.waits_for()
                ),
                None => format!("{word} was taken up, and the rollout has ended"),
            };
            if ctx.output.json {
                ctx.output.document("intent", json!({ "intent": word, "taken_up": true }));
            } else {
                ctx.output.data(&format!("{text}\n"));
            }
            return Ok(Exit::Done);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::failed(format!("{word} was left, and whoever drives has not taken it up in 10 s"))
        .hint(format!(
            "it is busy with an effect, or gone: neuroca-deploy rollout status {}",
            site.environment
        )))
}

async fn aborted(ctx: &Context, site: &Site, store: &dyn StateStore, open: &Running) -> Result {
    match outcome(site, store).await? {
        Some(Outcome::Deployed) => {
            Err(Failure::failed("it was too late: the release was deployed")
                .hint(format!("go back with: neuroca-deploy rollback {}", site.environment)))
        }
        Some(outcome @ (Outcome::Failed { .. } | Outcome::Stranded { .. })) => {
            Err(Failure::of_outcome(&outcome, &site.environment)
                .unwrap_or_else(|| Failure::failed("failed")))
        }
        _ => {
            let release = &open.plan.rollout.release;
            if ctx.output.json {
                let body = json!({ "outcome": "aborted", "release": release });
                ctx.output.event("outcome", body);
            } else {
                ctx.output
                    .data(&format!("{release} was turned back; traffic is where it was before\n"));
            }
            Ok(Exit::Done)
        }
    }
}

async fn outcome(site: &Site, store: &dyn StateStore) -> Result<Option<Outcome>> {
    let history = store.history(1).await.map_err(|e| Failure::of_store(e, &site.environment))?;
    Ok(history.into_iter().next().and_then(|entry| entry.outcome))
}
