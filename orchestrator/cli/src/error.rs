//! The one place that maps what went wrong to an exit code, a message and a next step.
//!
//! Commands return [`Failure`]; nothing else in this crate knows an exit code's number.

use neuroca_deploy_core::config::ConfigErrors;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::plan::PlanError;
use neuroca_deploy_engine::EngineError;
use neuroca_deploy_engine::ports::{StoreError, TargetError};
use serde::Serialize;
use serde_json::json;

/// The exit codes; they are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    /// With `--detailed-exitcode`.
    Changes = 2,
    Stale = 3,
    Locked = 4,
    TurnedBack = 5,
    Refused = 6,
    Unverified = 7,
    Stopped = 8,
    Usage = 64,
    Interrupted = 130,
    Terminated = 143,
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What failed, and on what.
    pub what: String,
    /// The next step.
    pub hint: Option<String>,
    /// One word for scripts.
    pub reason: &'static str,
    /// Each problem of a configuration, with its place.
    pub problems: Vec<Problem>,
}

/// One of several problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub place: String,
    pub message: String,
    pub hint: Option<String>,
}

/// What every command returns.
pub type Result<T = Exit> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, reason: &'static str, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: None, reason, problems: Vec::new() }
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", what)
    }

    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", what)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error whose text ends in `hint: ...` on a line of its own.
    pub fn split(exit: Exit, reason: &'static str, text: &str) -> Self {
        match text.split_once("\n  hint: ") {
            Some((what, hint)) => Self::new(exit, reason, what).hint(hint),
            None => Self::new(exit, reason, text),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if self.problems.is_empty() {
            out.push_str(&format!("error: {}\n", self.what));
        }
        for problem in &self.problems {
            out.push_str(&format!("error: {}: {}\n", problem.place, problem.message));
            if let Some(hint) = &problem.hint {
                out.push_str(&format!("hint: {hint}\n"));
            }
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("hint: {hint}\n"));
        }
        out
    }

    /// For scripts; see `output::document`.
    pub fn document(&self) -> serde_json::Value {
        json!({
            "exit": self.exit as i32,
            "reason": self.reason,
            "error": self.what,
            "hint": self.hint,
            "problems": self.problems,
        })
    }

    /// How a run that ended is told by the exit code; `None` when it did what was asked.
    pub fn of_outcome(outcome: &Outcome, environment: &str) -> Option<Self> {
        let look = format!(
            "`neuroca-deploy history {environment}` keeps this; fix the cause and apply again"
        );
        match outcome {
            Outcome::Deployed => None,
            Outcome::TurnedBack { reason } => {
                let text = format!("turned back: {reason}");
                Some(Self::split(Exit::TurnedBack, "turned_back", &text).or_hint(|| look))
            }
            Outcome::Failed { reason } => {
                let text = format!("failed: {reason}");
                Some(Self::split(Exit::Failed, "failed", &text).or_hint(|| look))
            }
            Outcome::Outdated { reason } => {
                let text = format!("the plan is stale: {reason}");
                Some(Self::split(Exit::Stale, "stale", &text).or_hint(|| {
                    format!("make a new one and look at it: neuroca-deploy plan {environment}")
                }))
            }
            Outcome::Stranded { reason } => {
                let text = format!("failed: {reason}");
                Some(Self::split(Exit::Failed, "stranded", &text).or_hint(|| {
                    format!("see what serves now with `neuroca-deploy status {environment}`; the next apply takes nothing for given")
                }))
            }
            Outcome::Aborted { reason } => Some(Self::new(
                Exit::Stopped,
                "aborted",
                format!("{reason}; traffic is where it was before"),
            )),
            Outcome::Superseded => Some(Self::new(
                Exit::Stopped,
                "superseded",
                "a newer release took its place; traffic was not moved by this one",
            )),
        }
    }

    /// Why the engine did not end with an outcome of its own.
    pub fn of_engine(error: EngineError, environment: &str) -> Self {
        let what = error.to_string();
        match error {
            EngineError::Stale { .. } => Self::new(Exit::Stale, "stale", what)
                .hint(format!("make a new plan: neuroca-deploy plan {environment}")),
            EngineError::Unfinished { .. } => Self::new(Exit::Locked, "unfinished", what).hint(format!(
                "go on with it: neuroca-deploy rollout resume {environment}; or turn it back: \
                 neuroca-deploy rollout abort {environment}"
            )),
            EngineError::NothingToResume => Self::failed(what)
                .hint(format!("see where things stand: neuroca-deploy status {environment}")),
            EngineError::Interrupted { .. } => Self::new(Exit::Interrupted, "interrupted", what)
                .hint(format!(
                    "the same command goes on, and so does: neuroca-deploy rollout resume {environment}"
                )),
            EngineError::Undecided { .. } => Self::new(Exit::Stopped, "undecided", what).hint(format!(
                "look at it: neuroca-deploy rollout status {environment}; then rollout promote \
                 {environment}, or rollout abort {environment}"
            )),
            EngineError::TimedOut { .. } => Self::new(Exit::Stopped, "timeout", what).hint(format!(
                "the journal is open; go on with: neuroca-deploy rollout resume {environment}"
            )),
            EngineError::Unreachable(_) => Self::failed(what).hint(format!(
                "look at it: neuroca-deploy doctor {environment}; then the same command goes on"
            )),
            EngineError::Fenced => Self::new(Exit::Locked, "fenced", what)
                .hint(format!("watch the other one: neuroca-deploy rollout watch {environment}")),
            EngineError::Store(error) => Self::of_store(error, environment),
            EngineError::Journal(_) => Self::new(Exit::Unverified, "journal", what)
                .hint("the state was written by another version or was damaged; it is left as it is"),
        }
    }

    pub fn of_store(error: StoreError, environment: &str) -> Self {
        let what = error.to_string();
        match error {
            StoreError::Held { .. } => Self::new(Exit::Locked, "locked", what).hint(format!(
                "wait with --lock-timeout 5m, watch it with `neuroca-deploy rollout watch {environment}`, \
                 or take its place with --supersede"
            )),
            StoreError::Fenced => Self::new(Exit::Locked, "fenced", what)
                .hint(format!("watch the other one: neuroca-deploy rollout watch {environment}")),
            StoreError::Unusable(_) => Self::split(Exit::Unverified, "state", &what),
            StoreError::Failed(_) => Self::split(Exit::Failed, "failed", &what),
        }
    }

    pub fn of_target(error: &TargetError, environment: &str) -> Self {
        Self::split(Exit::Failed, "target", &error.to_string())
            .or_hint(|| format!("look for the cause with: neuroca-deploy doctor {environment}"))
    }

    pub fn or_hint(mut self, hint: impl FnOnce() -> String) -> Self {
        self.hint.get_or_insert_with(hint);
        self
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let problems: Vec<Problem> = errors
            .0
            .iter()
            .map(|e| Problem {
                place: e.place.to_string(),
                message: e.message.clone(),
                hint: e.hint.clone(),
            })
            .collect();
        let what = match problems.len() {
            1 => "the configuration has an error".to_string(),
            n => format!("the configuration has {n} errors"),
        };
        Self { problems, ..Self::new(Exit::Usage, "configuration", what) }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let exit = match error {
            PlanError::Unreadable(_) => Exit::Usage,
            PlanError::Edited { .. } | PlanError::Format(_) => Exit::Unverified,
        };
        Self::split(exit, "plan", &error.to_string())
    }
}

/// "did you mean", if a known name is close.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}
