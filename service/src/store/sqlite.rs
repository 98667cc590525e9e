//! The embedded default: one SQLite file.
//!
//! Reads go through a small pool, writes through one connection (`sqlite/writer.rs`): two processes
//! share the file while a new release takes over, so a write waits for its turn (`sqlite/turnstile.rs`)
//! and never fails because the file is busy.

#[path = "common/admin.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod admin;
mod dialect;
#[path = "common/expiry.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod expiry;
#[path = "common/find.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod find;
#[path = "common/flags.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod flags;
#[path = "common/keys.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod keys;
mod lead;
#[path = "common/look.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod look;
#[path = "common/memories.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod memories;
#[path = "common/notices.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod notices;
mod reading;
#[path = "common/rekeying.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod rekeying;
#[path = "common/repository.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod repository;
#[path = "common/reseal.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod reseal;
mod scrub;
#[path = "common/sealed.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod sealed;
#[path = "common/spending.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod spending;
#[path = "common/subjects.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod subjects;
#[path = "common/tiers.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod tiers;
mod turnstile;
#[path = "common/upkeep.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod upkeep;
#[path = "common/vectors.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod vectors;
#[path = "common/worker.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod worker;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Executor, SqliteConnection};
use tracing::Instrument;

use super::span::waited;
use super::{PoolState, StoreError};
use crate::schema::SchemaState;
use crate::sealing::Keyring;
use crate::tenant::Tenant;
use turnstile::Turnstile;
use writer::Writer;

const READERS: u32 = 2;
/// As traces call it.
const SYSTEM: &str = "sqlite";

/// How every connection of this program to the file is made.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL only FULL syncs at each commit: an acknowledged write survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30))
        .foreign_keys(true)
}

pub(super) struct Backend {
    keyring: Arc<Keyring>,
    path: PathBuf,
    /// Locked by the one that works.
    lead: PathBuf,
    readers: SqlitePool,
    writer: Writer,
}

pub(super) async fn open(path: &Path, keyring: Arc<Keyring>) -> Result<Backend, StoreError> {
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options(path).pragma("query_only", "ON"))
        .await?;
    let mut lead = path.as_os_str().to_owned();
    lead.push("-worker");
    let mut writing = options(path);
    if keyring.current().is_some() {
        // What is replaced by something sealed, or deleted, is not to stay in the file.
        writing = writing.pragma("secure_delete", "ON");
    }
    let writer = Writer::start(writing, Turnstile::beside(path)?);
    Ok(Backend { keyring, path: path.to_owned(), lead: lead.into(), readers, writer })
}

impl Backend {
    async fn read<T: Send + 'static>(
        &self,
        _: &Tenant,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send,
    ) -> Result<T, StoreError> {
        let reads = async { work(&mut *self.readers.acquire().await?).await };
        reads.instrument(waited(SYSTEM, "read")).await
    }

    async fn read_latest<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send,
    ) -> Result<T, StoreError> {
        self.read(tenant, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        _: &Tenant,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(work).instrument(waited(SYSTEM, "write")).await
    }

    async fn write_all<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(work).instrument(waited(SYSTEM, "write")).await
    }

    /// Of all tenants.
    async fn read_all<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send,
    ) -> Result<T, StoreError> {
        work(&mut *self.readers.acquire().await?).await
    }

    /// While nobody else writes: whoever writes is alone.
    async fn write_alone<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(work).instrument(waited(SYSTEM, "write")).await
    }

    /// Removes what was replaced from the index and the log of writes.
    async fn scrub(&self) -> Result<(), StoreError> {
        scrub::scrub(&self.writer, &self.path).await
    }

    async fn schema_state(&self) -> Result<Option<SchemaState>, StoreError> {
        schema_of(&mut *self.readers.acquire().await?).await
    }

    fn connections(&self) -> PoolState {
        let idle = u32::try_from(self.readers.num_idle()).unwrap_or(u32::MAX);
        PoolState { idle, used: self.readers.size().saturating_sub(idle) }
    }

    async fn shut(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

pub(super) async fn schema_of(
    connection: &mut SqliteConnection,
) -> Result<Option<SchemaState>, StoreError> {
    let table = connection
        .fetch_optional(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_state'",
        )
        .await?;
    if table.is_none() {
        return Ok(None);
    }
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT version, compatible_from FROM schema_state")
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(version, compatible_from)| SchemaState { version, compatible_from }))
}
