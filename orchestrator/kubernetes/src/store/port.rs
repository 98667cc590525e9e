//! The engine's view of the store.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::manifests::Place;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{
    Epoch, HistoryEntry, JournalId, StateStore, StoreError, Unfinished, Who,
};

use super::KubernetesStore;
use crate::state::head::{Head, TAIL_KEPT};

const RELEASE: &str = "release";
const PLAN: &str = "plan";
const RECORDS: &str = "records";
const RUNS: &str = "runs";

#[async_trait]
impl StateStore for KubernetesStore {
    async fn base(&self) -> Result<Base, StoreError> {
        Ok(self.head().await?.base())
    }

    async fn release(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        self.record(id).await
    }

    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        let head = self.head().await?;
        let mut archived: Vec<HistoryEntry> = Vec::new();
        for place in head.archive.iter().rev() {
            if head.runs.len() + archived.len() >= limit {
                break;
            }
            let mut older: Vec<HistoryEntry> = self.fetch(place).await?;
            older.append(&mut archived);
            archived = older;
        }
        Ok(head.history(&archived, limit))
    }

    async fn lock(&self, holder: &str, wait: Duration) -> Result<Epoch, StoreError> {
        self.take_lock(holder, wait).await
    }

    async fn renew(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.renew_lock(epoch).await
    }

    async fn unlock(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.give_lock_back(epoch).await
    }

    async fn holder(&self) -> Result<Option<String>, StoreError> {
        self.lock_holder().await
    }

    async fn unfinished(&self) -> Result<Option<Unfinished>, StoreError> {
        let Some(open) = self.head().await?.open else { return Ok(None) };
        let plan: Plan = self.fetch(&open.plan).await?;
        let mut records: Vec<Record> = Vec::new();
        for place in &open.put_away {
            records.extend(self.fetch::<Vec<Record>>(place).await?);
        }
        records.extend(open.tail);
        Ok(Some(Unfinished { journal: JournalId(open.run as i64), plan, records }))
    }

    async fn begin(&self, epoch: Epoch, plan: &Plan, who: &Who) -> Result<JournalId, StoreError> {
        let head = self.head().await?;
        if !head.admits(epoch) {
            return Err(StoreError::Fenced);
        }
        let record = self.put_away(RELEASE, &plan.rollout.release.0, &plan.release).await?;
        let place = self.put_away(PLAN, &(head.last + 1).to_string(), plan).await?;
        let archive = match head.overflow() {
            Some(runs) => Some(self.put_away(RUNS, &runs[0].sequence.to_string(), &runs).await?),
            None => None,
        };
        self.forget_intents().await?;
        let now_ms = now_ms();
        let run = self
            .write_as(epoch, |head| {
                if let Some(archive) = archive.clone() {
                    head.archived(archive);
                }
                head.begin(plan, (place.clone(), record.clone()), who, now_ms)
            })
            .await?;
        Ok(JournalId(run as i64))
    }

    async fn append(
        &self,
        epoch: Epoch,
        journal: JournalId,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.make_room(epoch).await?;
        let run = journal.0 as u64;
        let appended = self.write_as(epoch, |head| match &mut head.open {
            Some(open) if open.run == run => {
                open.tail.push(record.clone());
                true
            }
            _ => false,
        });
        match appended.await? {
            true => Ok(()),
            false => {
                Err(StoreError::Failed(format!("run {run} has ended; nothing is added to it")))
            }
        }
    }

    async fn finish(
        &self,
        epoch: Epoch,
        journal: JournalId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let now_ms = now_ms();
        self.write_as(epoch, |head| head.finish(journal.0 as u64, outcome, now_ms)).await?;
        // The run is over whether or not there is less in the cluster afterwards.
        if let Err(error) = self.prune(epoch).await {
            tracing::warn!(%error, "could not remove what is no longer needed");
        }
        Ok(())
    }

    async fn leave_intent(&self, intent: &Intent, who: &Who) -> Result<(), StoreError> {
        self.put_intent(intent, who).await
    }

    async fn intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        self.open_intents().await
    }

    async fn take_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError> {
        self.remove_intent(epoch, id).await
    }
}

impl KubernetesStore {
    pub(crate) async fn record_of(
        &self,
        head: &Head,
        id: &ReleaseId,
    ) -> Result<Option<Release>, StoreError> {
        match head.releases.get(id) {
            Some(place) => self.look_up(place).await,
            None => Ok(None),
        }
    }

    /// A release's record, as long as it is kept.
    pub(crate) async fn record(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        let known = self.known.lock().expect("not poisoned").clone();
        match known.filter(|read| read.head.releases.contains_key(id)) {
            Some(read) => self.record_of(&read.head, id).await,
            None => self.record_of(&self.head().await?, id).await,
        }
    }

    /// The number of the run that was open when the state was last read or written.
    pub(crate) fn open_run(&self) -> Option<u64> {
        let known = self.known.lock().expect("not poisoned");
        known.as_ref()?.head.open.as_ref().map(|open| open.run)
    }

    /// Where objects of the user's own may be.
    pub async fn places(&self) -> Result<BTreeSet<Place>, StoreError> {
        let known = self.known.lock().expect("not poisoned").clone();
        Ok(match known {
            Some(read) => read.head.places,
            None => self.head().await?.places,
        })
    }

    /// The number of the run that is open, and the records of all releases that are kept.
    pub(crate) async fn kept(&self) -> Result<(Option<u64>, Vec<Release>), StoreError> {
        let head = self.head().await?;
        let mut kept = Vec::new();
        for id in head.releases.keys() {
            kept.extend(self.record_of(&head, id).await?);
        }
        Ok((head.open.map(|open| open.run), kept))
    }

    /// The place in the history at which each of these releases was last put into force.
    pub(crate) async fn in_force_at(&self, id: &ReleaseId) -> Result<u64, StoreError> {
        Ok(self.head().await?.last_in_force(id).unwrap_or(0))
    }

    /// Puts the journal's records away when the head holds many: it is written at every step.
    async fn make_room(&self, epoch: Epoch) -> Result<(), StoreError> {
        let known = self.known.lock().expect("not poisoned").clone();
        let Some(open) = known.and_then(|read| read.head.open) else { return Ok(()) };
        if open.tail.len() < TAIL_KEPT {
            return Ok(());
        }
        let of = format!("{}.{}", open.run, open.put_away.len());
        let place = self.put_away(RECORDS, &of, &open.tail).await?;
        self.write_as(epoch, |head| {
            // Only what was put away goes from the head.
            let same = head.open.as_mut().filter(|now| now.tail == open.tail);
            if let Some(now) = same {
                now.tail.clear();
                now.put_away.push(place.clone());
            }
        })
        .await
    }

    /// Removes what the retention of the release in force does not keep, and what the ended run left.
    async fn prune(&self, epoch: Epoch) -> Result<(), StoreError> {
        let head = self.head().await?;
        let Some(current) = head.base().release else { return Ok(()) };
        let Some(record) = self.record_of(&head, &current).await? else { return Ok(()) };
        let count = record.retention.releases as usize;
        if head.kept_releases(count).len() < head.releases.len() {
            self.write_as(epoch, |head| head.prune(count)).await?;
        }
        let kept = self.head().await?.releases.into_keys().map(|id| id.0).collect();
        self.remove_others(RELEASE, &kept).await?;
        let open = head.open.map(|open| open.run.to_string());
        self.remove_others(PLAN, &open.into_iter().collect()).await?;
        self.remove_others(RECORDS, &Default::default()).await
    }
}

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}
