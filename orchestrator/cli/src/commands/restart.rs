//! `restart`: the current release with new processes, by the same way as any other release.

use clap::Args;

use crate::commands::scale::component_of;
use crate::context::Context;
use crate::deploy::{Deployment, Driving, deploy, refuse_unfinished, wait_for_others};
use crate::error::{Failure, Result};
use crate::planning::{Found, in_force, towards};
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy restart production -y
  neuroca-deploy restart production api -y --reason 'memory grows'";

/// Start the current release's processes anew, without losing a request.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Restart {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Only this component.
    component: Option<String>,
    #[command(flatten)]
    driving: Driving,
}

impl Restart {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            let store = store.as_ref();
            wait_for_others(ctx, &site, store, &self.driving).await?;
            let Found { base, release: current, .. } = in_force(store, &self.environment).await?;
            let mut release = current.filter(|r| !r.components.is_empty()).ok_or_else(|| {
                Failure::usage(format!("nothing is deployed in {}", self.environment))
                    .hint(format!("neuroca-deploy apply {}", self.environment))
            })?;
            if let Some(name) = &self.component {
                component_of(&mut release, name)?;
            }
            // From the history, not from a clock: the same restart again is the same release.
            let nonce = format!("after number {}", base.sequence);
            for (name, component) in &mut release.components {
                if self.component.as_ref().is_none_or(|wanted| wanted == name) {
                    component.restarted = Some(nonce.clone());
                }
            }
            let plan = towards(&site, store, release, false, "restart").await?;
            refuse_unfinished(&site, store, &plan).await?;
            let deployment = Deployment {
                plan: &plan,
                command: &format!("neuroca-deploy restart {}", self.environment),
                question: "Restart?",
            };
            // Asked for by name: there is nothing in the plan that was not said.
            deploy(ctx, &site, store, &deployment, true, &self.driving).await
        })
    }
}
