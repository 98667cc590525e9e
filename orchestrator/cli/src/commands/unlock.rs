//! `unlock`: takes the lock from a holder that lives and does nothing. One that is gone needs no unlock.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::site::Site;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy unlock production       # shows the holder and asks
  neuroca-deploy unlock production -y";

/// Take the lock from whoever holds it.
///
/// The lock of a process that is gone is free already. A holder that wakes up later can do nothing: what it
/// asks for is refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Unlock {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Do not ask.
    #[arg(short = 'y', long)]
    auto_approve: bool,
}

impl Unlock {
    pub fn run(self, ctx: &Context) -> Result {
        ctx.wait(async {
            let site = Site::of_state(ctx, &self.environment)?;
            let store = site.store()?;
            let holder =
                store.holder().await.map_err(|e| Failure::of_store(e, &self.environment))?;
            if let Some(holder) = &holder {
                let question = format!("Take the lock from {holder}?");
                let command = format!("neuroca-deploy unlock {}", self.environment);
                ctx.confirm(self.auto_approve, &question, &command)?;
                site.break_lock().await?;
            }
            if ctx.output.json {
                ctx.output.document("unlock", json!({ "was_held_by": holder }));
            } else {
                ctx.output.data(&match holder {
                    Some(holder) => format!("the lock was taken from {holder}\n"),
                    None => "the lock is free\n".to_string(),
                });
            }
            Ok(Exit::Done)
        })
    }
}
