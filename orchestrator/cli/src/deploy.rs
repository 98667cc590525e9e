//! From a plan to its end: shown, approved, driven, told. What `apply`, `rollback`, `restart`,
//! `scale` and `destroy` have in common.

use std::time::Duration;

use clap::Args;
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_engine::ports::{StateStore, StoreError};
use serde_json::json;

use crate::commands::plan::save;
use crate::context::Context;
use crate::drive::{Driven, Manner, Task, drive};
use crate::error::{Exit, Failure, Result};
use crate::foresight::{foresight, say};
use crate::output::manifests::lines as manifest_lines;
use crate::output::plan::{self as printed, Show};
use crate::output::when;
use crate::planning::manifests_now;
use crate::site::Site;

/// Flags of everything that deploys what has to be approved.
#[derive(Debug, Clone, Args)]
pub struct Deploying {
    /// Do not ask for approval.
    #[arg(short = 'y', long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub driving: Driving,
}

/// Flags of everything that drives a rollout.
#[derive(Debug, Clone, Args)]
pub struct Driving {
    /// Wait this long for somebody else's lock.
    // A driver that has just ended its rollout holds it for a moment.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub lock_timeout: Millis,
    /// Stop after this long; the journal stays open and the same command goes on.
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Millis>,
    /// Why; kept in the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Go on in a process of its own, and return.
    #[arg(long)]
    pub detach: bool,
}

impl Driving {
    pub fn manner(&self) -> Manner {
        Manner {
            lock_wait: Duration::from_millis(self.lock_timeout.0),
            timeout: self.timeout.map(|t| Duration::from_millis(t.0)),
            reason: self.reason.clone(),
        }
    }

    /// These flags for the process that goes on.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["--lock-timeout".to_string(), self.lock_timeout.to_string()];
        if let Some(timeout) = self.timeout {
            words.extend(["--timeout".into(), timeout.to_string()]);
        }
        if let Some(reason) = &self.reason {
            words.extend(["--reason".into(), reason.clone()]);
        }
        words
    }
}

/// What is deployed, and how to speak of it.
pub struct Deployment<'a> {
    pub plan: &'a Plan,
    /// The command that would do the same, for hints.
    pub command: &'a str,
    pub question: &'a str,
}

/// Shows the plan.
pub fn show(ctx: &Context, plan: &Plan) {
    if ctx.output.json {
        ctx.output.event("plan", printed::document(plan));
    } else {
        let show = Show { paint: ctx.output.out, defaults: ctx.verbose > 0 };
        ctx.output.data(&printed::plan(plan, show));
    }
}

/// Shows, asks, drives, tells.
pub async fn deploy(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    deployment: &Deployment<'_>,
    approved: bool,
    driving: &Driving,
) -> Result {
    let plan = deployment.plan;
    show(ctx, plan);
    if plan.is_noop() {
        // Processes that are not there though they should be are the supervisor's business.
        site.ensure_running().await?;
        tell(ctx, plan, &Outcome::Deployed, 0, true);
        return Ok(Exit::Done);
    }
    let goes_back = plan.rollout.rollback || plan.release.is_empty();
    if !goes_back {
        site.has_room()?;
    }
    say(ctx, &foresight(ctx, site, plan).await);
    ctx.confirm(approved, deployment.question, deployment.command)?;
    carry_out(ctx, site, store, deployment, driving).await
}

/// Drives an approved plan, and tells how it ended; or leaves that to a process of its own.
pub async fn carry_out(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    deployment: &Deployment<'_>,
    driving: &Driving,
) -> Result {
    let plan = deployment.plan;
    if driving.detach {
        // Named by what is in it: a second command must not change what the first one does.
        let folder = site.state()?.run();
        remove_old_plans(&folder);
        let file = folder.join(format!("{}.plan", plan.digest()));
        save(plan, &file)?;
        let file = file.to_string_lossy().into_owned();
        let words = ["apply", "--plan", &file, "-y"].map(String::from).to_vec();
        return detach(ctx, site, [words, driving.words()].concat());
    }
    let began = when::now_ms();
    let driven = drive(ctx, site, store, Task::Apply(plan), &driving.manner()).await?;
    if matches!(&driven, Driven::Ended(Outcome::Outdated { .. })) {
        say_what_it_would_be(ctx, site, plan).await;
    }
    ended(ctx, site, plan, driven, began)
}

