//! Effects: what the target is asked to do has to be allowed at that moment, by what is really so.

use neuroca_deploy_core::config::model::Strategy;
use neuroca_deploy_core::effect::{Effect, Hook, Traffic};
use neuroca_deploy_core::rollout::{Move, Phase, State};
use neuroca_deploy_engine::ports::TargetError;

use super::Rule;
use crate::catalogue::DRAIN_MS;
use crate::script::Refuses;
use crate::world::{Look, World};

const WORKER: usize = 2;

impl World {
    /// The target is about to do an effect for a driver whose epoch is good.
    pub fn check_effect(&mut self, driver: usize, effect: &Effect) {
        self.check_one_holds(driver);
        let journal = self.store.journal.as_ref();
        let due =
            journal.is_some_and(|j| j.started && j.state().outstanding.front() == Some(effect));
        if !due {
            self.violate(Rule::EffectsBetweenRecords, |w| {
                format!(
                    "{}: the journal does not say that it was started",
                    w.words_of_effect(effect)
                )
            });
        }
        let paused = |s: &State| s.paused && !s.is_turning_back();
        if self.store.journal.as_ref().is_some_and(|j| paused(j.state())) {
            self.violate(Rule::PausedDoNothing, |w| w.words_of_effect(effect));
        }
        match effect {
            Effect::Route { traffic } => self.check_route(traffic),
            Effect::StopRevision { revision, .. } | Effect::KeepWarm { revision, .. } => {
                self.check_stop(driver, self.index(revision));
            }
            Effect::EndStreams { revision, .. } => {
                let n = self.index(revision);
                let process = self.revisions[n].process.as_ref();
                let since = process.and_then(|p| p.unrouted_ms);
                let soon = since.is_none_or(|t| self.now < t + DRAIN_MS);
                if self.in_flight(n) && soon && self.weather.clock_skew == 0 {
                    self.violate(Rule::DrainedBeforeStopped, |w| {
                        format!("streams of {} are ended before the drain limit", w.name_of(n))
                    });
                }
            }
            Effect::StartRevision { revision, .. } => self.check_start(self.index(revision)),
            Effect::RunHook { .. } | Effect::Migrate { .. } => self.check_command(effect),
            Effect::StoreArtifact { .. }
            | Effect::SealSecrets { .. }
            | Effect::ApplyManifests { .. }
            | Effect::PruneManifests { .. }
            | Effect::Record { .. } => {}
        }
    }

    fn check_route(&mut self, traffic: &Traffic) {
        let split = self.split(traffic);
        let journal = self.store.journal.as_ref();
        let kept: Vec<usize> = journal
            .into_iter()
            .flat_map(|j| &j.state().spec.moves)
            .filter(|m| m.from == m.to)
            .filter_map(|m| self.find(m.to.as_ref()?))
            .collect();
        for (n, weight) in &split.weights {
            // What does not change is left to the target, which knows best.
            if *weight > self.weight(*n) && !self.revisions[*n].seen_ready && !kept.contains(n) {
                self.violate(Rule::OnlyReadyGetsTraffic, |w| {
                    format!("{} is to get {weight} %, and nobody saw it ready", w.name_of(*n))
                });
            }
        }
        let Some(journal) = &self.store.journal else { return };
        let spec = &journal.state().spec;
        let replaced = spec.moves.iter().filter(|m| m.from.is_some() && m.to.is_some());
        let mut weights = replaced.filter(|m| m.port && m.is_new()).map(|m| {
            let to = self.find(m.to.as_ref().expect("filtered")).expect("known");
            split.weight(to)
        });
        let first = weights.next();
        if weights.any(|weight| Some(weight) != first) {
            self.violate(Rule::ComponentsMoveTogether, |w| {
                format!("components get different weights: {}", w.words_of_split(&split))
            });
        }
        let Some(journal) = &self.store.journal else { return };
        let stops_first = journal.state().spec.strategy == Strategy::Recreate;
        let lost = self.router.in_force.as_ref().and_then(|now| {
            let names = now.traffic.shares.iter().filter(|(_, s)| s.iter().any(|s| s.weight > 0));
            // Only what the other release does not have may go.
            let state = journal.state();
            let mut kept = names.filter(|(name, _)| {
                let m = state.spec.moves.iter().find(|m| m.component == **name);
                let side = |m: &Move| {
                    if state.is_turning_back() { m.from.is_some() } else { m.to.is_some() }
                };
                // What was left half-way before may belong to neither.
                m.map_or(state.spec.stranded.is_none(), side)
            });
            kept.find(|(name, _)| {
                let shares = traffic.shares.get(*name);
                shares.into_iter().flatten().map(|s| s.weight).sum::<u32>() != 100
            })
        });
        // What the old release does not have goes when it gets everything back.
        let regains = matches!(journal.state().phase, Phase::Regaining(_));
        if let Some(name) = lost.map(|(name, _)| name.clone()).filter(|_| !stops_first && !regains)
        {
            self.violate(Rule::NobodyIsLeftWithoutAnswer, |_| {
                format!("nobody is to answer for {name}, or more than all")
            });
        }
    }

