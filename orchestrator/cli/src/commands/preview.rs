//! `rollout preview`: what the environment's policy would do with some traffic. Asks no target.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use neuroca_deploy_core::preview::{Given, Scenario, Trial, Unfit, Walk};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::output::preview as printed;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy rollout preview production --rps 100
  neuroca-deploy rollout preview production --rps 20 --error-rate 0.5% --latency-p50 30
  neuroca-deploy rollout preview production --rps 100 --set 'rollout.steps=[{weight: 10, pause: 5m}]'";

/// Width of the curves where there is no terminal.
const WIDTH: usize = 90;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Preview {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Requests a second that the environment gets (clients, where these stick to a release).
    #[arg(long, value_name = "N", value_parser = rate)]
    rps: f64,
    /// Share of the requests that fail while all is well.
    #[arg(long, value_name = "P", default_value = "0.1%", value_parser = share)]
    error_rate: f64,
    /// Median of the latency in milliseconds.
    #[arg(long, value_name = "MS", default_value = "50", value_parser = milliseconds)]
    latency_p50: f64,
    /// Pods of each release, which differ a little in errors and latency (default: all alike).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pods: Option<u32>,
    /// Where chance begins: the same seed gives the same output.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Rollouts of each kind of release (default: as many as take a second or two).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: Option<u32>,
    /// Set one setting, for example rollout.analysis.alpha=0.1%; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
}

impl Preview {
    pub fn run(&self, ctx: &Context) -> Result {
        let environment = ctx.project.resolve(&self.environment, &self.sets)?.environment;
        let given = Given {
            rps: self.rps,
            error_rate: self.error_rate,
            latency_p50_ms: self.latency_p50,
            pods: self.pods,
            seed: self.seed,
        };
        let trial = Trial::new(&environment, given).map_err(|unfit| self.unfit(unfit))?;
        let runs = self.runs.map_or_else(|| trial.default_runs(), |runs| runs as usize);
        let found = trial.summary(&walks(&trial, runs)?);
        if ctx.output.json {
            let mut body =
                json!({ "project": environment.project, "environment": self.environment });
            if let (Some(body), Ok(Value::Object(found))) =
                (body.as_object_mut(), serde_json::to_value(&found))
            {
                body.extend(found);
            }
            ctx.output.document("preview", body);
        } else {
            let title = format!("{}/{}", environment.project, self.environment);
            ctx.output.data(&printed::preview(&title, &found, ctx.output.out, width()));
        }
        Ok(Exit::Done)
    }

    fn unfit(&self, unfit: Unfit) -> Failure {
        let hint = match unfit {
            Unfit::NotCanary => format!(
                "try one out: neuroca-deploy rollout preview {} --rps {} --set rollout.strategy=canary",
                self.environment, self.rps
            ),
            Unfit::NothingListens => "only components with a port get requests".into(),
            Unfit::NoJudge => {
                "take out `analysis: false`, or give a step a weight from 1 to 99".into()
            }
        };
        Failure::usage(format!("{}: {unfit}", self.environment)).hint(hint)
    }
}

/// Every run of every scenario, on all processors. Which of them makes a run does not matter to it.
fn walks(trial: &Trial, runs: usize) -> Result<Vec<Vec<Walk>>> {
    let next = AtomicUsize::new(0);
    let all = Scenario::ALL.len() * runs;
    let work = || {
        let mut done: Vec<(usize, Walk)> = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= all {
                return done;
            }
            done.push((n, trial.run(Scenario::ALL[n / runs], n % runs)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let mut walks: Vec<(usize, Walk)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done: std::result::Result<Vec<_>, _> = handles.into_iter().map(|h| h.join()).collect();
        done.map(|done| done.into_iter().flatten().collect())
    })
    .map_err(|_| {
        Failure::failed("a simulated rollout failed; please report this with the command")
    })?;
    walks.sort_by_key(|(n, _)| *n);
    let walks: Vec<Walk> = walks.into_iter().map(|(_, walk)| walk).collect();
    Ok(walks.chunks(runs).map(<[Walk]>::to_vec).collect())
}

fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH;
    }
    console::Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns))
}

fn number(text: &str, what: &str) -> std::result::Result<f64, String> {
    text.trim().parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(|| format!("give {what}"))
}

fn rate(text: &str) -> std::result::Result<f64, String> {
    let what = "requests a second as a number above 0 and up to 1000000, for example 100";
    number(text, what).and_then(|n| match n {
        n if n > 0.0 && n <= 1e6 => Ok(n),
        _ => Err(format!("give {what}")),
    })
}

fn milliseconds(text: &str) -> std::result::Result<f64, String> {
    let what = "milliseconds as a number from 0.01 to 60000, for example 50";
    number(text.trim().trim_end_matches("ms"), what).and_then(|n| match n {
        n if (0.01..=60_000.0).contains(&n) => Ok(n),
        _ => Err(format!("give {what}")),
    })
}

/// `0.1%` or `0.001`.
fn share(text: &str) -> std::result::Result<f64, String> {
    let what = "a share below 50 %, as 0.1% or as 0.001";
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent, what)? / 100.0,
        None => number(text, what)?,
    };
    match share {
        s if s > 0.0 && s < 0.5 => Ok(s),
        0.0 => {
            Err("no service is without errors for ever, and a rise of none is none: give the rate \
                    that is usual, for example 0.01%"
                .into())
        }
        _ => Err(format!("give {what}")),
    }
}
