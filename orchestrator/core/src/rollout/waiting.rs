//! What a rollout waits for, in words.

use super::state::{Phase, State};
use crate::judge::Acceptance;

impl State {
    /// In one line, what it is doing or waiting for.
    pub fn waits_for(&self) -> String {
        if self.paused {
            return match &self.inconclusive {
                Some(reason) => {
                    format!("an operator (`rollout promote` or `rollout abort`): {reason}")
                }
                None => "paused by an operator; `rollout resume` goes on".into(),
            };
        }
        if let Some(effect) = self.outstanding.front() {
            return format!("doing {}", effect.kind().replace('_', " "));
        }
        match self.phase {
            Phase::New => "about to begin".into(),
            Phase::Starting if self.spec.manifests_alone() => {
                "the workloads of manifests to be ready".into()
            }
            Phase::Starting => "the new processes to be ready".into(),
            Phase::Swapping => "the new processes without a port to be up".into(),
            Phase::Clearing
            | Phase::Previewing
            | Phase::Shifting(_)
            | Phase::Regaining(_)
            | Phase::BackShifting => "the edge to report the new weights".into(),
            Phase::Holding(n) => self.holds(n),
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

    /// What a step is held by.
    fn holds(&self, n: usize) -> String {
        let step = &self.spec.steps[n];
        let mut parts = Vec::new();
        if step.pause.0 > 0 {
            parts.push(format!("{} at this weight", step.pause));
        }
        if self.spec.is_judged(n) {
            match (&self.blind, self.acceptance(n)) {
                (Some(why), _) => parts.push(format!("counts of requests, there are none: {why}")),
                (None, Acceptance::Accepted) => {}
                (None, Acceptance::Missing(what)) => parts.push(what),
            }
        }
        if step.gate && !self.promoted {
            parts.push("`rollout promote`".into());
        }
        let at = self.at_step(n);
        match parts.is_empty() {
            true => format!("the next look, at {at}"),
            false => format!("{}, at {at}", parts.join(", and for ")),
        }
    }

    /// Whether the evidence suffices to go on from step `n`.
    pub fn acceptance(&self, n: usize) -> Acceptance {
        let next = self.spec.steps.get(n + 1).map_or(100, |step| u32::from(step.weight));
        self.judge.accepts(next)
    }
}
