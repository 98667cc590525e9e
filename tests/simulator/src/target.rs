//! The simulated target: processes and a router. Requests are done one at a time, in the order in
//! which they arrive, each checked against the lock's epoch, as the product's supervisor does.

use std::sync::Arc;

use neuroca_deploy_core::effect::{Effect, Hook};
use neuroca_deploy_core::rollout::Phase;
use neuroca_deploy_engine::ports::{Epoch, TargetError};

use crate::catalogue::DRAIN_MS;
use crate::script::{Fate, Refuses, What};
use crate::world::{NEVER, Process, Split, World, hash_of};

/// An effect on its way.
pub struct Request {
    pub ticket: u64,
    pub driver: usize,
    pub epoch: u64,
    pub effect: Effect,
    /// When it arrives, and when it is answered.
    pub arrives_ms: u64,
    pub answered_ms: u64,
    pub answer: Option<Result<(), TargetError>>,
    /// Nobody waits for the answer.
    pub forgotten: bool,
}

/// What becomes of a request.
pub enum Sent {
    Lost,
    /// With this number it can be asked what came of it; whether the answer gets through.
    Ticket(u64, bool),
}

impl World {
    /// A driver sends an effect.
    pub fn send(&mut self, driver: usize, epoch: Epoch, effect: &Effect) -> Sent {
        if self.drivers[driver].fenced {
            self.violate(crate::Rule::FencedDoNothing, |_| {
                format!("a driver that was told to stop goes on with {}", effect.kind())
            });
        }
        let strikes = self.weather.requests.pop_front();
        if strikes == Some(What::RequestLost) {
            return Sent::Lost;
        }
        let before = self.requests.back().map_or(0, |r| r.answered_ms);
        let late = if let Some(What::RequestLate { ms }) = strikes { ms } else { 0 };
        let slow = if let Some(What::AnswerLate { ms }) = strikes { ms } else { 0 };
        let arrives_ms = self.now.max(before) + u64::from(late);
        let answered_ms = arrives_ms + u64::from(self.setting.effect_ms + slow);
        let times = if strikes == Some(What::RequestTwice) { 2 } else { 1 };
        let ticket = self.seq;
        for copy in 0..times {
            self.requests.push_back(Request {
                ticket: ticket + copy,
                driver,
                epoch: epoch.0,
                effect: effect.clone(),
                arrives_ms,
                answered_ms,
                answer: None,
                forgotten: copy > 0 || late > 0,
            });
        }
        self.settle();
        match late {
            0 => Sent::Ticket(ticket, strikes != Some(What::AnswerLost)),
            _ => Sent::Lost,
        }
    }

    /// The answer, if its time has come.
    pub fn answer(&mut self, ticket: u64) -> Option<Result<(), TargetError>> {
        let now = self.now;
        let n = self.requests.iter().position(|r| {
            r.ticket == ticket && !r.forgotten && r.answered_ms <= now && r.answer.is_some()
        })?;
        self.requests.remove(n)?.answer
    }

    pub fn answered_ms(&self, ticket: u64) -> u64 {
        let asked = self.requests.iter().find(|r| r.ticket == ticket);
        asked.map_or(NEVER, |r| r.answered_ms.max(self.now + 1))
    }

    /// When something will happen here by itself.
    pub fn next_in_target(&self) -> impl Iterator<Item = u64> {
        let undone = self.requests.iter().find(|r| r.answer.is_none()).map(|r| r.arrives_ms);
        let coming = self.router.coming.front().map(|(at, _)| *at);
        let processes = self.revisions.iter().filter_map(|r| r.process.as_ref());
        let cold = processes.filter_map(|p| p.warm_until_ms).min();
        undone.into_iter().chain(coming).chain(cold)
    }

    /// When the next look may show something else.
    pub fn next_change(&self) -> u64 {
        let ready_ms = u64::from(self.setting.ready_ms);
        let request_ms = u64::from(self.setting.request_ms);
        let processes = self.revisions.iter().filter_map(|r| r.process.as_ref());
        let changes = processes
            .flat_map(|p| [Some(p.started_ms + ready_ms), p.unrouted_ms.map(|t| t + request_ms)]);
        let now = self.now;
        changes.flatten().chain(self.next_in_target()).filter(|t| *t > now).min().unwrap_or(NEVER)
    }

