//! `show`: a saved plan, as an approver reads it.

use std::path::PathBuf;

use clap::Args;

use crate::context::Context;
use crate::error::{Exit, Result};
use crate::output::plan::{self as printed, Show as Shown};
use crate::planning;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy show production.plan
  neuroca-deploy --json show production.plan";

/// Show a saved plan.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// The file that `plan --out` wrote.
    #[arg(value_hint = clap::ValueHint::FilePath)]
    plan: PathBuf,
}

impl Show {
    pub fn run(self, ctx: &Context) -> Result {
        let plan = planning::saved(&self.plan)?;
        if ctx.output.json {
            ctx.output.document("plan", printed::document(&plan));
        } else {
            let show = Shown { paint: ctx.output.out, defaults: ctx.verbose > 0 };
            ctx.output.data(&printed::plan(&plan, show));
        }
        Ok(Exit::Done)
    }
}
