//! The engine's ports over the simulated world, for one driver. Every journal write and every
//! effect is a pair of boundaries: the driver may be struck just before it, and just after it.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::judge::{Compared, Window};
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::{Intent, State};
use neuroca_deploy_engine::ports::*;
use neuroca_deploy_engine::{EffectPhase, Reporter};

use crate::store::{Holder, LOCK_GOOD_MS};
use crate::target::Sent;
use crate::world::World;

/// How often somebody who waits for the lock looks again.
const LOCK_LOOK_MS: u64 = 100;

/// One driver's way to the world.
#[derive(Clone)]
pub struct Port {
    pub world: Arc<Mutex<World>>,
    pub driver: usize,
}

impl Port {
    pub fn world<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.world.lock().expect("one thread"))
    }

    async fn boundary(&self) {
        if !self.world(|w| w.reach_boundary(self.driver)) {
            return;
        }
        let (killed, until) = self.world(|w| {
            let driver = &w.drivers[self.driver];
            (driver.killed, driver.stalled_until)
        });
        if killed {
            pending::<()>().await;
        }
        self.sleep_until(until).await;
    }

    pub async fn sleep_until(&self, until: u64) {
        poll_fn(|_| {
            self.world(|w| {
                if w.now >= until {
                    return Poll::Ready(());
                }
                let wake = &mut w.drivers[self.driver].wake_at;
                *wake = until.min(*wake);
                Poll::Pending
            })
        })
        .await;
    }

    /// A durable write by whoever holds the lock.
    async fn write<T>(
        &self,
        epoch: Epoch,
        write: impl FnOnce(&mut World) -> T + Send,
    ) -> Result<T, StoreError> {
        self.boundary().await;
        let written = self.world(|w| {
            let fails = w.weather.store_fails.take();
            if !w.holds_lock(epoch.0) {
                w.drivers[self.driver].fenced = true;
                w.tell(|w| format!("{} is told that another one drives", w.who(self.driver)));
                return Err(StoreError::Fenced);
            }
            w.check_one_holds(self.driver);
            if fails == Some(false) {
                return Err(StoreError::Failed("the disk is full".into()));
            }
            let value = write(w);
            match fails {
                None => Ok(value),
                Some(_) => Err(StoreError::Failed("the disk went away".into())),
            }
        });
        self.boundary().await;
        written
    }
}

#[async_trait]
impl Clock for Port {
    fn now_ms(&self) -> u64 {
        self.world(|w| w.clock(self.driver))
    }

    async fn sleep(&self, time: Duration) {
        let until = self.world(|w| w.now) + time.as_millis().max(1) as u64;
        self.sleep_until(until).await;
    }
}

#[async_trait]
impl Target for Port {
    async fn perform(&self, epoch: Epoch, effect: &Effect) -> Result<(), TargetError> {
        self.boundary().await;
        self.world(|w| w.drivers[self.driver].busy = true);
        let sent = self.world(|w| w.send(self.driver, epoch, effect));
        let answer = match sent {
            Sent::Lost => Err(TargetError::Unreachable("the request was lost".into())),
            Sent::Ticket(ticket, gets_through) => {
                let answer = loop {
                    if let Some(answer) = self.world(|w| w.answer(ticket)) {
                        break answer;
                    }
                    let at = self.world(|w| w.answered_ms(ticket));
                    self.sleep_until(at).await;
                };
                match gets_through {
                    true => answer,
                    false => Err(TargetError::Unreachable("the answer was lost".into())),
                }
            }
        };
        self.world(|w| w.answered(self.driver, &answer));
        self.boundary().await;
        answer
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        let (seen, late) = self.world(|w| {
            if w.now < w.weather.blind_until {
                w.drivers[self.driver].look = None;
                return (None, None);
            }
            let late = w.weather.look_late.take().map(|ms| w.now + u64::from(ms));
            (Some(w.look()), late)
        });
        if let Some(late) = late {
            self.world(|w| w.drivers[self.driver].busy = true);
            self.sleep_until(late).await;
            self.world(|w| w.drivers[self.driver].busy = false);
        }
        let Some((observed, look)) = seen else {
            return Err(TargetError::Unreachable("nobody answers".into()));
        };
        self.world(|w| w.shown(self.driver, look));
        Ok(observed)
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        let until = self.world(|w| {
            let until = w.now + at_most.as_millis().max(1) as u64;
            let soon = w.next_change().min(until);
            if w.setting.prompt { soon.max(w.now + 1) } else { until }
        });
        let _ = seen;
        self.sleep_until(until).await;
    }
}

