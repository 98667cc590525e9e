//! The simulated store: a lock with its epoch, one journal, the history, and what operators left.

use std::collections::VecDeque;
use std::sync::Arc;

use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::judge::Window;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::rollout::{Intent, State};

use crate::catalogue::Built;
use crate::script::Wish;
use crate::world::World;

/// How long the lock is good for without being renewed.
pub const LOCK_GOOD_MS: u64 = 10_000;
/// How long nobody may have driven a split before it has to be given back.
const SILENT_MS: u64 = 15_000;

#[derive(Default)]
pub struct Store {
    /// The highest epoch that was given out.
    pub epoch: u64,
    pub holder: Option<Holder>,
    pub journal: Option<Journal>,
    pub history: Vec<(Arc<Built>, Outcome)>,
    pub wishes: VecDeque<Left>,
    given: u64,
    /// How many journals were ever opened.
    pub journals: i64,
}

#[derive(Debug, Clone, Copy)]
pub struct Holder {
    pub driver: usize,
    pub until_ms: u64,
}

/// The journal that is open, with what the checks need to know of it.
pub struct Journal {
    pub id: i64,
    pub plan: Plan,
    pub built: Arc<Built>,
    pub records: Vec<Record>,
    /// The fold of its events.
    pub state: Option<State>,
    /// When the present phase was entered.
    pub phase_seq: u64,
    /// The effect that was started, and whether the target has answered since.
    pub started: bool,
    pub facts: Facts,
}

/// What the journal says has happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    pub ready: bool,
    pub routed: bool,
    pub watched: bool,
    pub promoted: bool,
    pub spoken_against: bool,
    pub undecided: bool,
    /// Nobody drove for so long that waits begin again and a split is given back first; or the clock
    /// was set back.
    pub silent: bool,
    pub canary_requests: u64,
    pub canary_errors: u64,
    /// Of the new one, while the old one answered as well.
    pub beside_requests: u64,
    pub beside_errors: u64,
    pub stable_requests: u64,
    pub stable_errors: u64,
}

impl Facts {
    /// Whether anybody can see that the new release is worse.
    pub fn is_worse(&self) -> bool {
        self.beside_requests >= 100
            && self.beside_errors * 2 > self.beside_requests
            && self.stable_requests >= 100
            && self.stable_errors == 0
    }

    pub fn count(&mut self, window: &Window) {
        for sides in window.components.values() {
            self.canary_requests += sides.canary.requests;
            self.canary_errors += sides.canary.errors;
            if sides.stable.requests > 0 {
                self.beside_requests += sides.canary.requests;
                self.beside_errors += sides.canary.errors;
            }
            self.stable_requests += sides.stable.requests;
            self.stable_errors += sides.stable.errors;
        }
    }
}

/// A wish that an operator left.
pub struct Left {
    pub id: u64,
    pub intent: Intent,
    pub left_ms: u64,
    /// By which driver it was journaled.
    pub journaled: Option<usize>,
}

impl Wish {
    pub fn intent(self) -> Intent {
        match self {
            Wish::Pause => Intent::Pause,
            Wish::Resume => Intent::Resume,
            Wish::Promote => Intent::Promote { full: false },
            Wish::PromoteFully => Intent::Promote { full: true },
            Wish::Abort => Intent::Abort,
            Wish::Rollback => Intent::Rollback,
            Wish::Supersede => Intent::Supersede,
        }
    }
}

impl Store {
    pub fn leave(&mut self, intent: Intent, now: u64) {
        self.given += 1;
        self.wishes.push_back(Left { id: self.given, intent, left_ms: now, journaled: None });
    }

    /// Whoever holds the lock is refused from now on.
    pub fn break_lock(&mut self) {
        self.epoch += 1;
        self.holder = None;
    }

    /// The release in force and its place in the history.
    pub fn current(&self) -> Option<(u64, &Arc<Built>)> {
        let deployed = self.history.iter().rposition(|(_, end)| *end == Outcome::Deployed)?;
        Some((deployed as u64 + 1, &self.history[deployed].0))
    }

