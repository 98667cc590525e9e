//! `rollback`: traffic back to an earlier release. Needs no project files and waits for no lock.

use std::time::Duration;

use clap::Args;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::release::Release;
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{HistoryEntry, StateStore};
use serde_json::json;

use crate::context::Context;
use crate::deploy::{Deploying, Deployment, deploy, detach};
use crate::error::{Exit, Failure, Result};
use crate::intents::{leave, running, until_ended};
use crate::planning::towards;
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy rollback production -y             # the release before the present one
  neuroca-deploy rollback production --to 41 -y     # a number or release of `history`
  neuroca-deploy rollback production -y --reason 'errors after 1.4.0'";

/// How far back the history is looked at.
const LOOK_BACK: usize = 1000;

/// Go back to an earlier release.
///
/// While a rollout runs, it is turned back. Otherwise the plan leads to the release that was in force
/// before the present one; going back twice goes back two releases.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rollback {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// The release to go to: its id, its version or its number in the history.
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    #[command(flatten)]
    flags: Deploying,
}

impl Rollback {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            // Somebody may begin a rollout while this is being planned: it is turned back then.
            for _ in 0..5 {
                match self.attempt(ctx, &site, store.as_ref()).await {
                    Err(failure) if failure.exit == Exit::Locked => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    other => return other,
                }
            }
            self.attempt(ctx, &site, store.as_ref()).await
        })
    }

    async fn attempt(&self, ctx: &Context, site: &Site, store: &dyn StateStore) -> Result {
        if let Some(open) = running(site, store).await? {
            let release = open.plan.rollout.release.clone();
            let question = format!("Turn the rollout of {release} back?");
            let command = format!("neuroca-deploy rollback {}", self.environment);
            ctx.confirm(self.flags.auto_approve, &question, &command)?;
            if self.flags.driving.detach {
                return self.elsewhere(ctx, site);
            }
            leave(site, store, &Intent::Rollback, self.flags.driving.reason.clone()).await?;
            until_ended(ctx, site, store, &self.flags.driving.manner()).await?;
            let outcome = last_outcome(site, store).await?;
            // A rollout that had ended well by then is gone back from below.
            if self.to.is_none() && outcome.as_ref() != Some(&Outcome::Deployed) {
                return told(ctx, &release.0, outcome);
            }
        }
        let history =
            store.history(LOOK_BACK).await.map_err(|e| Failure::of_store(e, &self.environment))?;
        let (number, release) = match &self.to {
            Some(to) => named(site, store, &history, to).await?,
            None => previous(site, store, &history).await?,
        };
        let because = format!("rollback to number {number}");
        let plan = towards(site, store, release, true, &because).await?;
        let deployment = Deployment {
            plan: &plan,
            command: &format!("neuroca-deploy rollback {} --to {number}", self.environment),
            question: "Go back?",
        };
        deploy(ctx, site, store, &deployment, self.flags.auto_approve, &self.flags.driving).await
    }
}

impl Rollback {
    /// All of it by a process of its own: what is gone back to is known when the rollout has ended.
    fn elsewhere(&self, ctx: &Context, site: &Site) -> Result {
        let mut words = ["rollback", &self.environment, "-y"].map(String::from).to_vec();
        if let Some(to) = &self.to {
            words.extend(["--to".into(), to.clone()]);
        }
        words.extend(self.flags.driving.words());
        detach(ctx, site, words)
    }
}

fn told(ctx: &Context, release: &str, outcome: Option<Outcome>) -> Result {
    let gone_wrong = match &outcome {
        Some(Outcome::Failed { reason } | Outcome::Stranded { reason }) => Some(reason.clone()),
        _ => None,
    };
    if ctx.output.json {
        ctx.output.event("outcome", json!({ "outcome": "turned_back", "release": release }));
    } else if gone_wrong.is_none() {
        ctx.output.data(&format!(
            "{} the rollout of {release} was turned back; traffic is where it was before\n",
            ctx.output.out.good("Rolled back.")
        ));
    }
    match gone_wrong {
        Some(reason) => Err(Failure::failed(format!("failed: {reason}"))),
        None => Ok(Exit::Done),
    }
}

async fn last_outcome(site: &Site, store: &dyn StateStore) -> Result<Option<Outcome>> {
    let history = store.history(1).await.map_err(|e| Failure::of_store(e, &site.environment))?;
    Ok(history.into_iter().next().and_then(|entry| entry.outcome))
}

