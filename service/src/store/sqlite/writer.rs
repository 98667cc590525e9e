//! The one connection of a process that writes to the SQLite file.
//!
//! Writes that arrive while another one is being synced to disk share the next transaction: the
//! sync is the price of a write, and many can pay it together. Each has a savepoint of its own, so
//! that one bad write fails alone. Nobody hears of success before the commit.

use futures::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::turnstile::Turnstile;
use crate::store::StoreError;

/// Writes that wait at most; more have to wait before they can wait here.
const QUEUE: usize = 256;
/// Writes of one transaction at most, so that the other process gets its turn.
const BATCH: usize = 64;

/// Tells whoever waits: what the work said, or why it was not kept after all.
type Tell = Box<dyn FnOnce(Option<StoreError>) + Send>;

/// Done on the connection: whether to keep it, and how to tell.
struct Worked {
    keep: bool,
    tell: Tell,
}

type Job = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Worked> + Send>;

pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

fn closed() -> StoreError {
    StoreError::Unavailable("the writer has ended".into())
}

impl Writer {
    pub(super) fn start(options: SqliteConnectOptions, turnstile: Turnstile) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(work(options, turnstile, receiver));
        Self { jobs: Mutex::new(Some(sender)), task: Mutex::new(Some(task)) }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |on| {
            Box::pin(async move {
                let result = work(on).await;
                let keep = result.is_ok();
                let tell: Tell = Box::new(move |failure| {
                    // A client that is gone does not undo its write.
                    let _ = reply.send(failure.map_or(result, Err));
                });
                Worked { keep, tell }
            })
        });
        let jobs = self.jobs.lock().await.clone().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())?;
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

async fn work(options: SqliteConnectOptions, turnstile: Turnstile, mut jobs: mpsc::Receiver<Job>) {
    let mut connection = None;
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let mut tells = Vec::with_capacity(batch.len());
        let turn = turnstile.pass().await;
        let failure = transact(&options, &mut connection, &mut batch, &mut tells).await.err();
        drop(turn);
        // Those that did not get their turn hear that the writer has ended, by the drop.
        batch.clear();
        for tell in tells {
            tell(failure.clone());
        }
    }
    if let Some(connection) = connection {
        let _ = connection.close().await;
    }
}

async fn transact(
    options: &SqliteConnectOptions,
    slot: &mut Option<SqliteConnection>,
    jobs: &mut Vec<Job>,
    tells: &mut Vec<Tell>,
) -> Result<(), StoreError> {
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    // IMMEDIATE takes the write lock at once and waits for it. A transaction that begins as a
    // reader could not wait: SQLite answers it with "busy" whatever the timeout.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for job in jobs.drain(..) {
        let mut own = transaction.begin().await?;
        let Worked { keep, tell } = job(&mut own).await;
        tells.push(tell);
        if keep {
            own.commit().await?;
        } else {
            own.rollback().await?;
        }
    }
    transaction.commit().await?;
    // Only a connection without a failure is used again.
    *slot = Some(connection);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use sqlx::Executor;

    use super::*;
    use crate::store::sqlite::options;

    /// Writers that share a connection, each with one write under way: the rows of one transaction at most.
    const AT_ONCE: i64 = 4;

    fn start(path: &Path) -> Writer {
        Writer::start(options(path), Turnstile::beside(path).expect("opens"))
    }

    async fn add_a_row(writer: &Writer) {
        writer
            .run(|on| {
                Box::pin(async move { Ok(on.execute("INSERT INTO t VALUES (1)").await.map(drop)?) })
            })
            .await
            .expect("written");
    }

    async fn rows(writer: &Writer) -> i64 {
        writer
            .run(|on| {
                Box::pin(async move {
                    Ok(sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(on).await?)
                })
            })
            .await
            .expect("counted")
    }

    #[tokio::test]
    async fn a_release_that_writes_without_a_pause_does_not_keep_the_next_one_waiting() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("neuroca.db");
        let mut made = options(&path).create_if_missing(true).connect().await.expect("connects");
        made.execute("CREATE TABLE t (x)").await.expect("a table");
        let (old, new, stop) =
            (Arc::new(start(&path)), start(&path), Arc::new(AtomicBool::new(false)));
        let busy: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (old, stop) = (old.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::SeqCst) {
                        add_a_row(&old).await;
                    }
                })
            })
            .collect();
        let mut written = Vec::new();
        for _ in 0..40 {
            let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM t")
                .fetch_one(&mut made)
                .await
                .expect("a count");
            written.push(rows(&new).await - seen);
        }
        stop.store(true, Ordering::SeqCst);
        for task in busy {
            task.await.expect("ends");
        }
        // Two transactions while this one asked for the place in the queue, and one that had the turn.
        assert!(written.iter().all(|rows| *rows <= 3 * AT_ONCE), "{written:?}");
    }
}
