//! `version`: what this binary is, and which forms it reads.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Result};
use crate::output::FORMAT;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy version
  neuroca-deploy --json version";

/// Show the version.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Version {}

impl Version {
    pub fn run(self, ctx: &Context) -> Result {
        let version = env!("CARGO_PKG_VERSION");
        if ctx.output.json {
            let plan = neuroca_deploy_core::plan::FORMAT;
            ctx.output.document(
                "version",
                json!({ "version": version, "plan_format": plan, "json_format": FORMAT }),
            );
        } else {
            ctx.output.data(&format!("neuroca-deploy {version}\n"));
        }
        Ok(Exit::Done)
    }
}
