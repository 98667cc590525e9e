//! The one connection of a process that writes to the SQLite file.
//!
//! Writes that arrive while another one is being synced to disk share the next transaction: the
//! sync is the price of a write, and many can pay it together. If a transaction fails, its writes
//! are tried again one by one, so that one bad write fails alone.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use super::{
    Created, KEY_LIFE_MILLIS, NewMemory, Removed, Row, StoreError, memory_from, metadata_text,
};
use crate::memory::{Memory, Moment};

/// Writes that wait at most; more have to wait before they can wait here.
const QUEUE: usize = 256;
/// Writes of one transaction at most, so that the other process gets its turn.
const BATCH: usize = 64;

pub(super) enum Write {
    Create(Box<NewMemory>),
    Delete { id: Uuid, now: Moment },
    RemoveExpired { now: Moment, batch: u32 },
}

pub(super) enum Done {
    Created(Created),
    Deleted(bool),
    Removed(Removed),
}

impl Done {
    pub(super) fn unexpected(&self) -> StoreError {
        StoreError::Fault("the writer answered another question".into())
    }
}

struct Job {
    write: Write,
    reply: oneshot::Sender<Result<Done, StoreError>>,
}

pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

fn closed() -> StoreError {
    StoreError::Unavailable("the writer has ended".into())
}

impl Writer {
    pub(super) fn start(options: SqliteConnectOptions) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(work(options, receiver));
        Self { jobs: Mutex::new(Some(sender)), task: Mutex::new(Some(task)) }
    }

    pub(super) async fn run(&self, write: Write) -> Result<Done, StoreError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.lock().await.clone().ok_or_else(closed)?;
        jobs.send(Job { write, reply }).await.map_err(|_| closed())?;
        // The clone would keep the writer alive past `close`.
        drop(jobs);
        answer.await.map_err(|_| closed())?
    }

    pub(super) async fn close(&self) {
        self.jobs.lock().await.take();
        if let Some(task) = self.task.lock().await.take() {
            // It ends by itself after the last job.
            let _ = task.await;
        }
    }
}

async fn work(options: SqliteConnectOptions, mut jobs: mpsc::Receiver<Job>) {
    let mut connection: Option<SqliteConnection> = None;
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        match transact(&options, &mut connection, &batch).await {
            Ok(results) => {
                for (job, done) in batch.drain(..).zip(results) {
                    // A client that is gone does not undo its write.
                    let _ = job.reply.send(Ok(done));
                }
            }
            Err(_) => {
                for job in batch.drain(..) {
                    let one = transact(&options, &mut connection, std::slice::from_ref(&job)).await;
                    let _ = job.reply.send(match one {
                        Ok(mut results) => results.pop().ok_or_else(closed),
                        Err(error) => Err(error),
                    });
                }
            }
        }
    }
    if let Some(connection) = connection {
        let _ = connection.close().await;
    }
}

async fn transact(
    options: &SqliteConnectOptions,
    slot: &mut Option<SqliteConnection>,
    jobs: &[Job],
) -> Result<Vec<Done>, StoreError> {
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    let mut results = Vec::with_capacity(jobs.len());
    // IMMEDIATE takes the write lock at once and waits for it. A transaction that begins as a
    // reader could not wait: SQLite answers it with "busy" whatever the timeout.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in jobs {
        results.push(perform(&mut transaction, &job.write).await?);
    }
    transaction.commit().await?;
    // Only a connection without a failure is used again.
    *slot = Some(connection);
    Ok(results)
}

async fn perform(on: &mut SqliteConnection, write: &Write) -> Result<Done, StoreError> {
    match write {
        Write::Create(new) => create(on, new).await.map(Done::Created),
        Write::Delete { id, now } => {
            let changed = sqlx::query(
                "DELETE FROM memories WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
            )
            .bind(id.to_string())
            .bind(now.0)
            .execute(on)
            .await?;
            Ok(Done::Deleted(changed.rows_affected() > 0))
        }
        Write::RemoveExpired { now, batch } => {
            remove_expired(on, *now, *batch).await.map(Done::Removed)
        }
    }
}

