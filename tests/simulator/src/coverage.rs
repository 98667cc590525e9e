//! Which events met which states. A state here is a phase of the machine, and whether it has an
//! effect under way, waits, or is paused.

use std::collections::BTreeSet;

use neuroca_deploy_core::rollout::{Event, Intent, Phase, State};

/// A state and an event that it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    pub phase: &'static str,
    pub mode: &'static str,
    pub event: &'static str,
}

/// How often each pair was met.
#[derive(Clone)]
pub struct Coverage {
    counts: Vec<u32>,
}

const PHASES: [&str; 22] = [
    "new",
    "preparing",
    "clearing",
    "clearing_drain",
    "clearing_stop",
    "starting",
    "previewing",
    "testing",
    "shifting",
    "holding",
    "regaining",
    "swapping",
    "watching",
    "finishing",
    "draining",
    "retiring",
    "recording",
    "back_starting",
    "back_shifting",
    "back_draining",
    "back_stopping",
    "finished",
];

const MODES: [&str; 3] = ["busy", "waiting", "paused"];

const EVENTS: [&str; 22] = [
    "began",
    "done",
    "refused",
    "ready",
    "route_observed",
    "drained",
    "drain_limit",
    "watched",
    "unhealthy",
    "counted",
    "blind",
    "step_passed",
    "inconclusive",
    "route_lost",
    "took_over",
    "pause",
    "resume",
    "promote",
    "promote_fully",
    "abort",
    "rollback",
    "supersede",
];

fn phase(phase: Phase) -> usize {
    match phase {
        Phase::New => 0,
        Phase::Preparing => 1,
        Phase::Clearing => 2,
        Phase::ClearingDrain => 3,
        Phase::ClearingStop => 4,
        Phase::Starting => 5,
        Phase::Previewing => 6,
        Phase::Testing => 7,
        Phase::Shifting(_) => 8,
        Phase::Holding(_) => 9,
        Phase::Regaining(_) => 10,
        Phase::Swapping => 11,
        Phase::Watching => 12,
        Phase::Finishing => 13,
        Phase::Draining => 14,
        Phase::Retiring => 15,
        Phase::Recording => 16,
        Phase::BackStarting => 17,
        Phase::BackShifting => 18,
        Phase::BackDraining => 19,
        Phase::BackStopping => 20,
        Phase::Finished => 21,
    }
}

fn event(event: &Event) -> usize {
    match event {
        Event::Began => 0,
        Event::Done => 1,
        Event::Refused { .. } | Event::Outdated { .. } => 2,
        Event::Ready => 3,
        Event::RouteObserved => 4,
        Event::Drained => 5,
        Event::DrainLimit => 6,
        Event::Watched => 7,
        Event::Unhealthy { .. } => 8,
        Event::Counted { .. } => 9,
        Event::Blind { .. } => 10,
        Event::StepPassed => 11,
        Event::Inconclusive { .. } => 12,
        Event::RouteLost => 13,
        Event::TookOver => 14,
        Event::Operator { intent } => match intent {
            Intent::Pause => 15,
            Intent::Resume => 16,
            Intent::Promote { full: false } => 17,
            Intent::Promote { full: true } => 18,
            Intent::Abort => 19,
            Intent::Rollback => 20,
            Intent::Supersede => 21,
        },
    }
}

fn mode(state: &State) -> usize {
    match (state.paused, state.outstanding.is_empty()) {
        (true, _) => 2,
        (false, false) => 0,
        (false, true) => 1,
    }
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; PHASES.len() * MODES.len() * EVENTS.len()] }
    }
}

impl Coverage {
    /// Counts the pair, and tells its number.
    pub fn meet(&mut self, state: &State, met: &Event) -> u64 {
        let n = (phase(state.phase) * MODES.len() + mode(state)) * EVENTS.len() + event(met);
        self.counts[n] += 1;
        n as u64
    }

    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    pub fn counted(&self) -> impl Iterator<Item = (Pair, u32)> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(n, count)| {
            let (state, event) = (n / EVENTS.len(), EVENTS[n % EVENTS.len()]);
            let phase = PHASES[state / MODES.len()];
            (Pair { phase, mode: MODES[state % MODES.len()], event }, *count)
        })
    }

    pub fn pairs(&self) -> BTreeSet<Pair> {
        self.counted().map(|(pair, _)| pair).collect()
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}) x {}", self.phase, self.mode, self.event)
    }
}
