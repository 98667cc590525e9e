//! The flaws that concern the lock, the journal and intents.

use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::{Event, Intent};
use neuroca_deploy_engine::ports::*;

use super::{Mutated, Mutation};

#[async_trait]
impl StateStore for Mutated {
    async fn base(&self) -> Result<Base, StoreError> {
        self.port.base().await
    }

    async fn release(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        self.port.release(id).await
    }

    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        self.port.history(limit).await
    }

    async fn lock(&self, holder: &str, wait: Duration) -> Result<Epoch, StoreError> {
        let epoch = self.port.lock(holder, wait).await?;
        if self.is(Mutation::ReuseAnEpoch) && epoch.0 > 1 {
            return Ok(self.port.world(|w| {
                w.store.epoch = 1;
                w.drivers[self.port.driver].epoch = 1;
                Epoch(1)
            }));
        }
        Ok(epoch)
    }

    async fn renew(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.port.renew(epoch).await
    }

    async fn unlock(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.port.unlock(epoch).await
    }

    async fn holder(&self) -> Result<Option<String>, StoreError> {
        self.port.holder().await
    }

    async fn unfinished(&self) -> Result<Option<Unfinished>, StoreError> {
        let mut open = self.port.unfinished().await?;
        if let Some(open) = open.as_mut().filter(|_| self.is(Mutation::ForgetTheVerdict)) {
            let against = open.records.iter().position(|record| {
                let Record::Happened { event, .. } = record else { return false };
                let word = |intent: &Intent| matches!(intent, Intent::Abort | Intent::Rollback);
                match event {
                    Event::Unhealthy { .. } | Event::Refused { .. } => true,
                    Event::Operator { intent } => word(intent),
                    _ => false,
                }
            });
            open.records.truncate(against.unwrap_or(open.records.len()));
        }
        Ok(open)
    }

    async fn begin(&self, epoch: Epoch, plan: &Plan, who: &Who) -> Result<JournalId, StoreError> {
        self.port.begin(epoch, plan, who).await
    }

    async fn append(
        &self,
        epoch: Epoch,
        journal: JournalId,
        record: &Record,
    ) -> Result<(), StoreError> {
        let skipped = match record {
            Record::Started { .. } => self.is(Mutation::SkipStartedRecords),
            Record::Happened { event: Event::Done, .. } => self.is(Mutation::SkipDoneRecords),
            Record::Happened { event: Event::TookOver, .. } => {
                self.is(Mutation::KeepASplitThatNobodyDrove)
            }
            Record::Happened { .. } => false,
        };
        if skipped { Ok(()) } else { self.port.append(epoch, journal, record).await }
    }

    async fn finish(
        &self,
        epoch: Epoch,
        journal: JournalId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        self.port.finish(epoch, journal, outcome).await?;
        if self.is(Mutation::RecordTwice) {
            return self.port.finish(epoch, journal, outcome).await;
        }
        Ok(())
    }

    async fn leave_intent(&self, intent: &Intent, who: &Who) -> Result<(), StoreError> {
        self.port.leave_intent(intent, who).await
    }

    async fn intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        let intents = self.port.intents().await?;
        let (drops, takes) = (Mutation::DropIntents, Mutation::TakeIntentsBeforeJournaling);
        if self.is(drops) || self.is(takes) {
            let epoch = Epoch(self.port.world(|w| w.drivers[self.port.driver].epoch));
            for (id, _) in &intents {
                self.port.take_intent(epoch, *id).await?;
            }
        }
        Ok(if self.is(drops) { Vec::new() } else { intents })
    }

    async fn take_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError> {
        self.port.take_intent(epoch, id).await
    }
}