    /// Does what is due by now.
    pub fn settle(&mut self) {
        self.count();
        self.apply_splits();
        while let Some(n) =
            self.requests.iter().position(|r| r.answer.is_none() && r.arrives_ms <= self.now)
        {
            let request = &self.requests[n];
            let (driver, epoch) = (request.driver, request.epoch);
            let effect = request.effect.clone();
            let answer = self.execute(driver, epoch, &effect);
            self.note(hash_of(&(effect.kind(), answer.is_ok())));
            self.requests[n].answer = Some(answer);
        }
        let now = self.now;
        self.requests.retain(|r| r.answer.is_none() || !r.forgotten || r.answered_ms > now);
        for n in 0..self.revisions.len() {
            let process = self.revisions[n].process.as_ref();
            if process.is_some_and(|p| p.warm_until_ms.is_some_and(|t| t <= now)) {
                self.revisions[n].process = None;
                self.revisions[n].seen_ready = false;
                self.tell(|w| format!("{} was warm long enough and is stopped", w.name_of(n)));
            }
        }
    }

    fn apply_splits(&mut self) {
        while let Some((_, split)) = self.router.coming.pop_front_if(|(at, _)| *at <= self.now) {
            let now = self.now;
            for n in 0..self.revisions.len() {
                let was = self.weight(n);
                let is = split.weight(n);
                let fate = self.revisions[n].fate;
                let Some(process) = &mut self.revisions[n].process else { continue };
                let died = process.died_by(fate, now);
                process.died |= died;
                if was > 0 && is == 0 {
                    process.unrouted_ms = Some(now);
                    process.streams_ended = false;
                }
                if is > 0 {
                    process.unrouted_ms = None;
                    process.warm_until_ms = None;
                }
                process.full_since_ms = match (is, process.full_since_ms) {
                    (100, None) => Some(now),
                    (100, since) => since,
                    _ => None,
                };
            }
            self.tell(|w| format!("the router now has {}", w.words_of_split(&split)));
            self.router.before = self.router.in_force.replace(split);
            self.note(1);
            self.check_always();
        }
    }

    /// Whether anybody looks before something is stopped: a router that forgets between the last look
    /// and the stop, or that lies about it, is one that nobody can see through.
    fn can_forget(&self) -> bool {
        let Some(state) = self.store.journal.as_ref().map(|journal| journal.state()) else {
            return false;
        };
        if self.now < self.weather.stale_until {
            return false;
        }
        match state.phase {
            Phase::Holding(_) | Phase::Watching | Phase::Finishing => true,
            Phase::Draining | Phase::ClearingDrain | Phase::BackDraining => {
                let losing = state.draining();
                let mut losing = losing.iter().filter_map(|id| self.find(id));
                let early = self.now + DRAIN_MS / 2 < state.phase_ms + DRAIN_MS;
                early && self.weather.clock_skew == 0 && losing.any(|n| self.in_flight(n))
            }
            _ => false,
        }
    }

    /// The router has the split of before again.
    pub fn forget_split(&mut self) {
        if !self.can_forget() {
            return;
        }
        let lost = |split: &Arc<Split>| {
            // A split that names what is gone by now is one that no router comes back with.
            split.weights.iter().all(|(n, _)| self.revisions[*n].process.is_some())
        };
        let Some(before) = self.router.before.clone().filter(lost) else { return };
        if self.router.coming.is_empty() {
            self.router.coming.push_back((self.now, before));
            self.apply_splits();
            // What it told before is now what it should have: no lie that anybody could notice.
            self.router.before = None;
        }
    }

    fn execute(&mut self, driver: usize, epoch: u64, effect: &Effect) -> Result<(), TargetError> {
        if epoch < self.store.epoch {
            self.tell(|w| {
                let what = w.words_of_effect(effect);
                format!("the target refuses the old epoch of {}: {what}", w.who(driver))
            });
            return Err(TargetError::Fenced("a higher epoch was given out".into()));
        }
        self.check_effect(driver, effect);
        let answer = self.refusal(effect).map_or(Ok(()), |why| Err(TargetError::Refused(why)));
        self.tell(|w| {
            let what = w.words_of_effect(effect);
            match &answer {
                Ok(()) => format!("{}: {what}", w.who(driver)),
                Err(why) => format!("{}: {what}; the target refuses: {why}", w.who(driver)),
            }
        });
        match (answer.is_ok(), effect) {
            (true, _) => self.change(effect),
            // Left, and gone on without: whoever stops it later is not to blame.
            (false, Effect::EndStreams { .. }) => self.change(effect),
            (false, _) => {}
        }
        answer
    }

