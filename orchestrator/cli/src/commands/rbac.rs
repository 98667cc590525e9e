//! `rbac`: what has to be allowed for an environment on a cluster, as manifests for an administrator.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::context::Context;
use crate::desired::manifests;
use crate::error::{Exit, Failure, Result};
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy rbac staging                                   # look at it
  neuroca-deploy rbac staging | kubectl apply -f -              # once, as an administrator
  neuroca-deploy rbac staging --part namespace > role.yaml
  kubectl -n NAMESPACE create token neuroca-deploy              # for whoever deploys every day";

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What only an administrator may make: the namespace, and the policy that fences drivers.
    Cluster,
    /// An account with a Role in the namespace, for every day.
    Namespace,
}

/// Print the least that has to be allowed to deploy an environment to a cluster.
///
/// The account `neuroca-deploy` in the namespace gets a Role with exactly the verbs that plans, rollouts and `destroy`
/// take, those for the kinds of your own manifests among them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Rbac {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// One of the two parts alone.
    #[arg(long, value_name = "PART")]
    part: Option<Part>,
}

impl Rbac {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_files(ctx, &self.environment, &[])?;
            let Some(on) = site.as_kubernetes() else {
                return Err(Failure::usage(format!(
                    "{} does not run on a cluster",
                    self.environment
                ))
                .hint("there is nothing to allow on one machine"));
            };
            let resolved = ctx.project.resolve(&self.environment, &[])?;
            let own = manifests(&ctx.project, &site, &resolved)?;
            let (cluster, namespace) =
                on.allowed(own, resolved.environment.rollout.analysis.scrape.is_some()).await?;
            let mut objects = Vec::new();
            if self.part != Some(Part::Namespace) {
                objects.extend(cluster);
            }
            if self.part != Some(Part::Cluster) {
                objects.extend(namespace);
            }
            match ctx.output.json {
                true => ctx.output.document("rbac", json!({ "objects": objects })),
                false => ctx.output.data(&yaml(&objects)?),
            }
            Ok(Exit::Done)
        })
    }
}

fn yaml(objects: &[Value]) -> Result<String> {
    let documents =
        objects.iter().map(serde_yaml::to_string).collect::<std::result::Result<Vec<_>, _>>();
    let documents = documents.map_err(|e| Failure::failed(format!("cannot write YAML: {e}")))?;
    Ok(documents.iter().map(|text| format!("---\n{}\n", text.trim_end())).collect())
}