/// The release that `to` names, if it was deployed.
async fn named(
    site: &Site,
    store: &dyn StateStore,
    history: &[HistoryEntry],
    to: &str,
) -> Result<(u64, Release)> {
    let is_named = |entry: &&HistoryEntry| {
        entry.release.0 == to
            || entry.version.as_deref() == Some(to)
            || to.parse() == Ok(entry.sequence)
    };
    let deployed = |entry: &&HistoryEntry| entry.outcome == Some(Outcome::Deployed);
    if let Some(entry) = history.iter().filter(deployed).find(is_named) {
        return match record(site, store, entry).await? {
            Some(release) => Ok((entry.sequence, release)),
            None => Err(Failure::usage(format!("the record of release {} is no longer kept", entry.release))
                .hint("`retention.releases` says how many are kept; deploy its version again with apply --release")),
        };
    }
    let hint = format!("see the releases: neuroca-deploy history {}", site.environment);
    Err(match history.iter().find(is_named) {
        Some(entry) => {
            let word = entry.outcome.as_ref().map_or("not ended", Outcome::word);
            Failure::usage(format!("release {to} was never in force: its rollout was {word}"))
                .hint(hint)
        }
        None => Failure::usage(format!("there is no release {to} in the history")).hint(hint),
    })
}

/// The release before the present one. One that was gone back from is not gone back to.
async fn previous(
    site: &Site,
    store: &dyn StateStore,
    history: &[HistoryEntry],
) -> Result<(u64, Release)> {
    let mut earlier = way_back(history);
    earlier.pop();
    while let Some(entry) = earlier.pop() {
        match record(site, store, entry).await? {
            // After `destroy` there was nothing; going back to nothing is not what is meant.
            Some(release) if release.is_empty() => {}
            Some(release) => return Ok((entry.sequence, release)),
            None => break,
        }
    }
    Err(Failure::usage(format!("{} has no earlier release to go back to", site.environment)).hint(
        format!("name one with --to; see them with: neuroca-deploy history {}", site.environment),
    ))
}

/// The releases that were in force, without those that were gone back from; the present one last.
fn way_back(history: &[HistoryEntry]) -> Vec<&HistoryEntry> {
    let mut way: Vec<&HistoryEntry> = Vec::new();
    let deployed = |entry: &&HistoryEntry| entry.outcome == Some(Outcome::Deployed);
    for entry in history.iter().rev().filter(deployed) {
        if entry.rollback
            && let Some(at) = way.iter().rposition(|e| e.release == entry.release)
        {
            way.truncate(at);
        }
        way.retain(|e| e.release != entry.release);
        way.push(entry);
    }
    way
}

async fn record(
    site: &Site,
    store: &dyn StateStore,
    entry: &HistoryEntry,
) -> Result<Option<Release>> {
    store.release(&entry.release).await.map_err(|e| Failure::of_store(e, &site.environment))
}

#[cfg(test)]
mod tests {
    use neuroca_deploy_core::release::ReleaseId;
    use neuroca_deploy_engine::ports::Who;

    use super::*;

    fn entry(sequence: u64, release: &str, rollback: bool, outcome: Outcome) -> HistoryEntry {
        HistoryEntry {
            sequence,
            release: ReleaseId(release.into()),
            version: None,
            outcome: Some(outcome),
            who: Who::default(),
            started_ms: 0,
            ended_ms: None,
            current: false,
            rollback,
        }
    }

    fn way(entries: &[(&str, bool)]) -> Vec<String> {
        let mut history: Vec<HistoryEntry> = entries
            .iter()
            .zip(1..)
            .map(|((release, rollback), n)| entry(n, release, *rollback, Outcome::Deployed))
            .collect();
        history.reverse();
        way_back(&history).iter().map(|e| e.release.0.clone()).collect()
    }

    #[test]
    fn going_back_twice_goes_back_two_releases() {
        assert_eq!(way(&[("a", false), ("b", false), ("c", false)]), ["a", "b", "c"]);
        assert_eq!(way(&[("a", false), ("b", false), ("c", false), ("b", true)]), ["a", "b"]);
        assert_eq!(way(&[("a", false), ("b", false), ("a", true), ("c", false)]), ["a", "c"]);
    }

    #[test]
    fn a_release_that_was_turned_back_is_not_on_the_way() {
        let bad = entry(2, "b", false, Outcome::TurnedBack { reason: "sick".into() });
        let history =
            [entry(3, "c", false, Outcome::Deployed), bad, entry(1, "a", false, Outcome::Deployed)];
        let names: Vec<&str> = way_back(&history).iter().map(|e| e.release.0.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
    }
}
