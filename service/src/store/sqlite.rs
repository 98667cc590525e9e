//! The embedded default: one SQLite file.
//!
//! Reads go through a small pool, writes through one connection (`sqlite_write`): two processes
//! share the file while a new release takes over, so a write waits for its turn and never fails
//! because the file is busy.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Executor, SqliteConnection};
use uuid::Uuid;

use super::sqlite_write::{Done, Write, Writer};
use super::{
    Created, NewMemory, Page, PoolState, Removed, Repository, Row, StoreError, memory_from,
};
use crate::memory::{Memory, Moment};
use crate::schema::SchemaState;

const READERS: u32 = 2;

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

pub(super) struct SqliteRepository {
    readers: SqlitePool,
    writer: Writer,
}

impl SqliteRepository {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options(path).pragma("query_only", "ON"))
            .await?;
        Ok(Self { readers, writer: Writer::start(options(path)) })
    }
}

#[async_trait]
impl Repository for SqliteRepository {
    async fn create(&self, new: NewMemory) -> Result<Created, StoreError> {
        match self.writer.run(Write::Create(Box::new(new))).await? {
            Done::Created(created) => Ok(created),
            other => Err(other.unexpected()),
        }
    }

    async fn get(&self, id: Uuid, now: Moment) -> Result<Option<Memory>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, content, tier, importance, subject, metadata, created_at, expires_at \
             FROM memories WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )
        .bind(id.to_string())
        .bind(now.0)
        .fetch_optional(&self.readers)
        .await?;
        row.map(memory_from).transpose()
    }

    async fn list(&self, page: Page, now: Moment) -> Result<Vec<Memory>, StoreError> {
        // '~' sorts behind every id.
        let before = page.before.map_or_else(|| "~".to_owned(), |id| id.to_string());
        let everywhere = "SELECT id, content, tier, importance, subject, metadata, created_at, expires_at \
             FROM memories WHERE id < ?1 AND (expires_at IS NULL OR expires_at > ?2) \
             ORDER BY id DESC LIMIT ?3";
        let in_tier = "SELECT id, content, tier, importance, subject, metadata, created_at, expires_at \
             FROM memories WHERE id < ?1 AND (expires_at IS NULL OR expires_at > ?2) AND tier = ?4 \
             ORDER BY id DESC LIMIT ?3";
        let sql = if page.tier.is_some() { in_tier } else { everywhere };
        let mut query = sqlx::query_as(sql).bind(before).bind(now.0).bind(page.limit);
        if let Some(tier) = page.tier {
            query = query.bind(tier.name());
        }
        let rows: Vec<Row> = query.fetch_all(&self.readers).await?;
        rows.into_iter().map(memory_from).collect()
    }

    async fn delete(&self, id: Uuid, now: Moment) -> Result<bool, StoreError> {
        match self.writer.run(Write::Delete { id, now }).await? {
            Done::Deleted(was_there) => Ok(was_there),
            other => Err(other.unexpected()),
        }
    }

    async fn remove_expired(&self, now: Moment, batch: u32) -> Result<Removed, StoreError> {
        match self.writer.run(Write::RemoveExpired { now, batch }).await? {
            Done::Removed(removed) => Ok(removed),
            other => Err(other.unexpected()),
        }
    }

    async fn schema(&self) -> Result<Option<SchemaState>, StoreError> {
        schema_of(&mut *self.readers.acquire().await?).await
    }

    fn pool(&self) -> PoolState {
        let idle = u32::try_from(self.readers.num_idle()).unwrap_or(u32::MAX);
        PoolState { idle, used: self.readers.size().saturating_sub(idle) }
    }

    async fn close(&self) {
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
