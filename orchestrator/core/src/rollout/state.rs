//! The machine's state, and what can happen to it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::spec::Spec;
use crate::effect::{Effect, Outcome, Traffic};

/// Where a rollout is. Everything that a successor needs is in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub spec: Spec,
    pub phase: Phase,
    /// Effects of this phase that are not done yet, in order.
    pub outstanding: VecDeque<Effect>,
    /// When the rollout and its present phase began; milliseconds since the Unix epoch.
    pub began_ms: u64,
    pub phase_ms: u64,
    /// The split that was last asked for.
    pub asked: Option<Traffic>,
    /// Set while an operator holds the machine.
    pub paused: bool,
    /// How it will end, once that is decided against the new release.
    pub verdict: Option<Outcome>,
}

/// The phases in the order of a rollout that goes well, then those of one that is turned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing has happened yet.
    New,
    /// Artifacts, secrets, pre-deploy hooks, migrations.
    Preparing,
    /// `recreate`: traffic is taken from the old release.
    Clearing,
    ClearingDrain,
    ClearingStop,
    /// New processes are started and have to become ready.
    Starting,
    /// The new revision is reachable by the preview header; smoke tests run.
    Previewing,
    Testing,
    /// A weight is set and has to be observed; the index is into the steps.
    Shifting(usize),
    /// Components without a port change over.
    Swapping,
    /// Health rules watch the new release with all of the traffic.
    Watching,
    /// Post-deploy hooks.
    Finishing,
    /// The old release has no traffic; what is in flight ends.
    Draining,
    /// The old release is kept warm or stopped.
    Retiring,
    /// The history entry is written.
    Recording,
    /// Turned back: the old processes have to be there and ready.
    BackStarting,
    /// Turned back: all traffic on the old release, observed.
    BackShifting,
    BackDraining,
    BackStopping,
    Finished,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Began,
    /// The first outstanding effect was done.
    Done,
    /// The target refused the first outstanding effect.
    Refused {
        reason: String,
    },
    /// Every process that the phase waits for is ready.
    Ready,
    /// The router reports the split that was asked for.
    RouteObserved,
    /// Nothing is in flight any more on the side that lost its traffic.
    Drained,
    /// The drain limit has passed with something still in flight.
    DrainLimit,
    /// The watch period passed without trouble.
    Watched,
    /// A health rule spoke: crash loop, readiness lost, start deadline, overall deadline.
    Unhealthy {
        reason: String,
    },
    Operator {
        intent: Intent,
    },
}

/// What operators may want of a running rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    Pause,
    Resume,
    /// Skip what is left of the watch period.
    Promote,
    Abort,
    Rollback,
    /// A newer release wants to be next.
    Supersede,
}

impl Intent {
    /// The word that operators use for it.
    pub fn word(&self) -> &'static str {
        match self {
            Intent::Pause => "pause",
            Intent::Resume => "resume",
            Intent::Promote => "promote",
            Intent::Abort => "abort",
            Intent::Rollback => "rollback",
            Intent::Supersede => "supersede",
        }
    }
}

impl State {
    /// A rollout that has not begun.
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            phase: Phase::New,
            outstanding: VecDeque::new(),
            began_ms: 0,
            phase_ms: 0,
            asked: None,
            paused: false,
            verdict: None,
        }
    }

    /// Whether the machine is on its way back.
    pub fn is_turning_back(&self) -> bool {
        self.verdict.is_some()
    }

    /// How the rollout ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        (self.phase == Phase::Finished).then(|| self.verdict.clone().unwrap_or(Outcome::Deployed))
    }

    /// In one line, what it is doing or waiting for.
    pub fn waits_for(&self) -> String {
        if self.paused {
            return "paused by an operator; `rollout resume` goes on".into();
        }
        if let Some(effect) = self.outstanding.front() {
            return format!("doing {}", effect.kind().replace('_', " "));
        }
        match self.phase {
            Phase::New => "about to begin".into(),
            Phase::Starting => "the new processes to be ready".into(),
            Phase::Swapping => "the new processes without a port to be up".into(),
            Phase::Clearing | Phase::Previewing | Phase::Shifting(_) | Phase::BackShifting => {
                "the edge to report the new weights".into()
            }
            Phase::Watching => {
                format!("{} s of health under full traffic", self.spec.watch_ms / 1000)
            }
            Phase::Draining | Phase::ClearingDrain | Phase::BackDraining => {
                "requests in flight to end".into()
            }
            Phase::BackStarting => "the old processes to be ready".into(),
            Phase::Finished => "nothing; it has ended".into(),
            Phase::Preparing
            | Phase::ClearingStop
            | Phase::Testing
            | Phase::Finishing
            | Phase::Retiring
            | Phase::Recording
            | Phase::BackStopping => "its last effect to be confirmed".into(),
        }
    }
}