async fn create(on: &mut SqliteConnection, new: &NewMemory) -> Result<Created, StoreError> {
    let memory = &new.memory;
    if let Some(idempotency) = &new.idempotency {
        let used: Option<(String, String)> = sqlx::query_as(
            "SELECT fingerprint, memory_id FROM idempotency_keys WHERE key = ?1 AND created_at > ?2",
        )
        .bind(&idempotency.key)
        .bind(memory.created_at.0 - KEY_LIFE_MILLIS)
        .fetch_optional(&mut *on)
        .await?;
        match used {
            Some((fingerprint, _)) if fingerprint != idempotency.fingerprint => {
                return Ok(Created::KeyReused);
            }
            Some((_, id)) => {
                let made: Option<Row> = sqlx::query_as(
                    "SELECT id, content, tier, importance, subject, metadata, created_at, expires_at \
                     FROM memories WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
                )
                .bind(id)
                .bind(memory.created_at.0)
                .fetch_optional(on)
                .await?;
                return match made {
                    Some(row) => memory_from(row).map(Box::new).map(Created::Replayed),
                    None => Ok(Created::ReplayedGone),
                };
            }
            None => {
                sqlx::query(
                    "INSERT OR REPLACE INTO idempotency_keys (key, fingerprint, memory_id, created_at) \
                     VALUES (?1, ?2, ?3, ?4)",
                )
                .bind(&idempotency.key)
                .bind(&idempotency.fingerprint)
                .bind(memory.id.to_string())
                .bind(memory.created_at.0)
                .execute(&mut *on)
                .await?;
            }
        }
    }
    sqlx::query(
        "INSERT INTO memories (id, content, tier, importance, subject, metadata, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(memory.id.to_string())
    .bind(&memory.content)
    .bind(memory.tier.name())
    .bind(memory.importance)
    .bind(&memory.subject)
    .bind(metadata_text(memory))
    .bind(memory.created_at.0)
    .bind(memory.expires_at.map(|moment| moment.0))
    .execute(&mut *on)
    .await?;
    let evicted = match new.capacity {
        Some(capacity) => evict(on, memory, capacity).await?,
        None => 0,
    };
    Ok(Created::New { evicted })
}

/// The expired leave first, then the least important, then the oldest; never the new one.
async fn evict(
    on: &mut SqliteConnection,
    memory: &Memory,
    capacity: u32,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "DELETE FROM memories WHERE id IN (SELECT id FROM memories \
         WHERE tier = ?1 AND subject IS ?2 AND id <> ?3 \
         ORDER BY (expires_at > ?4) DESC, importance DESC, id DESC LIMIT -1 OFFSET ?5)",
    )
    .bind(memory.tier.name())
    .bind(&memory.subject)
    .bind(memory.id.to_string())
    .bind(memory.created_at.0)
    .bind(capacity.saturating_sub(1))
    .execute(on)
    .await?;
    Ok(done.rows_affected())
}

async fn remove_expired(
    on: &mut SqliteConnection,
    now: Moment,
    batch: u32,
) -> Result<Removed, StoreError> {
    let memories = sqlx::query(
        "DELETE FROM memories WHERE id IN \
         (SELECT id FROM memories WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    )
    .bind(now.0)
    .bind(batch)
    .execute(&mut *on)
    .await?;
    let keys = sqlx::query(
        "DELETE FROM idempotency_keys WHERE key IN \
         (SELECT key FROM idempotency_keys WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",
    )
    .bind(now.0 - KEY_LIFE_MILLIS)
    .bind(batch)
    .execute(on)
    .await?;
    Ok(Removed { memories: memories.rows_affected(), keys: keys.rows_affected() })
}
