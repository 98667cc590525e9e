//! `neuroca worker`: what nobody waits for. Removes what has expired, indexes what is not, promotes,
//! compares, does the consolidations that were asked for, and gives memories their vectors.
//!
//! It has no port. Of several, one works; the others wait to take over. While all tenants are under
//! maintenance, none does.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info_span};

use crate::config::Settings;
use crate::consolidate::{compare, consolidate, promote};
use crate::embed::embed;
use crate::embedding::Embedder;
use crate::lifecycle::Shutdown;
use crate::maintenance::Maintenance;
use crate::memory::Moment;
use crate::search::Searcher;
use crate::serve::{ServeError, open_patiently};
use crate::store::{Lead, Removed, Repository, StoreError, TaskState};

const PERIOD: Duration = Duration::from_secs(5);
/// Rows of one transaction, so that writers of the service never wait long.
const BATCH: u32 = 500;
/// Of every period, to comparing what was not asked for: the rest belongs to those who wait.
const COMPARING: Duration = Duration::from_secs(1);
/// Of every round, to vectors; while some are missing, the next round follows at once.
const EMBEDDING: Duration = Duration::from_secs(2);
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// How long a task that has ended can be asked for.
const TASK_LIFE_MILLIS: i64 = 7 * DAY_MILLIS;

struct Worker {
    repository: Arc<dyn Repository>,
    searcher: Searcher,
    maintenance: Maintenance,
    embedder: Option<Embedder>,
    settings: Settings,
}

/// Works until `shutdown`.
pub async fn work(settings: Settings, mut shutdown: Shutdown) -> Result<(), ServeError> {
    tracing::info!(revision = settings.revision, database = %settings.database, "worker starts");
    let repository = tokio::select! {
        opened = open_patiently(&settings) => opened
            .map_err(|error| ServeError::Database(settings.database.to_string(), error))?,
        () = shutdown.requested() => return Ok(()),
    };
    let embedder = settings.embeddings.as_ref().map(Embedder::new).transpose();
    let embedder = embedder.map_err(ServeError::Embeddings)?;
    tracing::info!("ready");
    let (searcher, maintenance) = (Searcher::default(), Maintenance::default());
    let worker = Worker { repository, searcher, embedder, maintenance, settings };
    let mut lead: Option<Box<dyn Lead>> = None;
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            // What was done is written; what was not, the next one does.
            done = worker.turn(&mut lead).instrument(info_span!("worker turn")) => match done {
                Ok(true) => ticks.reset_immediately(),
                Ok(false) => {}
                // Tried again with the next tick.
                Err(error) => tracing::warn!(%error, "the worker could not do its work"),
            },
        }
    }
    drop(lead);
    worker.repository.close().await;
    tracing::info!("worker ends");
    Ok(())
}

impl Worker {
    /// Whether there is more to do at once.
    async fn turn(&self, lead: &mut Option<Box<dyn Lead>>) -> Result<bool, StoreError> {
        let leads = match lead {
            Some(held) => held.holds().await,
            None => false,
        };
        if !leads {
            *lead = self.repository.lead().await?;
            if lead.is_none() {
                return Ok(false);
            }
            tracing::info!("this worker works now");
        }
        self.maintenance.refresh(&*self.repository).await?;
        if self.maintenance.notices().service.is_some() {
            return Ok(false);
        }
        while self.repository.index_missing(BATCH).await? > 0 {}
        self.remove().await?;
        self.do_tasks().await?;
        let now = Moment::now();
        let capacity = self.settings.capacity;
        let promoted = promote(&*self.repository, None, capacity, now).await?;
        let mut superseded = 0;
        let begun = std::time::Instant::now();
        loop {
            let (looked_at, ended) =
                compare(&*self.repository, &self.searcher, None, capacity, Moment::now()).await?;
            superseded += ended;
            if looked_at == 0 || begun.elapsed() > COMPARING {
                break;
            }
        }
        if promoted > 0 || superseded > 0 {
            tracing::info!(promoted, superseded, "consolidated");
        }
        Ok(self.embed().await)
    }

    /// Vectors, last: nothing else is to wait for a model that is slow or away.
    async fn embed(&self) -> bool {
        let Some(embedder) = &self.embedder else { return false };
        match embed(&*self.repository, embedder, EMBEDDING).await {
            Ok(round) => {
                if round.done > 0 {
                    tracing::info!(memories = round.done, model = embedder.model(), "embedded");
                }
                round.more
            }
            Err(error) => {
                tracing::warn!(%error, "memories are without vectors for now");
                false
            }
        }
    }

    async fn remove(&self) -> Result<(), StoreError> {
        let now = Moment::now();
        let mut total = Removed::default();
        loop {
            let some = self.repository.remove_expired(now, BATCH).await?;
            total.memories += some.memories;
            total.keys += some.keys;
            if some.memories < u64::from(BATCH) && some.keys < u64::from(BATCH) {
                break;
            }
        }
        if total != Removed::default() {
            tracing::info!(memories = total.memories, keys = total.keys, "removed what expired");
        }
        if let Some(days) = self.settings.retention_days {
            let before = now.plus(-i64::from(days) * DAY_MILLIS);
            let mut removed = 0;
            loop {
                let some = self.repository.remove_unseen(before, BATCH).await?;
                removed += some;
                if some < u64::from(BATCH) {
                    break;
                }
            }
            if removed > 0 {
                tracing::info!(removed, days, "removed what nobody had looked at");
            }
        }
        self.repository.remove_tasks(now.plus(-TASK_LIFE_MILLIS)).await
    }

    async fn do_tasks(&self) -> Result<(), StoreError> {
        while let Some(mut task) = self.repository.next_task().await? {
            task.state = TaskState::Running;
            self.repository.save_task(&task).await?;
            let begun = std::time::Instant::now();
            let (capacity, now) = (self.settings.capacity, Moment::now());
            let done =
                consolidate(&*self.repository, &self.searcher, &task.tenant, capacity, now).await;
            task.finished_at = Some(Moment::now());
            match done {
                Ok(done) => {
                    task.state = TaskState::Done;
                    task.promoted = done.promoted;
                    task.superseded = done.superseded;
                }
                // It will not work the next time either.
                Err(StoreError::Fault(error)) => {
                    tracing::error!(error, task = %task.id, "a consolidation failed");
                    task.state = TaskState::Failed;
                }
                Err(error) => return Err(error),
            }
            self.repository.save_task(&task).await?;
            tracing::info!(
                task = %task.id,
                millis = begun.elapsed().as_millis() as u64,
                promoted = task.promoted,
                superseded = task.superseded,
                "a consolidation ended"
            );
        }
        Ok(())
    }
}
