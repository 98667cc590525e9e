//! `destroy`: drains and stops everything of an environment, by a plan like any other.

use clap::Args;
use neuroca_deploy_core::config::units::Millis;
use neuroca_deploy_core::rollout::Intent;
use serde_json::json;

use crate::context::Context;
use crate::deploy::{Deploying, Deployment, deploy, detach};
use crate::error::{Exit, Result};
use crate::intents::{leave, running, until_ended};
use crate::planning::{in_force, towards};
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy destroy development
  neuroca-deploy destroy development -y --purge    # also history, logs and the components' data";

/// Stop everything of an environment.
///
/// History, artifacts and the components' data stay, so that `apply` or `rollback --to` bring it back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Destroy {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Also remove the state folder: history, artifacts, logs and the components' data.
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    flags: Deploying,
}

impl Destroy {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let command = format!("neuroca-deploy destroy {}", self.environment);
            if self.purge {
                let question = format!(
                    "Remove {} with history, artifacts, logs and the components' data?",
                    site.whereabouts()
                );
                ctx.confirm(self.flags.auto_approve, &question, &format!("{command} --purge"))?;
            }
            if self.flags.driving.detach {
                ctx.confirm(self.flags.auto_approve, "Stop all of it?", &command)?;
                return self.elsewhere(ctx, &site);
            }
            let store = site.store()?;
            let store = store.as_ref();
            if running(&site, store).await?.is_some() {
                let question = "Turn the running rollout back, and stop everything?";
                ctx.confirm(self.flags.auto_approve, question, &command)?;
                leave(&site, store, &Intent::Abort, self.flags.driving.reason.clone()).await?;
                until_ended(ctx, &site, store, &self.flags.driving.manner()).await?;
            }
            let current = in_force(store, &self.environment).await?.release;
            if let Some(mut release) = current.filter(|r| !r.is_empty()) {
                release.components.clear();
                release.manifests.clear();
                release.version = None;
                // Nothing is left to watch or to go back to at once.
                release.rollout.watch = Millis(0);
                release.rollout.rollback_window = Millis(0);
                let plan = towards(&site, store, release, false, "destroy").await?;
                let deployment =
                    Deployment { plan: &plan, command: &command, question: "Stop all of it?" };
                deploy(
                    ctx,
                    &site,
                    store,
                    &deployment,
                    self.flags.auto_approve,
                    &self.flags.driving,
                )
                .await?;
            } else if !ctx.output.json {
                ctx.output.note("nothing is deployed; what still runs is stopped");
            }
            site.stop_everything().await?;
            if self.purge {
                site.purge().await?;
            }
            if ctx.output.json {
                ctx.output.event("destroyed", json!({ "purged": self.purge }));
            } else if !self.purge {
                ctx.output.note(&format!("history and data stay in {}", site.whereabouts()));
            }
            Ok(Exit::Done)
        })
    }

    fn elsewhere(&self, ctx: &Context, site: &Site) -> Result {
        let mut words = ["destroy", &self.environment, "-y"].map(String::from).to_vec();
        if self.purge {
            words.push("--purge".into());
        }
        words.extend(self.flags.driving.words());
        detach(ctx, site, words)
    }
}
