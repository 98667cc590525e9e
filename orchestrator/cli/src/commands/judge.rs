//! `judge`: recorded windows through the environment's own policy. Changes nothing, and needs no target.

use std::io::{BufRead, IsTerminal, Read};

use clap::Args;
use neuroca_deploy_core::judge::recorded::{Recorded, Refused};
use neuroca_deploy_core::judge::{Acceptance, Counts, Judge as Evidence, Verdict, Window};
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

impl Judge {
    pub fn run(self, ctx: &Context) -> Result {
        let environment = ctx.project.resolve(&self.environment, &self.sets)?.environment;
        let listening = environment.components.iter().filter(|(_, c)| c.port);
        let components: Vec<String> = listening.map(|(name, _)| name.clone()).collect();
        if components.is_empty() {
            return Err(Failure::usage(format!(
                "no component of {} listens, so no requests are judged",
                self.environment
            ))
            .hint("components without a port are judged by health rules alone"));
        }
        if std::io::stdin().is_terminal() {
            return Err(Failure::usage("no windows: stdin is a terminal").hint(format!(
                "neuroca-deploy judge {} < windows.ndjson; `judge --help` shows what a window is",
                self.environment
            )));
        }
        let analysis = environment.rollout.analysis;
        let table = !ctx.output.json && std::io::stdout().is_terminal();
        let mut replay = Replay {
            recorded: Recorded::new(components.iter().cloned(), analysis.ratios().cloned()),
            judge: Evidence::new(&analysis, components),
            decided_ms: None,
            alone: 0,
            rows: Vec::new(),
            show: if table { None } else { Some(ctx) },
        };
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut line);
            match read.map_err(|e| Failure::failed(format!("cannot read the windows: {e}")))? {
                0 => break,
                _ => replay.line(&line)?,
            }
        }
        replay.end(ctx, analysis.judges_latency().then(|| analysis.latency.tolerance.value()))
    }
}

/// The judge and what it said so far.
struct Replay<'a> {
    recorded: Recorded,
    judge: Evidence,
    /// The end of the window with which the verdict became what it is.
    decided_ms: Option<(Verdict, u64)>,
    /// Components without an old release, as far as is known.
    alone: usize,
    rows: Vec<Vec<String>>,
    /// Where events go; kept as rows of a table when there is none.
    show: Option<&'a Context>,
}

impl Replay<'_> {
    fn line(&mut self, line: &[u8]) -> Result<()> {
        let number = self.recorded.lines() + 1;
        let text = std::str::from_utf8(line);
        let text = match text {
            Ok(text) if line.len() as u64 == LONGEST && !text.ends_with('\n') => {
                return Err(bad_line(number, "longer than 1 MiB", "one window a line"));
            }
            Ok(text) => text,
            Err(_) => return Err(bad_line(number, "not UTF-8", "windows are JSON, a line each")),
        };
        for window in self.recorded.line(text).map_err(refused)? {
            self.take(&window);
        }
        Ok(())
    }

    fn take(&mut self, window: &Window) {
        if self.recorded.alone().count() > self.alone {
            self.alone = self.recorded.alone().count();
            self.judge = self.judge.clone().alone(self.recorded.alone());
        }
        self.judge.take(window);
        let verdict = self.judge.verdict();
        if self.decided_ms.is_none_or(|(before, _)| before != verdict) {
            self.decided_ms = Some((verdict, window.end_ms));
        }
        match self.show {
            Some(ctx) => ctx.output.event("window", document(&self.judge)),
            None => self.rows.extend(rows(window, &self.judge)),
        }
    }

    fn end(mut self, ctx: &Context, tolerance: Option<f64>) -> Result {
        if let Some(window) = self.recorded.end() {
            self.take(&window);
        }
        let notes = match self.decided_ms {
            Some(_) => self.recorded.notes(tolerance),
            None => vec!["there was no window: no data moves no verdict".to_string()],
        };
        match self.show {
            Some(ctx) => {
                let mut body = document(&self.judge);
                body["decided_t"] = json!(self.decided_ms.map(|(_, ms)| ms as f64 / 1000.0));
                body["notes"] = json!(notes);
                ctx.output.event("verdict", body);
            }
            None => ctx.output.data(&self.text(ctx, &notes)),
        }
        Ok(match self.judge.verdict() {
            Verdict::BetterOrEqual => Exit::Done,
            Verdict::Worse => Exit::TurnedBack,
            Verdict::Inconclusive => Exit::Stopped,
        })
    }

    /// For people.
    fn text(&self, ctx: &Context, notes: &[String]) -> String {
        let paint = ctx.output.out;
        let head = [
            "T",
            "COMPONENT",
            "CANARY",
            "STABLE",
            "EVIDENCE OF WORSE",
            "OF GOOD ENOUGH",
            "VERDICT",
        ];
        let mut out = match self.rows.is_empty() {
            true => String::new(),
            false => format!("{}\n", table(paint, &head, &self.rows)),
        };
        let verdict = self.judge.verdict();
        let word = match verdict {
            Verdict::BetterOrEqual => paint.good(&verdict.to_string()),
            Verdict::Worse => paint.bad(&verdict.to_string()),
            Verdict::Inconclusive => paint.attention(&verdict.to_string()),
        };
        let since =
            self.decided_ms.map_or(String::new(), |(_, ms)| format!(" since t = {}", t(ms)));
        out.push_str(&format!("{word}{since}"));
        if let Some(reason) = reason(&self.judge) {
            out.push_str(&format!(": {reason}"));
        }
        out.push('\n');
        for note in notes {
            out.push_str(&format!("{} {note}\n", paint.strong("note:")));
        }
        out
    }
}