    /// What was left half-way since anything ended in order, newest first.
    pub fn stranded(&self) -> Vec<Arc<Built>> {
        let newest = self.history.iter().rev();
        let left = newest.take_while(|(_, end)| matches!(end, Outcome::Stranded { .. }));
        left.map(|(built, _)| built.clone()).collect()
    }

    pub fn base(&self) -> Base {
        let (sequence, release) = self.current().map(|(n, built)| (n, built.id.clone())).unzip();
        let stranded = self.stranded().iter().map(|built| built.id.clone()).collect();
        Base { release, sequence: sequence.unwrap_or_default(), stranded }
    }

    pub fn open(&mut self, plan: Plan, built: Arc<Built>, seq: u64) -> i64 {
        self.journals += 1;
        // What operators wanted of an earlier run must not hit this one.
        self.wishes.clear();
        self.journal = Some(Journal {
            id: self.journals,
            state: Some(State::new(plan.rollout.clone())),
            plan,
            built,
            records: Vec::new(),
            phase_seq: seq,
            started: false,
            facts: Facts::default(),
        });
        self.journals
    }
}

impl Journal {
    pub fn state(&self) -> &State {
        self.state.as_ref().expect("put back after each step")
    }
}

impl World {
    /// Whether the lock could be taken by somebody now.
    pub fn lock_is_free(&self) -> bool {
        self.store.holder.is_none_or(|holder| {
            let driver = &self.drivers[holder.driver];
            // On one machine a process that is gone is seen to be gone.
            holder.until_ms <= self.now || (self.setting.same_machine && !driver.alive)
        })
    }

    /// An expired lock that nobody took is still its holder's.
    pub fn holds_lock(&self, epoch: u64) -> bool {
        self.store.epoch == epoch && self.store.holder.is_some()
    }

    pub fn take_lock(&mut self, driver: usize) -> Option<u64> {
        if !self.lock_is_free() {
            return None;
        }
        self.store.epoch += 1;
        let until_ms = self.now + LOCK_GOOD_MS;
        self.store.holder = Some(Holder { driver, until_ms });
        let epoch = self.store.epoch;
        self.drivers[driver].epoch = epoch;
        self.note(2);
        self.tell(|w| format!("{} takes the lock, epoch {epoch}", w.who(driver)));
        self.note_silence(driver);
        Some(epoch)
    }

    /// Whether nobody has written to the journal for long.
    fn note_silence(&mut self, driver: usize) {
        let now = self.clock(driver);
        let Some(journal) = &mut self.store.journal else { return };
        let last = journal.records.iter().rev().find_map(|record| match record {
            Record::Happened { at_ms, .. } => Some(*at_ms),
            Record::Started { .. } => None,
        });
        journal.facts.silent = last.is_some_and(|at| now < at || now - at >= SILENT_MS);
    }

    pub fn begin_journal(&mut self, driver: usize, plan: Plan) -> i64 {
        self.check_is_heard(driver);
        if self.store.base() != plan.base {
            self.violate(crate::Rule::OnlyFreshPlans, |_| "a plan of before is begun".into());
        }
        let id = &plan.rollout.release;
        let built = self.releases.iter().find(|b| b.id == *id).expect("a known release").clone();
        let seq = self.seq;
        self.tell(|w| format!("{} begins: {}", w.who(driver), w.words_of_plan(&plan)));
        self.store.open(plan, built, seq)
    }

    pub fn take_wish(&mut self, id: u64) {
        let Some(n) = self.store.wishes.iter().position(|left| left.id == id) else { return };
        let left = self.store.wishes.remove(n).expect("found");
        if left.journaled.is_none() {
            self.violate(crate::Rule::WishesAreTakenUp, |_| {
                format!("`{}` was taken away without being journaled", left.intent.word())
            });
        }
    }
}
