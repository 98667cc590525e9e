//! `judge`: recorded windows through the environment's own policy. Changes nothing, and needs no target.

use std::io::{BufRead, IsTerminal, Read};

use clap::Args;
use neuroca_deploy_core::judge::recorded::{Recorded, Refused, visible};
use neuroca_deploy_core::judge::{Judge as Evidence, Verdict, Window};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Exit, Failure, Problem, Result};
use crate::output::table::table;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy judge production < windows.ndjson
  tail -f windows.ndjson | neuroca-deploy judge production
  neuroca-deploy judge production --set rollout.analysis.alpha=0.1% < windows.ndjson

A window is a line, with the counts of that interval alone and bounds in seconds:
  {\"t\": 2, \"canary\": {\"requests\": 10, \"errors\": 0, \"slower_than\": {\"0.1\": 3}}, \"stable\": {...}}
Where several components listen, each line names its own: \"component\": \"api\".

Exit codes: 0 better or equal, 5 worse, 8 inconclusive, 64 a line that is no window.";

/// Longer lines are no windows; without a limit a wrong file would fill the memory.
const LONGEST: u64 = 1 << 20;

/// Judge recorded windows by the environment's policy.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Judge {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Set one setting, for example rollout.analysis.alpha=0.1%; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
}