/// Somebody changed objects before they were written: the difference is shown anew.
async fn say_what_it_would_be(ctx: &Context, site: &Site, plan: &Plan) {
    let Ok(Some(now)) = manifests_now(plan, site).await else { return };
    match ctx.output.json {
        true => ctx.output.event("manifests", json!(now)),
        false => {
            let lines = manifest_lines(&now, ctx.output.err);
            ctx.output.note(&format!("now the plan would be:\n{}", lines.trim_end()));
        }
    }
}

/// Removes what was left for processes that have long read it.
fn remove_old_plans(folder: &std::path::Path) {
    const OLD: Duration = Duration::from_secs(3600);
    let Ok(listing) = std::fs::read_dir(folder) else { return };
    for entry in listing.flatten().filter(|e| e.path().extension().is_some_and(|e| e == "plan")) {
        let age = entry.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
        if matches!(age, Ok(Ok(age)) if age >= OLD) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Has a process of its own do what these words say, and tells where to look.
pub fn detach(ctx: &Context, site: &Site, words: Vec<String>) -> Result {
    let log = site.detach(ctx, &words)?;
    detached(ctx, site, &log);
    Ok(Exit::Done)
}

/// Tells how a run ended.
pub fn ended(ctx: &Context, site: &Site, plan: &Plan, driven: Driven, began: u64) -> Result {
    match driven {
        Driven::Detached(log) => {
            detached(ctx, site, &log);
            Ok(Exit::Done)
        }
        Driven::Ended(outcome) => {
            let spent = when::now_ms().saturating_sub(began);
            tell(ctx, plan, &outcome, spent, false);
            match Failure::of_outcome(&outcome, &site.environment) {
                None => Ok(Exit::Done),
                Some(failure) => Err(failure),
            }
        }
    }
}

/// Says that it goes on elsewhere.
fn detached(ctx: &Context, site: &Site, log: &std::path::Path) {
    if ctx.output.json {
        ctx.output.event("detached", json!({ "log": log }));
    } else {
        ctx.output.data(&format!(
            "it goes on without this terminal; its output: {}\nwatch it: neuroca-deploy rollout watch {}\n",
            log.display(),
            site.environment
        ));
    }
}

fn tell(ctx: &Context, plan: &Plan, outcome: &Outcome, spent: u64, noop: bool) {
    let release = &plan.rollout.release;
    if ctx.output.json {
        let mut body = serde_json::to_value(outcome).unwrap_or_default();
        body["release"] = json!(release);
        body["digest"] = json!(plan.digest());
        body["noop"] = json!(noop);
        body["took_ms"] = json!(spent);
        ctx.output.event("outcome", body);
    } else if *outcome == Outcome::Deployed && !noop {
        let took = when::span(spent);
        let done = match plan.release.is_empty() {
            true => "Stopped.",
            false if plan.rollout.rollback => "Rolled back.",
            false => "Deployed.",
        };
        let done = ctx.output.out.good(done);
        let mut text = format!("{done} {release} in {took}");
        if !plan.release.components.is_empty() {
            text.push_str(&format!("; {}", plan.release.address()));
        }
        ctx.output.data(&format!("{text}\n"));
    }
}

/// Waits as long as was asked for until nobody drives a rollout: what is planned before that would be
/// stale afterwards.
pub async fn wait_for_others(
    ctx: &Context,
    site: &Site,
    store: &dyn StateStore,
    driving: &Driving,
) -> Result<()> {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let fail = |e| Failure::of_store(e, &site.environment);
    let (began, mut said) = (when::now_ms(), false);
    while when::now_ms().saturating_sub(began) < driving.lock_timeout.0 {
        if store.unfinished().await.map_err(fail)?.is_none() {
            break;
        }
        let Some(holder) = store.holder().await.map_err(fail)? else { break };
        if !std::mem::replace(&mut said, true) {
            ctx.output.note(&format!("waiting for {holder} to end the rollout"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// An interrupted or running rollout of another plan is in the way.
pub async fn refuse_unfinished(site: &Site, store: &dyn StateStore, plan: &Plan) -> Result<()> {
    let environment = &site.environment;
    let fail = |e| Failure::of_store(e, environment);
    let Some(open) = store.unfinished().await.map_err(fail)? else { return Ok(()) };
    if open.plan.digest() == plan.digest() {
        return Ok(());
    }
    if let Some(holder) = store.holder().await.map_err(fail)? {
        return Err(fail(StoreError::Held { holder }));
    }
    Err(Failure::of_engine(
        neuroca_deploy_engine::EngineError::Unfinished { release: open.plan.rollout.release },
        environment,
    ))
}
