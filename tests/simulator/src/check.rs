//! What has to hold, whatever happens. Each rule is judged from the world alone: by what was
//! really so, and by what a driver was really shown. Nothing here asks the machine for its opinion.

mod effects;
mod ending;
mod evidence;

use neuroca_deploy_core::rollout::State;

use crate::world::{NEVER, World};

pub use ending::EndState;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    OnlyReadyGetsTraffic,
    NothingIsStoppedWhileRouted,
    DrainedBeforeStopped,
    ComponentsMoveTogether,
    NobodyIsLeftWithoutAnswer,
    OneWorkerAtATime,
    EventsHaveEvidence,
    NoDataNoVerdict,
    NoPromotionWithoutEvidence,
    WorseIsTurnedBack,
    SilenceGivesBack,
    PausedDoNothing,
    OnlyFreshPlans,
    EffectsBetweenRecords,
    TheJournalIsTheState,
    FencedDoNothing,
    OneDriverAnEpoch,
    WishesAreTakenUp,
    TurnedBackMeansBack,
    DeployedMeansDeployed,
    WorseIsNeverDeployed,
    RecordedOnce,
    SameEndAfterACrash,
    ItEnds,
}

/// A rule that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

/// Longest that a wish may lie there while a driver could take it up.
const WISH_WAITS_MS: u64 = 1_000;

impl World {
    pub fn violate(&mut self, rule: Rule, what: impl FnOnce(&Self) -> String) {
        if self.violation.is_none() {
            let what = what(self);
            self.tell(|_| format!("BROKEN: {rule:?}: {what}"));
            self.violation = Some(Violation { rule, what });
        }
    }

    /// What has to be so at every moment.
    pub fn check_always(&mut self) {
        if let Some(split) = &self.router.in_force {
            let mut routed = split.weights.iter().filter(|(_, weight)| *weight > 0);
            let gone = routed.find(|(n, _)| self.revisions[*n].process.is_none());
            if let Some((n, weight)) = gone.copied() {
                self.violate(Rule::NothingIsStoppedWhileRouted, |w| {
                    format!("{weight} % of the requests go to {}, which is stopped", w.name_of(n))
                });
            }
        }
        let Some(left_ms) = self.store.wishes.front().map(|left| left.left_ms) else { return };
        let Some(holder) = self.store.holder else { return };
        let driver = &self.drivers[holder.driver];
        let could = driver.alive
            && !driver.killed
            && !driver.busy
            && driver.asked_wishes_ms != NEVER
            && self.now > driver.stalled_until;
        let since = left_ms.max(driver.asked_wishes_ms).max(driver.stalled_until);
        if could && self.now > since.saturating_add(WISH_WAITS_MS) {
            self.violate(Rule::WishesAreTakenUp, |w| {
                format!("`{}` was not looked at for a second", w.store.wishes[0].intent.word())
            });
        }
    }

    /// The machine's state is the fold of the journal.
    pub fn check_state(&mut self, driver: usize, state: &State) {
        let current = self.holds_lock(self.drivers[driver].epoch);
        let Some(journal) = self.store.journal.as_ref().filter(|_| current) else { return };
        if journal.state() != state {
            let (phase, folded) = (state.phase, journal.state().phase);
            self.violate(Rule::TheJournalIsTheState, |w| {
                format!("{} is in {phase:?}, its journal says {folded:?}", w.who(driver))
            });
        }
    }

    /// An epoch that lets a driver write is that driver's alone.
    pub fn check_one_holds(&mut self, driver: usize) {
        if self.store.holder.is_some_and(|holder| holder.driver != driver) {
            self.violate(Rule::OneDriverAnEpoch, |w| {
                format!("{} may still write, though another one holds the lock", w.who(driver))
            });
        }
    }

    /// Whoever was told to stop has stopped.
    pub fn check_is_heard(&mut self, driver: usize) {
        if self.drivers[driver].fenced {
            self.violate(Rule::FencedDoNothing, |w| {
                format!("{} was told that another one drives, and goes on writing", w.who(driver))
            });
        }
    }
}
