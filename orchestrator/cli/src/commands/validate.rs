//! `validate`: whether an environment's files, templates and artifacts are in order. Needs no target.

use clap::Args;
use neuroca_deploy_core::config::model::TargetKind;
use neuroca_deploy_core::manifests::read;
use serde_json::json;

use crate::context::Context;
use crate::desired::unusable;
use crate::error::{Exit, Result};
use crate::flags::Selection;
use crate::site::LocalSite;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy validate production
  neuroca-deploy validate production --release 1.4.0";

/// Check an environment's files, templates and artifacts.
///
/// Secrets are not read, so that it can run where they are not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Validate {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    #[command(flatten)]
    selection: Selection,
}

impl Validate {
    pub fn run(self, ctx: &Context) -> Result {
        let resolved = ctx.project.resolve(&self.environment, &self.selection.sets)?;
        let documents = ctx.project.render(&self.environment, &resolved)?;
        if resolved.environment.target == TargetKind::Kubernetes {
            read(&documents).map_err(|problems| unusable(Exit::Usage, problems))?;
        }
        let mut artifacts: Vec<(String, String)> = resolved
            .environment
            .components
            .iter()
            .map(|(name, c)| (name.clone(), c.artifact.clone()))
            .collect();
        if let Some(version) = &self.selection.release {
            let named = ctx.project.release(version)?;
            for (name, artifact) in &mut artifacts {
                if let Some(entry) = named.get(name) {
                    *artifact = entry.path().to_string();
                }
            }
        }
        if resolved.environment.target == TargetKind::Local {
            for (name, artifact) in &artifacts {
                LocalSite::find_artifact(&ctx.project, name, artifact)?;
            }
        }
        if ctx.output.json {
            let body = json!({
                "environment": self.environment,
                "components": resolved.environment.components.keys().collect::<Vec<_>>(),
                "documents": documents.iter().map(|d| &d.path).collect::<Vec<_>>(),
            });
            ctx.output.document("validation", body);
        } else {
            let count =
                |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            ctx.output.data(&format!(
                "{} {}: {}, {}\n",
                ctx.output.out.good("valid:"),
                self.environment,
                count(artifacts.len(), "component"),
                count(documents.len(), "document")
            ));
        }
        Ok(Exit::Done)
    }
}
