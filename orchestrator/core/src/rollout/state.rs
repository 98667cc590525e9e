//! The machine's state, and what can happen to it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::spec::Spec;
use crate::effect::{Effect, Outcome, Traffic};
use crate::judge::{Acceptance, Judge, Window};

/// Where a rollout is. Everything that a successor needs is in here.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub spec: Spec,
    pub phase: Phase,
    /// Effects of this phase that are not done yet, in order.
    pub outstanding: VecDeque<Effect>,
    /// When the rollout and its present phase began; milliseconds since the Unix epoch.
    pub began_ms: u64,
    pub phase_ms: u64,
    /// When anything happened last.
    pub last_ms: u64,
    /// The split that was last asked for.
    pub asked: Option<Traffic>,
    /// Set from when the router was found to have lost the split of a phase that only waits, until it has it again.
    pub lost: bool,
    /// Set while an operator holds the machine, or until one decides what the judge could not.
    pub paused: bool,
    /// Why it paused by itself.
    pub inconclusive: Option<String>,
    /// An operator said `promote` for the present step.
    pub promoted: bool,
    /// What the judge has seen so far.
    pub judge: Judge,
    /// The end of the last window that was judged; before that, when requests were first split.
    pub judged_ms: Option<u64>,
    /// Why there are no windows at present.
    pub blind: Option<String>,
    /// How often in a row the router refused a split that it had lost, or the way back.
    pub route_refused: u32,
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
    /// The step's time passes, the judge looks, a gate is closed.
    Holding(usize),
    /// A driver was silent: the old release gets everything back, then the step begins again.
    Regaining(usize),
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
    /// The first outstanding effect was not done: what the plan was made from is not so any more.
    Outdated {
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
    /// Requests were counted; the judge takes them in.
    Counted {
        window: Window,
    },
    /// There is nothing to judge by, for this reason.
    Blind {
        reason: String,
    },
    /// The step's time has passed, the judge accepts, no gate is closed.
    StepPassed,
    /// Neither accepted nor worse, and the time for it is over.
    Inconclusive {
        reason: String,
    },
    /// The router reports another split than the one that was observed before.
    RouteLost,
    /// Another driver goes on, after nobody had done so for a while, or by a clock that was set back.
    TookOver,
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
    /// Skip what is left of the step or of the watch period; with `full`, all further steps.
    Promote {
        #[serde(default)]
        full: bool,
    },
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
            Intent::Promote { .. } => "promote",
            Intent::Abort => "abort",
            Intent::Rollback => "rollback",
            Intent::Supersede => "supersede",
        }
    }
}

impl State {
    /// A rollout that has not begun.
    pub fn new(spec: Spec) -> Self {
        let components = spec.compared().into_iter().map(|c| c.component);
        Self {
            judge: Judge::new(&spec.analysis, components),
            spec,
            phase: Phase::New,
            outstanding: VecDeque::new(),
            began_ms: 0,
            phase_ms: 0,
            last_ms: 0,
            asked: None,
            lost: false,
            paused: false,
            inconclusive: None,
            promoted: false,
            judged_ms: None,
            blind: None,
            route_refused: 0,
            verdict: None,
        }
    }

    /// Whether the machine watches or lets requests end, under a split that was observed before.
    pub(super) fn waits_under_a_split(&self) -> bool {
        use Phase::{BackDraining, ClearingDrain, Draining, Watching};
        matches!(self.phase, Watching | Draining | ClearingDrain | BackDraining)
    }

    /// Whether the machine is on its way back.
    pub fn is_turning_back(&self) -> bool {
        self.verdict.is_some()
    }

    /// How the rollout ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        (self.phase == Phase::Finished).then(|| self.verdict.clone().unwrap_or(Outcome::Deployed))
    }

    /// The step that the machine is at, while traffic is split.
    pub fn step(&self) -> Option<usize> {
        match self.phase {
            Phase::Shifting(n) | Phase::Holding(n) | Phase::Regaining(n) => Some(n),
            _ => None,
        }
    }

    /// Whether windows are to be judged now: requests are split by a step that has a judge, or
    /// were until a moment ago.
    pub fn is_judging(&self) -> bool {
        let at = match self.phase {
            Phase::Holding(n) => self.spec.is_judged(n),
            // Requests of the last split are still being counted.
            Phase::Shifting(n) => n > 0 && self.spec.is_judged(n - 1),
            Phase::Swapping | Phase::Watching => self.spec.has_judge(),
            _ => false,
        };
        at && !self.is_turning_back() && self.judged_ms.is_some()
    }

    /// What only a person can answer, if that is all that the machine waits for at `now_ms`.
    pub fn waits_for_a_person(&self, now_ms: u64) -> Option<String> {
        if let Some(reason) = self.inconclusive.as_ref().filter(|_| self.paused) {
            return Some(format!("inconclusive: {reason}"));
        }
        let n = self.at_gate()?;
        let waited = now_ms.saturating_sub(self.phase_ms) >= self.spec.steps[n].pause.0;
        let accepted = !self.spec.is_judged(n) || self.acceptance(n) == Acceptance::Accepted;
        (waited && accepted).then(|| format!("waiting at the gate, at {}", self.at_step(n)))
    }

    /// The step whose gate is closed, if the machine is at one.
    pub(super) fn at_gate(&self) -> Option<usize> {
        match self.phase {
            Phase::Holding(n) if self.spec.steps[n].gate && !self.promoted && !self.paused => {
                Some(n)
            }
            _ => None,
        }
    }

    pub(super) fn at_step(&self, n: usize) -> String {
        let steps = &self.spec.steps;
        format!("{} % (step {} of {})", steps[n].weight, n + 1, steps.len())
    }
}
