//! Machines that are broken on purpose: what stands between the engine and the world makes the
//! whole behave as if an invariant had been dropped from the code. Each has to be caught.
//!
//! What no mistranslation at the ports can express is patched into a copy of the sources instead:
//! see `mutants/`.

mod store;

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::effect::{Effect, Traffic};
use neuroca_deploy_core::judge::{Compared, Counts, Sides, Window};
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::rollout::State;
use neuroca_deploy_engine::ports::*;
use neuroca_deploy_engine::{EffectPhase, Reporter};

use crate::ports::Port;

/// In which way it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// Takes requests in flight for ended.
    SkipTheDrain,
    /// Takes the weights that were asked for as those that are in force.
    TrustUnobservedWeights,
    /// The same epoch is given out twice.
    ReuseAnEpoch,
    /// Takes silence as a sign of health.
    NoDataIsSuccess,
    /// Takes silence as a sign of trouble.
    NoDataIsFailure,
    /// Takes an outage of the metrics source as a healthy interval.
    NoCountsIsSuccess,
    /// Takes no requests as many without an error.
    PromoteWithoutEvidence,
    /// A split that nobody drove is kept.
    KeepASplitThatNobodyDrove,
    /// Operators' wishes are thrown away.
    DropIntents,
    /// A wish is taken away first, and journaled then.
    TakeIntentsBeforeJournaling,
    /// An effect is done without a word in the journal.
    SkipStartedRecords,
    /// That an effect was done is not journaled.
    SkipDoneRecords,
    /// Processes are taken as ready as soon as they are there.
    RouteBeforeReady,
    /// What comes after a split is done before the split.
    StopBeforeUnrouted,
    /// Time runs faster than it does.
    PromoteBeforeItsTime,
    /// A successor does not know that the release was turned back.
    ForgetTheVerdict,
    /// Goes on after being told that another one drives.
    ActThoughFenced,
    /// The split that goes back is not sent.
    StayOnTheNew,
    /// The end is recorded twice.
    RecordTwice,
}

impl Mutation {
    pub const ALL: [Self; 19] = [
        Self::SkipTheDrain,
        Self::TrustUnobservedWeights,
        Self::ReuseAnEpoch,
        Self::NoDataIsSuccess,
        Self::NoDataIsFailure,
        Self::NoCountsIsSuccess,
        Self::PromoteWithoutEvidence,
        Self::KeepASplitThatNobodyDrove,
        Self::DropIntents,
        Self::TakeIntentsBeforeJournaling,
        Self::SkipStartedRecords,
        Self::SkipDoneRecords,
        Self::RouteBeforeReady,
        Self::StopBeforeUnrouted,
        Self::PromoteBeforeItsTime,
        Self::ForgetTheVerdict,
        Self::ActThoughFenced,
        Self::StayOnTheNew,
        Self::RecordTwice,
    ];
}

/// A driver's way to the world, with a flaw.
pub struct Mutated {
    port: Port,
    mutation: Mutation,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    asked: Option<Traffic>,
    last: Option<Observed>,
    held_back: Option<Effect>,
}

impl Mutated {
    pub fn new(port: Port, mutation: Mutation) -> Self {
        Self { port, mutation, memory: Mutex::default() }
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == mutation
    }

    fn memory<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.memory.lock().expect("one thread"))
    }

    /// What the flawed machine makes of what it sees.
    fn misread(&self, observed: &mut Observed) {
        for seen in observed.revisions.values_mut() {
            if self.is(Mutation::SkipTheDrain) {
                (seen.in_flight, seen.streams) = (0, 0);
            }
            if self.is(Mutation::RouteBeforeReady) {
                seen.ready = seen.wanted;
            }
        }
        let trusts = [Mutation::TrustUnobservedWeights, Mutation::StopBeforeUnrouted];
        if (trusts.contains(&self.mutation) || self.is(Mutation::StayOnTheNew))
            && let Some(asked) = self.memory(|m| m.asked.clone())
        {
            observed.traffic = Some(asked);
        }
        if self.is(Mutation::StopBeforeUnrouted) {
            for seen in observed.revisions.values_mut() {
                (seen.in_flight, seen.streams) = (0, 0);
            }
        }
    }
}

