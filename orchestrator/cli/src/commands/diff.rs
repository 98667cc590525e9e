//! `diff`: the settings that differ between two releases, or between one and the files.

use clap::Args;
use neuroca_deploy_core::plan::Change;
use neuroca_deploy_core::release::Release;
use neuroca_deploy_engine::ports::StateStore;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::flags::Selection;
use crate::output::plan::{Show, changes};
use crate::planning::{between, from_files, in_force};
use crate::site::{Looking, Site};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy diff production            # what is in force, and what the files say
  neuroca-deploy diff production 41         # number 41 of the history, and what is in force
  neuroca-deploy diff production 41 r-0123456789ab";

/// Show the settings that differ between releases.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// A release's id, version or number in the history.
    from: Option<String>,
    /// Another one (default: what is in force).
    to: Option<String>,
}

impl Diff {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let Some(from) = &self.from else { return self.with_files(ctx).await };
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            let store = store.as_ref();
            let old = find(&site, store, from).await?;
            let new = match &self.to {
                Some(to) => find(&site, store, to).await?,
                None => in_force(store, &self.environment).await?.release.ok_or_else(|| {
                    Failure::usage(format!("nothing is deployed in {}", self.environment))
                })?,
            };
            print(ctx, &site, &between(&old, &new));
            Ok(Exit::Done)
        })
    }

    async fn with_files(&self, ctx: &Context) -> Result {
        let site = Site::of_files(ctx, &self.environment, &[])?;
        let store = site.store()?;
        let plan = from_files(
            &ctx.project,
            &site,
            store.as_ref(),
            &Selection::default(),
            Looking::default(),
        )
        .await?;
        print(ctx, &site, &plan.changes);
        Ok(Exit::Done)
    }
}

fn print(ctx: &Context, site: &Site, found: &[Change]) {
    if ctx.output.json {
        let body = json!({ "environment": site.environment, "changes": found });
        ctx.output.document("diff", body);
    } else if found.is_empty() {
        ctx.output.data("no difference\n");
    } else {
        let show = Show { paint: ctx.output.out, defaults: ctx.verbose > 0 };
        ctx.output.data(&changes(found, show));
    }
}

async fn find(site: &Site, store: &dyn StateStore, name: &str) -> Result<Release> {
    let fail = |e| Failure::of_store(e, &site.environment);
    let history = store.history(1000).await.map_err(fail)?;
    let entry = history.iter().find(|entry| {
        entry.release.0 == name
            || entry.version.as_deref() == Some(name)
            || name.parse() == Ok(entry.sequence)
    });
    let hint = format!("see the releases: neuroca-deploy history {}", site.environment);
    let Some(entry) = entry else {
        return Err(Failure::usage(format!("there is no release {name} in the history")).hint(hint));
    };
    store.release(&entry.release).await.map_err(fail)?.ok_or_else(|| {
        Failure::usage(format!("the record of release {} is no longer kept", entry.release))
            .hint(hint)
    })
}
