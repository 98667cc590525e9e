//! `plan`: what would be done, why, and what it does to traffic. Changes nothing.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::flags::Selection;
use crate::foresight::{foresight, say};
use crate::output::plan::{self as printed, Show};
use crate::planning;
use crate::site::{Looking, Site};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy plan production
  neuroca-deploy plan production --release 1.4.0 --out production.plan
  neuroca-deploy plan production --detailed-exitcode   # 0 nothing to do, 2 changes";

/// Show what would change, why, and what it does to traffic.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Plan {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    #[command(flatten)]
    selection: Selection,
    /// Save the plan, for `show` and `apply --plan`.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Take over objects that belong to others, where a manifest of yours names them.
    #[arg(long)]
    adopt: bool,
    /// Exit with 2 when there are changes.
    #[arg(long)]
    detailed_exitcode: bool,
}

impl Plan {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_files(ctx, &self.environment, &self.selection.sets)?;
            let store = site.store()?;
            let looking = Looking { adopt: self.adopt, try_new: true };
            let plan =
                planning::from_files(&ctx.project, &site, store.as_ref(), &self.selection, looking)
                    .await?;
            if let Some(out) = &self.out {
                save(&plan, out)?;
            }
            let warnings = foresight(ctx, &site, &plan).await;
            if ctx.output.json {
                let mut document = printed::document(&plan);
                document["warnings"] = json!(warnings);
                ctx.output.document("plan", document);
            } else {
                let show = Show { paint: ctx.output.out, defaults: ctx.verbose > 0 };
                ctx.output.data(&printed::plan(&plan, show));
                if let Some(out) = &self.out {
                    ctx.output.note(&format!(
                        "saved; do exactly this with: neuroca-deploy apply --plan {}",
                        out.display()
                    ));
                }
                say(ctx, &warnings);
            }
            unfinished_note(ctx, &site, store.as_ref()).await;
            Ok(match (self.detailed_exitcode, plan.is_noop()) {
                (true, false) => Exit::Changes,
                _ => Exit::Done,
            })
        })
    }
}

async fn unfinished_note(
    ctx: &Context,
    site: &Site,
    store: &dyn neuroca_deploy_engine::ports::StateStore,
) {
    if let Ok(Some(open)) = store.unfinished().await {
        ctx.output.note(&format!(
            "note: the rollout of {} has not ended; see `neuroca-deploy rollout status {}`",
            open.plan.rollout.release, site.environment
        ));
    }
}

/// Writes a plan, in one step.
pub fn save(plan: &neuroca_deploy_core::plan::Plan, out: &std::path::Path) -> Result<()> {
    let cannot = |error: String| {
        Failure::failed(format!("cannot write the plan to {}: {error}", out.display()))
            .hint("check that you may write there, and that the disk is not full")
    };
    let mut text =
        serde_json::to_string_pretty(&plan.save()).map_err(|error| cannot(error.to_string()))?;
    text.push('\n');
    std::fs::write(out, text).map_err(|error| cannot(error.to_string()))
}