#[async_trait]
impl Clock for Mutated {
    fn now_ms(&self) -> u64 {
        let hurry = if self.is(Mutation::PromoteBeforeItsTime) { 20_000 } else { 0 };
        let now = self.port.now_ms();
        // Ahead by ever more: a second becomes twenty.
        now + now.saturating_sub(1_000_000) * hurry / 1_000
    }

    async fn sleep(&self, time: Duration) {
        self.port.sleep(time).await;
    }
}

#[async_trait]
impl Target for Mutated {
    async fn perform(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError> {
        if let Effect::Route { traffic } = effect {
            self.memory(|m| m.asked = Some(traffic.clone()));
            let back = traffic.shares.values().flatten().all(|share| !share.canary);
            let turning = self.port.world(|w| {
                let journal = w.store.journal.as_ref();
                journal.is_some_and(|j| j.state().is_turning_back())
            });
            if self.is(Mutation::StayOnTheNew) && back && turning {
                self.port.world(|w| w.drivers[self.port.driver].answer = Some(true));
                return Ok(());
            }
            if self.is(Mutation::StopBeforeUnrouted) {
                self.memory(|m| m.held_back = Some(effect.clone()));
                self.port.world(|w| w.drivers[self.port.driver].answer = Some(true));
                return Ok(());
            }
        }
        let answer = self.port.perform(epoch, effect).await;
        if let Some(late) = self.memory(|m| m.held_back.take()) {
            // Sent without an own entry in the journal, as the flaw is about the order alone.
            self.port.world(|w| {
                let Effect::Route { traffic } = &late else { return };
                let split = std::sync::Arc::new(w.split(traffic));
                w.router.coming.push_back((w.now, split));
            });
        }
        match answer {
            Err(TargetError::Fenced(_)) if self.is(Mutation::ActThoughFenced) => {
                let epoch = self.port.world(|w| w.store.epoch);
                self.port.perform(Epoch(epoch), effect).await
            }
            answer => answer,
        }
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let driver = self.port.driver;
        match self.port.observe().await {
            Ok(mut observed) => {
                self.misread(&mut observed);
                self.memory(|m| m.last = Some(observed.clone()));
                Ok(observed)
            }
            Err(error) => {
                let last = self.memory(|m| m.last.clone());
                let Some(mut last) = last else { return Err(error) };
                let well = self.is(Mutation::NoDataIsSuccess);
                if !well && !self.is(Mutation::NoDataIsFailure) {
                    return Err(error);
                }
                for seen in last.revisions.values_mut() {
                    seen.ready = if well { seen.wanted } else { 0 };
                    (seen.in_flight, seen.streams) = (0, 0);
                    seen.crash_loop = false;
                }
                self.port.world(|w| w.drivers[driver].look = None);
                Ok(last)
            }
        }
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        self.port.changed(seen, at_most).await;
    }
}

#[async_trait]
impl Metrics for Mutated {
    async fn windows(
        &self,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, MetricsError> {
        let answer = self.port.windows(compared, after_ms).await;
        let healthy = |end_ms| {
            let counts = |requests| Counts { requests, ..Counts::default() };
            let sides = Sides { canary: counts(500), stable: counts(500) };
            let components = compared.iter().map(|c| (c.component.clone(), sides.clone()));
            Window { end_ms, components: components.collect() }
        };
        match answer {
            Err(_) if self.is(Mutation::NoCountsIsSuccess) => Ok(vec![healthy(self.port.now_ms())]),
            Ok(windows) if self.is(Mutation::PromoteWithoutEvidence) => {
                let none = |w: &Window| w.components.values().all(|s| s.canary.requests == 0);
                let told = |w: Window| if none(&w) { healthy(w.end_ms) } else { w };
                Ok(windows.into_iter().map(told).collect())
            }
            answer => answer,
        }
    }
}

impl Reporter for Mutated {
    fn state(&self, state: &State, observed: &Observed) {
        self.port.state(state, observed);
    }

    fn effect(&self, effect: &Effect, phase: &EffectPhase) {
        self.port.effect(effect, phase);
    }

    fn note(&self, text: &str) {
        self.port.note(text);
    }
}
