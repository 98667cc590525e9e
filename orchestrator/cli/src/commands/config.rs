//! `config`: what an environment resolves to, where each value came from, and the schema.

use clap::Args;
use neuroca_deploy_core::config::schema;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::flags::Selection;
use crate::output::table::table;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy config production
  neuroca-deploy config production --explain
  neuroca-deploy config --schema > environment.schema.json";

/// Show what an environment resolves to.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Config {
    /// The environment.
    #[arg(value_name = "ENV", required_unless_present = "schema")]
    environment: Option<String>,
    /// Show where each value came from.
    #[arg(long)]
    explain: bool,
    /// Print the JSON Schema of environment files, for editors.
    #[arg(long, conflicts_with_all = ["environment", "explain"])]
    schema: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Config {
    pub fn run(self, ctx: &Context) -> Result {
        if self.schema {
            let text = serde_json::to_string_pretty(&schema())
                .map_err(|e| Failure::failed(format!("cannot write the schema: {e}")))?;
            ctx.output.data(&format!("{text}\n"));
            return Ok(Exit::Done);
        }
        let environment = self.environment.unwrap_or_default();
        let resolved = ctx.project.resolve(&environment, &self.selection.sets)?;
        match (self.explain, ctx.output.json) {
            (true, true) => {
                let settings = resolved.explain();
                ctx.output.document(
                    "explanation",
                    json!({ "environment": environment, "settings": settings }),
                );
            }
            (true, false) => {
                let rows: Vec<Vec<String>> = resolved
                    .explain()
                    .into_iter()
                    .map(|e| vec![e.path, e.value, ctx.output.out.dim(&e.origin)])
                    .collect();
                ctx.output.data(&table(ctx.output.out, &["SETTING", "VALUE", "FROM"], &rows));
            }
            (false, true) => {
                let body = json!({ "environment": environment, "settings": resolved.environment });
                ctx.output.document("config", body);
            }
            (false, false) => {
                let text = serde_yaml::to_string(&resolved.environment)
                    .map_err(|e| Failure::failed(format!("cannot write the configuration: {e}")))?;
                ctx.output.data(&text);
            }
        }
        Ok(Exit::Done)
    }
}