    fn check_stop(&mut self, driver: usize, n: usize) {
        let coming = self.router.coming.iter().any(|(_, split)| split.weight(n) > 0);
        // The looks that led here: before anything was asked of it the router has nothing to say about a
        // new revision, and one look leads to all stops.
        let led = |look: &&Look| {
            let journal = self.store.journal.as_ref();
            journal.is_some_and(|j| {
                j.state().asked.is_some() && look.awaited && look.seq <= j.phase_seq
            })
        };
        let shown = |look: &Look| look.split.as_ref().is_some_and(|split| split.weight(n) > 0);
        let seen = self.drivers[driver].look.as_ref().filter(led).is_some_and(shown);
        if self.weight(n) > 0 || coming || seen {
            let how = if self.weight(n) > 0 { "has" } else { "was last seen to have" };
            self.violate(Rule::NothingIsStoppedWhileRouted, |w| {
                format!("{} is to be stopped and {how} traffic", w.name_of(n))
            });
        } else if self.in_flight(n) {
            self.violate(Rule::DrainedBeforeStopped, |w| {
                format!("{} is to be stopped with requests in flight", w.name_of(n))
            });
        }
    }

    fn check_start(&mut self, n: usize) {
        if self.revisions[n].part != WORKER || self.run.refuses == Some(Refuses::Stop) {
            return;
        }
        let mut others = self
            .revisions
            .iter()
            .enumerate()
            .filter(|(m, r)| *m != n && r.part == WORKER && r.process.is_some());
        if others.next().is_some() {
            self.violate(Rule::OneWorkerAtATime, |w| {
                format!("{} is started while another revision of it runs", w.name_of(n))
            });
        }
    }

    /// Hooks and migrations run only on the way forward, the last ones under full traffic.
    fn check_command(&mut self, effect: &Effect) {
        let Some(journal) = &self.store.journal else { return };
        let state = journal.state();
        let late = matches!(effect, Effect::RunHook { hook: Hook::PostDeploy, .. });
        let facts = journal.facts;
        let accepted = facts.watched || facts.promoted || facts.undecided;
        if state.spec.rollback || state.is_turning_back() || (late && !accepted) {
            self.violate(Rule::EventsHaveEvidence, |w| {
                format!("{} at this moment", w.words_of_effect(effect))
            });
        }
    }

    /// The answer to an effect reached its driver, or did not.
    pub fn answered(&mut self, driver: usize, answer: &Result<(), TargetError>) {
        let now = self.now;
        let driver = &mut self.drivers[driver];
        driver.busy = false;
        driver.asked_wishes_ms = now.max(driver.asked_wishes_ms);
        match answer {
            Ok(()) => driver.answer = Some(true),
            Err(TargetError::Refused(_) | TargetError::Outdated(_)) => driver.answer = Some(false),
            Err(TargetError::Fenced(_)) => driver.fenced = true,
            Err(TargetError::Unreachable(_)) => {}
        }
    }

    /// A look reached its driver.
    pub fn shown(&mut self, driver: usize, look: Look) {
        for (n, revision) in self.revisions.iter_mut().enumerate() {
            revision.seen_ready |= look.ready & (1 << n) != 0 && revision.process.is_some();
        }
        let now = self.now;
        let driver = &mut self.drivers[driver];
        driver.asked_wishes_ms = now.max(driver.asked_wishes_ms);
        driver.look = Some(look);
    }
}
