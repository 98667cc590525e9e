//! `history`: what was deployed, how it ended, who asked and why.

use clap::Args;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_engine::ports::HistoryEntry;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::output::Paint;
use crate::output::table::table;
use crate::output::when;
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy history production
  neuroca-deploy history production --limit 100";

/// Show what was deployed, newest first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct History {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Most entries.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

impl History {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            let entries = store
                .history(self.limit)
                .await
                .map_err(|e| Failure::of_store(e, &self.environment))?;
            if ctx.output.json {
                let body = json!({
                    "project": site.project, "environment": site.environment, "entries": entries,
                });
                ctx.output.document("history", body);
            } else if entries.is_empty() {
                ctx.output.data("nothing was deployed yet\n");
            } else {
                let rows: Vec<Vec<String>> =
                    entries.iter().map(|entry| row(entry, ctx.output.out)).collect();
                let head = [
                    "", "NUMBER", "RELEASE", "VERSION", "OUTCOME", "STARTED", "TOOK", "WHO", "WHY",
                ];
                ctx.output.data(&table(ctx.output.out, &head, &rows));
            }
            Ok(Exit::Done)
        })
    }
}

fn row(entry: &HistoryEntry, paint: Paint) -> Vec<String> {
    let outcome = match &entry.outcome {
        None => paint.attention("not ended"),
        Some(Outcome::Deployed) if entry.rollback => paint.good("rolled back to"),
        Some(Outcome::Deployed) => paint.good("deployed"),
        Some(other) => paint.bad(other.word()),
    };
    let took =
        entry.ended_ms.map_or("-".into(), |end| when::span(end.saturating_sub(entry.started_ms)));
    let because = entry.outcome.as_ref().and_then(Outcome::reason);
    let because = because.and_then(|reason| reason.lines().next());
    let why = [entry.who.reason.as_deref(), because];
    vec![
        if entry.current { paint.good("*") } else { String::new() },
        entry.sequence.to_string(),
        entry.release.to_string(),
        entry.version.clone().unwrap_or_else(|| "-".into()),
        outcome,
        when::date(entry.started_ms),
        took,
        entry.who.user.clone(),
        why.into_iter().flatten().collect::<Vec<_>>().join("; "),
    ]
}
