//! `apply`: does a plan, exactly, or says why not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::StateStore;

use crate::context::Context;
use crate::deploy::{
    Deploying, Deployment, carry_out, deploy, refuse_unfinished, show, wait_for_others,
};
use crate::error::{Exit, Failure, Result};
use crate::flags::Selection;
use crate::intents::{leave, until_ended};
use crate::planning;
use crate::site::{Looking, Site};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy apply development
  neuroca-deploy apply production --release 1.4.0 -y --reason 'fixes 1234'
  neuroca-deploy apply --plan production.plan -y      # exactly the approved plan, or exit 3
  neuroca-deploy apply production -y --supersede      # take the place of a running rollout";

/// Carry out a plan.
///
/// Interrupted, the same command goes on where the journal ends.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Apply {
    /// The environment.
    #[arg(value_name = "ENV", required_unless_present = "plan")]
    environment: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// Carry out this saved plan, exactly.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["release", "sets"], value_hint = clap::ValueHint::FilePath)]
    plan: Option<PathBuf>,
    #[command(flatten)]
    flags: Deploying,
    /// Take over objects that belong to others, where a manifest of yours names them.
    #[arg(long, conflicts_with = "plan")]
    adopt: bool,
    /// Take the place of a rollout that is running: it is turned back first.
    #[arg(long)]
    supersede: bool,
}

impl Apply {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            match &self.plan {
                Some(file) => {
                    let plan = planning::saved(file)?;
                    if let Some(environment) =
                        self.environment.as_ref().filter(|e| **e != plan.environment)
                    {
                        return Err(Failure::usage(format!(
                            "{} is a plan for `{}`, not for `{environment}`",
                            file.display(),
                            plan.environment
                        ))
                        .hint(format!("neuroca-deploy apply --plan {}", file.display())));
                    }
                    same_project(ctx, &plan, file)?;
                    let site = Site::of_plan(ctx, &plan)?;
                    let command = format!("neuroca-deploy apply --plan {}", file.display());
                    self.saved(ctx, &site, plan, &command).await
                }
                None => {
                    let environment = self.environment.clone().unwrap_or_default();
                    let site = Site::of_files(ctx, &environment, &self.selection.sets)?;
                    // Whoever is to be superseded may be about to begin.
                    for _ in 0..20 {
                        match self.files(ctx, &site).await {
                            Err(failure) if self.supersede && failure.exit == Exit::Locked => {
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                            other => return other,
                        }
                    }
                    self.files(ctx, &site).await
                }
            }
        })
    }

    async fn saved(&self, ctx: &Context, site: &Site, plan: Plan, command: &str) -> Result {
        let store = site.store()?;
        let store = store.as_ref();
        let environment = &site.environment;
        if !self.supersede {
            wait_for_others(ctx, site, store, &self.flags.driving).await?;
        }
        let open = store.unfinished().await.map_err(|e| Failure::of_store(e, environment))?;
        if self.supersede && open.is_some_and(|open| open.plan.digest() != plan.digest()) {
            show(ctx, &plan);
            let question = "Turn the running rollout back, and carry out this plan?";
            ctx.confirm(self.flags.auto_approve, question, &format!("{command} --supersede"))?;
            self.superseded(ctx, site, store).await?;
        }
        refuse_unfinished(site, store, &plan).await?;
        let resumes = store.unfinished().await.is_ok_and(|open| open.is_some());
        if !resumes {
            planning::fresh(&plan, site, store).await?;
        }
        planning::same_sources(&plan, &ctx.project, site).await?;
        self.approved_and_done(ctx, site, store, &plan, command).await
    }

    async fn files(&self, ctx: &Context, site: &Site) -> Result {
        let store = site.store()?;
        let store = store.as_ref();
        if !self.supersede {
            wait_for_others(ctx, site, store, &self.flags.driving).await?;
        }
        let looking = Looking { adopt: self.adopt, try_new: false };
        let from_files =
            || planning::from_files(&ctx.project, site, store, &self.selection, looking);
        let mut plan = from_files().await?;
        let command = format!("neuroca-deploy apply {}", site.environment);
        let open = store.unfinished().await.map_err(|e| Failure::of_store(e, &site.environment))?;
        // Interrupted after manifests were written, it finds less to do than it began with: it goes on with what it began.
        let open = match open {
            Some(open) if open.plan.leads_as(&plan) => {
                plan = open.plan;
                None
            }
            other => other,
        };
        if self.supersede && open.is_some() {
            show(ctx, &plan);
            let question = "Turn the running rollout back, and carry out this plan?";
            ctx.confirm(self.flags.auto_approve, question, &format!("{command} --supersede"))?;
            self.superseded(ctx, site, store).await?;
            let now = from_files().await?;
            if now.digest() != plan.digest() && !self.flags.auto_approve {
                let what = "the rollout that ran has ended with its release in force, so this plan is stale";
                return Err(planning::stale(what.into(), &site.environment));
            }
            plan = now;
            let deployment = deployment(&plan, &command);
            return carry_out(ctx, site, store, &deployment, &self.flags.driving).await;
        }
        refuse_unfinished(site, store, &plan).await?;
        self.approved_and_done(ctx, site, store, &plan, &command).await
    }

    async fn approved_and_done(
        &self,
        ctx: &Context,
        site: &Site,
        store: &dyn StateStore,
        plan: &Plan,
        command: &str,
    ) -> Result {
        deploy(
            ctx,
            site,
            store,
            &deployment(plan, command),
            self.flags.auto_approve,
            &self.flags.driving,
        )
        .await
    }

    async fn superseded(&self, ctx: &Context, site: &Site, store: &dyn StateStore) -> Result<()> {
        leave(site, store, &Intent::Supersede, self.flags.driving.reason.clone()).await?;
        until_ended(ctx, site, store, &self.flags.driving.manner()).await
    }
}

/// Refuses a plan of another project than the one whose files are here: its artifacts are elsewhere.
fn same_project(ctx: &Context, plan: &Plan, file: &Path) -> Result<()> {
    match ctx.project.name_for(&plan.environment) {
        Some(here) if here != plan.project => Err(Failure::usage(format!(
            "{} is a plan for the project `{}`, not for `{here}`, which is here",
            file.display(),
            plan.project
        ))
        .hint("go to that project's folder, or pass --project DIR")),
        _ => Ok(()),
    }
}

fn deployment<'a>(plan: &'a Plan, command: &'a str) -> Deployment<'a> {
    Deployment { plan, command, question: "Carry out this plan?" }
}