#[async_trait]
impl Metrics for Port {
    async fn windows(
        &self,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, MetricsError> {
        let late = self.world(|w| {
            let late = w.weather.counts.late_ms.take()?;
            Some(w.now + u64::from(late))
        });
        if let Some(late) = late {
            self.sleep_until(late).await;
        }
        let answer = self.world(|w| w.counted(self.driver, compared, after_ms));
        answer.map_err(MetricsError)
    }
}

#[async_trait]
impl StateStore for Port {
    async fn base(&self) -> Result<Base, StoreError> {
        Ok(self.world(|w| w.store.base()))
    }

    async fn release(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        let found = |w: &mut World| w.releases.iter().find(|b| b.id == *id).cloned();
        Ok(self.world(found).map(|built| built.release.clone()))
    }

    async fn history(&self, _: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn lock(&self, _: &str, wait: Duration) -> Result<Epoch, StoreError> {
        let until = self.world(|w| w.now) + wait.as_millis() as u64;
        loop {
            let (taken, now) = self.world(|w| (w.take_lock(self.driver), w.now));
            if let Some(epoch) = taken {
                return Ok(Epoch(epoch));
            }
            if now >= until {
                return Err(StoreError::Held { holder: "another driver".into() });
            }
            self.sleep_until(now + LOCK_LOOK_MS).await;
        }
    }

    async fn renew(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.world(|w| {
            if !w.holds_lock(epoch.0) {
                w.drivers[self.driver].fenced = true;
                return Err(StoreError::Fenced);
            }
            let until_ms = w.now + LOCK_GOOD_MS;
            w.store.holder = Some(Holder { driver: self.driver, until_ms });
            Ok(())
        })
    }

    async fn unlock(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.write(epoch, |w| w.store.holder = None).await
    }

    async fn holder(&self) -> Result<Option<String>, StoreError> {
        Ok(self.world(|w| w.store.holder.map(|h| h.driver.to_string())))
    }

    async fn unfinished(&self) -> Result<Option<Unfinished>, StoreError> {
        Ok(self.world(|w| {
            let journal = w.store.journal.as_ref()?;
            Some(Unfinished {
                journal: JournalId(journal.id),
                plan: journal.plan.clone(),
                records: journal.records.clone(),
            })
        }))
    }

    async fn begin(&self, epoch: Epoch, plan: &Plan, _: &Who) -> Result<JournalId, StoreError> {
        let plan = plan.clone();
        let id = self.write(epoch, |w| w.begin_journal(self.driver, plan)).await?;
        Ok(JournalId(id))
    }

    async fn append(&self, epoch: Epoch, _: JournalId, record: &Record) -> Result<(), StoreError> {
        let record = record.clone();
        self.write(epoch, |w| w.journal(self.driver, record)).await
    }

    async fn finish(
        &self,
        epoch: Epoch,
        _: JournalId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let outcome = outcome.clone();
        self.write(epoch, |w| w.end_journal(self.driver, outcome)).await
    }

    async fn leave_intent(&self, intent: &Intent, _: &Who) -> Result<(), StoreError> {
        self.world(|w| w.store.leave(intent.clone(), w.now));
        Ok(())
    }

    async fn intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        Ok(self.world(|w| {
            w.drivers[self.driver].asked_wishes_ms = w.now;
            w.store.wishes.iter().map(|left| (left.id, left.intent.clone())).collect()
        }))
    }

    async fn take_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError> {
        self.write(epoch, |w| w.take_wish(id)).await
    }
}

impl Reporter for Port {
    fn state(&self, state: &State, _: &Observed) {
        self.world(|w| w.check_state(self.driver, state));
    }

    fn effect(&self, _: &Effect, _: &EffectPhase) {}

    fn note(&self, _: &str) {}
}