    fn refusal(&self, effect: &Effect) -> Option<String> {
        let kind = match effect {
            Effect::StoreArtifact { .. } => Refuses::Artifact,
            Effect::SealSecrets { .. } => Refuses::Secrets,
            Effect::RunHook { hook: Hook::PreDeploy, .. } => Refuses::PreDeploy,
            Effect::RunHook { hook: Hook::SmokeTest, .. } => Refuses::SmokeTest,
            Effect::RunHook { hook: Hook::PostDeploy, .. } => Refuses::PostDeploy,
            Effect::Migrate { .. } => Refuses::Migration,
            Effect::StartRevision { .. } => Refuses::Start,
            Effect::Route { .. } => Refuses::Route,
            Effect::EndStreams { .. } => Refuses::EndStreams,
            Effect::KeepWarm { .. } => Refuses::KeepWarm,
            Effect::StopRevision { .. } => Refuses::Stop,
            // No release of these has objects of its own.
            Effect::ApplyManifests { .. }
            | Effect::PruneManifests { .. }
            | Effect::Record { .. } => return None,
        };
        if self.run.refuses == Some(kind) {
            return Some(format!("{} does not work here", effect.kind()));
        }
        // Nobody's share may grow who is not ready.
        let Effect::Route { traffic } = effect else { return None };
        let split = self.split(traffic);
        let grows = split
            .weights
            .iter()
            .find(|(n, weight)| *weight > self.weight(*n) && !self.is_ready(*n));
        grows.map(|(n, _)| format!("no replica of {} is ready", self.revisions[*n].id))
    }

    fn change(&mut self, effect: &Effect) {
        let now = self.now;
        match effect {
            Effect::StartRevision { release, component, revision } => {
                let built = self.releases.iter().find(|b| b.id == *release);
                let release = &built.expect("a known release").release;
                let wanted = release.components[component].spec.replicas;
                let n = self.index(revision);
                let never_ready = !self.run.old_returns && self.is_old(n);
                let revision = &mut self.revisions[n];
                let again = revision.process.as_ref().is_some_and(|p| p.died);
                if revision.process.is_none() || again {
                    revision.seen_ready = false;
                    revision.process = Some(Process::new(wanted, now, never_ready));
                } else if let Some(process) = &mut revision.process {
                    process.wanted = wanted;
                    process.warm_until_ms = None;
                }
            }
            Effect::Route { traffic } => {
                let split = Arc::new(self.split(traffic));
                let lags = self.weather.lag_until.saturating_sub(now);
                let before = self.router.coming.back().map_or(0, |(at, _)| *at);
                let at = (now + u64::from(self.setting.lag_ms) + lags).max(before);
                self.router.coming.push_back((at, split));
                self.apply_splits();
            }
            Effect::EndStreams { revision, .. } => {
                let n = self.index(revision);
                if let Some(process) = &mut self.revisions[n].process {
                    process.streams_ended = true;
                }
            }
            Effect::KeepWarm { revision, for_ms, .. } => {
                let n = self.index(revision);
                if let Some(process) = &mut self.revisions[n].process {
                    process.warm_until_ms.get_or_insert(now + for_ms);
                }
            }
            Effect::StopRevision { revision, .. } => {
                let n = self.index(revision);
                self.revisions[n].process = None;
                self.revisions[n].seen_ready = false;
            }
            Effect::StoreArtifact { .. }
            | Effect::SealSecrets { .. }
            | Effect::RunHook { .. }
            | Effect::Migrate { .. }
            | Effect::ApplyManifests { .. }
            | Effect::PruneManifests { .. }
            | Effect::Record { .. } => {}
        }
    }
}

impl Process {
    pub fn new(wanted: u32, now: u64, never_ready: bool) -> Self {
        Self {
            wanted,
            started_ms: now,
            never_ready,
            died: false,
            full_since_ms: None,
            warm_until_ms: None,
            unrouted_ms: None,
            streams_ended: false,
        }
    }

    pub fn died_by(&self, fate: Fate, now: u64) -> bool {
        let Fate::DiesUnderTraffic { after_ms } = fate else { return false };
        self.died || self.full_since_ms.is_some_and(|t| now >= t + u64::from(after_ms))
    }
}
