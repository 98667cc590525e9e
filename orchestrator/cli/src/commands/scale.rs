//! `scale`: the current release with more or fewer processes of a component.

use clap::Args;
use neuroca_deploy_core::release::{ComponentRelease, Release};

use crate::context::Context;
use crate::deploy::{Deployment, Driving, deploy, refuse_unfinished, wait_for_others};
use crate::error::{Failure, Result, did_you_mean};
use crate::planning::{in_force, towards};
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy scale production api 4
  neuroca-deploy scale production worker 0";

/// Change the number of a component's processes.
///
/// The next `apply` follows the environment file again; its plan shows that.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Scale {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    component: String,
    /// How many processes.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    replicas: u32,
    #[command(flatten)]
    driving: Driving,
}

impl Scale {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            let store = store.as_ref();
            wait_for_others(ctx, &site, store, &self.driving).await?;
            let current = in_force(store, &self.environment).await?.release;
            let mut release = current.ok_or_else(|| {
                Failure::usage(format!("nothing is deployed in {}", self.environment))
                    .hint(format!("neuroca-deploy apply {}", self.environment))
            })?;
            let component = component_of(&mut release, &self.component)?;
            if self.replicas == 0 && component.spec.port {
                return Err(Failure::usage(format!(
                    "`{}` listens, so it needs at least one process",
                    self.component
                ))
                .hint("to take it out of service, remove the component and apply"));
            }
            component.spec.replicas = self.replicas;
            let plan = towards(&site, store, release, false, "scale").await?;
            refuse_unfinished(&site, store, &plan).await?;
            let command = format!(
                "neuroca-deploy scale {} {} {}",
                self.environment, self.component, self.replicas
            );
            let deployment = Deployment { plan: &plan, command: &command, question: "Scale?" };
            // Asked for by name: there is nothing in the plan that was not said.
            deploy(ctx, &site, store, &deployment, true, &self.driving).await
        })
    }
}

/// The component of a release, or what is known instead.
pub fn component_of<'a>(release: &'a mut Release, name: &str) -> Result<&'a mut ComponentRelease> {
    if !release.components.contains_key(name) {
        let known: Vec<&str> = release.components.keys().map(String::as_str).collect();
        let failure = Failure::usage(format!("there is no component `{name}` in what is deployed"));
        return Err(match did_you_mean(name, known.iter().copied()) {
            Some(close) => failure.hint(format!("did you mean `{close}`?")),
            None => failure.hint(format!("there is: {}", known.join(", "))),
        });
    }
    Ok(release.components.get_mut(name).expect("it was looked for just before"))
}
