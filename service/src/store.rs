//! The repository of memories: what every database behind it has to do, and how one is opened.
//!
//! Knows no HTTP. Both implementations pass one contract test (`tests/contract.rs`).

mod migrate;
mod postgres;
mod sqlite;
mod sqlite_write;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

pub use migrate::{Migrated, migrate};

use crate::config::Database;
use crate::memory::{Memory, Moment, Tier};
use crate::schema::{Incompatible, SchemaState};

/// What a write that may be repeated says about itself.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Chosen by the client; one key makes one memory.
    pub key: String,
    /// Of the draft: the same key with another draft is a mistake of the client.
    pub fingerprint: String,
}

/// A memory to be written.
#[derive(Debug, Clone)]
pub struct NewMemory {
    /// The memory.
    pub memory: Memory,
    /// Makes a repetition answer what the first one made.
    pub idempotency: Option<Idempotency>,
    /// Most memories of this tier and subject; the least important ones leave.
    pub capacity: Option<u32>,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// It is there, durably.
    New {
        /// How many left the full tier for it.
        evicted: u64,
    },
    /// The key was used before, for the same draft: this is what it made.
    Replayed(Box<Memory>),
    /// The key was used before, for the same draft; what it made is not there any more.
    ReplayedGone,
    /// The key was used before, for something else.
    KeyReused,
}

/// Which memories a page shows: newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only those older than this one.
    pub before: Option<Uuid>,
    /// Only this tier.
    pub tier: Option<Tier>,
    /// At most so many.
    pub limit: u32,
}

/// What an expiry run removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Expired memories.
    pub memories: u64,
    /// Idempotency keys past their day.
    pub keys: u64,
}

/// Connections of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Open and waiting for work.
    pub idle: u32,
    /// Open and at work.
    pub used: u32,
}

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// It will not: a fault of this program or of the data.
    #[error("the database refused: {0}")]
    Fault(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        let fault = match &error {
            sqlx::Error::Database(database) => {
                // PostgreSQL: 22 data, 23 constraint, 42 syntax or access. SQLite's codes are
                // short numbers: 1 error, 11 corrupt, 19 constraint, 20 mismatch, 26 no database.
                database.code().is_some_and(|code| match code.parse::<u32>() {
                    Ok(number) if code.len() < 5 => matches!(number & 0xff, 1 | 11 | 19 | 20 | 26),
                    _ => code.starts_with("22") || code.starts_with("23") || code.starts_with("42"),
                })
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Encode(_) => true,
            _ => false,
        };
        if fault { Self::Fault(text) } else { Self::Unavailable(text) }
    }
}

/// Idempotency keys are kept for a day.
pub const KEY_LIFE_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The port to a database of memories. A write that answered `Ok` survives a crash of the
/// process and of the machine.
#[async_trait]
pub trait Repository: Send + Sync {
    /// Writes a memory, once per idempotency key.
    async fn create(&self, new: NewMemory) -> Result<Created, StoreError>;
    /// The memory of this id, unless it expired.
    async fn get(&self, id: Uuid, now: Moment) -> Result<Option<Memory>, StoreError>;
    /// A page of what has not expired.
    async fn list(&self, page: Page, now: Moment) -> Result<Vec<Memory>, StoreError>;
    /// Removes it; whether it was there.
    async fn delete(&self, id: Uuid, now: Moment) -> Result<bool, StoreError>;
    /// Removes at most `batch` expired memories and as many old keys, so that nobody waits long.
    async fn remove_expired(&self, now: Moment, batch: u32) -> Result<Removed, StoreError>;
    /// What the database says about its schema; `None` before the first migration.
    async fn schema(&self) -> Result<Option<SchemaState>, StoreError>;
    /// The connections.
    fn pool(&self) -> PoolState;
    /// Ends the connections after the work they have.
    async fn close(&self);
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached: worth another try.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be used by this binary.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
}

/// Opens the database and makes sure that this binary works on its schema.
pub async fn open(database: &Database) -> Result<Arc<dyn Repository>, OpenError> {
    let repository: Arc<dyn Repository> = match database {
        Database::Sqlite(path) => {
            if !path.exists() {
                return Err(Incompatible::Empty.into());
            }
            Arc::new(sqlite::SqliteRepository::open(path).await?)
        }
        Database::Postgres(options) => Arc::new(postgres::PostgresRepository::open(options).await?),
    };
    let checked = match repository.schema().await {
        Ok(state) => crate::schema::check(state).map_err(OpenError::from),
        Err(error) => Err(error.into()),
    };
    match checked {
        Ok(_) => Ok(repository),
        Err(error) => {
            repository.close().await;
            Err(error)
        }
    }
}

/// A row of `memories` in the column order of both databases, as they give it.
type Row = (String, String, String, f64, Option<String>, String, i64, Option<i64>);

fn memory_from(row: Row) -> Result<Memory, StoreError> {
    let (id, content, tier, importance, subject, metadata, created_at, expires_at) = row;
    let fault = |what: &str| StoreError::Fault(format!("memory {id} has an invalid {what}"));
    Ok(Memory {
        id: Uuid::parse_str(&id).map_err(|_| fault("id"))?,
        tier: Tier::from_name(&tier).ok_or_else(|| fault("tier"))?,
        metadata: serde_json::from_str(&metadata).map_err(|_| fault("metadata"))?,
        content,
        importance,
        subject,
        created_at: Moment(created_at),
        expires_at: expires_at.map(Moment),
    })
}

fn metadata_text(memory: &Memory) -> String {
    serde_json::Value::Object(memory.metadata.clone()).to_string()
}
