//! The engine's view of the store. Calls are short and local, so they are done where they stand.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{
    Epoch, HistoryEntry, JournalId, StateStore, StoreError, Unfinished, Who,
};

use super::Store;

/// Pause between two looks at a lock that somebody holds.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[async_trait]
impl StateStore for Store {
    async fn base(&self) -> Result<Base, StoreError> {
        let (sequence, release) = self.current_release()?.unzip();
        let stranded = self.stranded()?;
        Ok(Base { release, sequence: sequence.unwrap_or_default(), stranded })
    }

    async fn release(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        self.release_record(id)
    }

    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        self.latest(limit)
    }

    async fn lock(&self, holder: &str, wait: Duration) -> Result<Epoch, StoreError> {
        let started = Instant::now();
        loop {
            match self.try_lock(holder) {
                Err(StoreError::Held { .. }) if started.elapsed() < wait => {
                    tokio::time::sleep(LOOK_AGAIN.min(wait)).await;
                }
                result => return result,
            }
        }
    }

    async fn renew(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.renew_lock(epoch)
    }

    async fn unlock(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.give_lock_back(epoch)
    }

    async fn holder(&self) -> Result<Option<String>, StoreError> {
        self.lock_holder()
    }

    async fn unfinished(&self) -> Result<Option<Unfinished>, StoreError> {
        self.unfinished_journal()
    }

    async fn begin(&self, epoch: Epoch, plan: &Plan, who: &Who) -> Result<JournalId, StoreError> {
        self.open_journal(epoch, plan, who)
    }

    async fn append(
        &self,
        epoch: Epoch,
        journal: JournalId,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.append_record(epoch, journal, record)
    }

    async fn finish(
        &self,
        epoch: Epoch,
        journal: JournalId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        self.close_journal(epoch, journal, outcome)
    }

    async fn leave_intent(&self, intent: &Intent, who: &Who) -> Result<(), StoreError> {
        self.put_intent(intent, who)
    }

    async fn intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        self.open_intents()
    }

    async fn take_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError> {
        self.remove_intent(epoch, id)
    }
}
