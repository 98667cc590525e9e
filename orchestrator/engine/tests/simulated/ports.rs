//! The engine's ports over the simulated world. Every journal write and every effect is a pair
//! of boundaries: the driver may die just before it, and just after it.

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::effect::{Effect, Hook, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::judge::{Compared, Window};
use neuroca_deploy_core::observed::{Observed, RevisionObserved};
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::release::{Release, ReleaseId, RevisionId};
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::*;

use super::{Process, Shared, World, weight};

impl Shared {
    /// A place where the driver may be killed.
    async fn boundary(&self) {
        if self.world(World::reach_boundary) {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Clock for Shared {
    fn now_ms(&self) -> u64 {
        self.world(|w| w.now)
    }

    async fn sleep(&self, time: Duration) {
        let until = self.now_ms() + time.as_millis().max(1) as u64;
        poll_fn(|_| {
            self.world(|w| {
                if w.now >= until {
                    return Poll::Ready(());
                }
                w.timers.push(until);
                Poll::Pending
            })
        })
        .await;
    }
}

#[async_trait]
impl Target for Shared {
    async fn perform(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError> {
        self.boundary().await;
        if self.world(|w| epoch.0 < w.epoch) {
            return Err(TargetError::Fenced("a higher epoch was seen".into()));
        }
        let (lost, answer_lost) = self.world(|w| {
            let percent = w.faults.unreachable;
            (w.chance(percent), w.chance(percent))
        });
        if lost {
            return Err(TargetError::Unreachable("the request was lost".into()));
        }
        let answer = self.world(|w| w.perform(effect));
        self.boundary().await;
        if answer_lost {
            return Err(TargetError::Unreachable("the answer was lost".into()));
        }
        answer.map_err(TargetError::Refused)
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        self.world(|w| {
            let percent = w.faults.blind;
            if w.chance(percent) {
                return Err(TargetError::Unreachable("nobody answers".into()));
            }
            Ok(w.observe())
        })
    }

    async fn changed(&self, _: u64, at_most: Duration) {
        self.sleep(at_most).await;
    }
}

impl World {
    fn observe(&mut self) -> Observed {
        self.settle_router();
        let flapping = self.faults.flapping;
        let names: Vec<RevisionId> = self.processes.keys().cloned().collect();
        let revisions = names.into_iter().map(|revision| {
            let flaps = self.chance(flapping);
            let process = self.processes[&revision].clone();
            let ready = if self.is_ready(&revision) && !flaps { process.wanted } else { 0 };
            let seen = RevisionObserved {
                component: process.component,
                wanted: process.wanted,
                alive: process.wanted,
                ready,
                in_flight: self.in_flight(&revision),
                ..Default::default()
            };
            (revision, seen)
        });
        let revisions = revisions.collect();
        Observed { version: self.now, revisions, traffic: self.in_force.clone() }
    }

    fn perform(&mut self, effect: &Effect) -> Result<(), String> {
        self.settle_router();
        self.effects.push(effect.clone());
        if self.failing.contains(&effect.kind()) {
            return Err(format!("{} failed", effect.kind()));
        }
        match effect {
            Effect::RunHook { hook: Hook::SmokeTest, .. }
                if self.failing.contains(&"smoke_test") =>
            {
                return Err("the smoke test failed".into());
            }
            Effect::StartRevision { release, component, revision } => {
                let wanted = self.releases[release].components[component].spec.replicas;
                let fresh = Process {
                    component: component.clone(),
                    wanted,
                    started_ms: self.now,
                    warm: false,
                    unrouted_ms: None,
                };
                self.processes.entry(revision.clone()).or_insert(fresh).wanted = wanted;
            }
            Effect::Route { traffic } => {
                for share in traffic.shares.values().flatten() {
                    if !self.is_ready(&share.revision) && !self.crash_at.contains(&share.revision) {
                        let v = format!("{} was routed before it was ready", share.revision);
                        self.violations.push(v);
                    }
                }
                if self.asked.as_ref().map(|(t, _)| t) != Some(traffic) {
                    self.asked = Some((traffic.clone(), self.now));
                }
                self.settle_router();
            }
            Effect::StopRevision { revision, .. } => {
                let coming = self.asked.as_ref().map(|(traffic, _)| traffic.clone());
                if weight(&coming, revision) > 0 || weight(&self.in_force, revision) > 0 {
                    self.violations.push(format!("{revision} was stopped with traffic on it"));
                } else if self.in_flight(revision) > 0 {
                    self.violations.push(format!("{revision} was stopped with requests in flight"));
                }
                self.processes.remove(revision);
            }
            Effect::KeepWarm { revision, .. } => {
                if let Some(process) = self.processes.get_mut(revision) {
                    process.warm = true;
                }
            }
            Effect::EndStreams { revision, .. } => {
                if let Some(process) = self.processes.get_mut(revision) {
                    process.unrouted_ms = None;
                }
            }
            Effect::StoreArtifact { .. }
            | Effect::SealSecrets { .. }
            | Effect::RunHook { .. }
            | Effect::Migrate { .. }
            | Effect::Record { .. } => {}
        }
        Ok(())
    }
}

#[async_trait]
impl Metrics for Shared {
    async fn windows(&self, _: &[Compared], _: u64) -> Result<Vec<Window>, MetricsError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl StateStore for Shared {
    async fn current(&self) -> Result<Option<(u64, ReleaseId)>, StoreError> {
        Ok(self.world(|w| w.current()))
    }

    async fn release(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        Ok(self.world(|w| w.releases.get(id).cloned()))
    }

    async fn history(&self, _: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn lock(&self, _: &str, _: Duration) -> Result<Epoch, StoreError> {
        self.world(|w| {
            if w.locked {
                return Err(StoreError::Held { holder: "another test".into() });
            }
            w.locked = true;
            w.epoch += 1;
            Ok(Epoch(w.epoch))
        })
    }

    async fn renew(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.world(|w| if w.epoch == epoch.0 { Ok(()) } else { Err(StoreError::Fenced) })
    }

    async fn unlock(&self, _: Epoch) -> Result<(), StoreError> {
        self.world(|w| w.locked = false);
        Ok(())
    }

    async fn holder(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn unfinished(&self) -> Result<Option<Unfinished>, StoreError> {
        Ok(self.world(|w| {
            let (id, plan, records) = w.journal.clone()?;
            Some(Unfinished { journal: JournalId(id), plan, records })
        }))
    }

    async fn begin(&self, epoch: Epoch, plan: &Plan, _: &Who) -> Result<JournalId, StoreError> {
        self.boundary().await;
        let id = self.world(|w| {
            if epoch.0 != w.epoch {
                return Err(StoreError::Fenced);
            }
            w.releases.insert(plan.rollout.release.clone(), plan.release.clone());
            w.journal = Some((epoch.0 as i64, plan.clone(), Vec::new()));
            Ok(JournalId(epoch.0 as i64))
        });
        self.boundary().await;
        id
    }

    async fn append(&self, epoch: Epoch, _: JournalId, record: &Record) -> Result<(), StoreError> {
        self.boundary().await;
        let written = self.world(|w| {
            if epoch.0 != w.epoch {
                return Err(StoreError::Fenced);
            }
            w.journal.as_mut().expect("a journal is open").2.push(record.clone());
            Ok(())
        });
        self.boundary().await;
        written
    }

    async fn finish(&self, _: Epoch, _: JournalId, outcome: &Outcome) -> Result<(), StoreError> {
        self.boundary().await;
        self.world(|w| {
            let (_, plan, _) = w.journal.take().expect("a journal is open");
            w.history.push((plan.rollout.release, outcome.clone()));
        });
        self.boundary().await;
        Ok(())
    }

    async fn leave_intent(&self, intent: &Intent, _: &Who) -> Result<(), StoreError> {
        self.world(|w| w.intents.push((w.now, intent.clone())));
        Ok(())
    }

    async fn intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        Ok(self.world(|w| w.intents.clone()))
    }

    async fn take_intent(&self, _: Epoch, id: u64) -> Result<(), StoreError> {
        self.world(|w| w.intents.retain(|(n, _)| *n != id));
        Ok(())
    }
}