/// What an event or the final document says.
fn document(judge: &Evidence) -> Value {
    let evidence = judge.evidence();
    json!({
        "t": evidence.end_ms.map(|ms| ms as f64 / 1000.0),
        "verdict": evidence.verdict,
        "reason": reason(judge),
        "windows": evidence.windows,
        "alarm": judge.alarm(),
        "lacks": match judge.alarm() {
            Some(_) => Vec::new(),
            None => judge.lacks(100),
        },
        "components": evidence.components,
    })
}

/// Why the verdict is not the good one.
fn reason(judge: &Evidence) -> Option<String> {
    match judge.accepts(100) {
        Acceptance::Accepted => None,
        Acceptance::Missing(what) => Some(what),
    }
}

/// A window as rows of a table, one a component.
fn rows(window: &Window, judge: &Evidence) -> Vec<Vec<String>> {
    let evidence = judge.evidence();
    let side = |counts: &Counts| match counts.errors {
        0 => counts.requests.to_string(),
        errors => format!("{} ({errors} errors)", counts.requests),
    };
    let rows = window.components.iter().map(|(name, sides)| {
        let metrics = evidence.components.get(name).map_or(&[][..], |c| &c.metrics);
        let worse = metrics.iter().map(|m| format!("{} {}", m.metric, of(m.worse, m.worse_bound)));
        let better = metrics.iter().filter_map(|m| {
            let better = m.better?;
            Some(format!("{} {}", m.metric, of(better, m.better_bound)))
        });
        vec![
            t(window.end_ms),
            name.clone(),
            side(&sides.canary),
            side(&sides.stable),
            worse.collect::<Vec<_>>().join(", "),
            better.collect::<Vec<_>>().join(", "),
            evidence.verdict.to_string(),
        ]
    });
    rows.collect()
}

fn t(ms: u64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

fn of(evidence: f64, bound: f64) -> String {
    format!("{}/{}", digits(evidence), digits(bound))
}

fn digits(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{v:.0e}"),
        v if v >= 10.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

fn bad_line(number: usize, what: &str, hint: &str) -> Failure {
    let problem = Problem {
        place: format!("stdin, line {number}"),
        message: what.into(),
        hint: Some(hint.into()),
    };
    Failure { problems: vec![problem], ..Failure::usage("the input has a line that is no window") }
}

fn refused(refused: Refused) -> Failure {
    bad_line(refused.line, &refused.what, &refused.hint)
}
