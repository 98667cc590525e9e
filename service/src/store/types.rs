//! What goes into the repository and what comes out.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::config::Capacity;
use crate::memory::{Activation, Change, Memory, Moment, Tier, Version};
use crate::sealing::SealError;

/// What a write that may be repeated says about itself.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Chosen by the client; one key makes one thing.
    pub key: String,
    /// Of the request: the same key with another one is a mistake of the client.
    pub fingerprint: String,
}

/// Memories to be written.
#[derive(Debug, Clone)]
pub struct NewMemories {
    /// The memories, all of one moment.
    pub memories: Vec<Memory>,
    /// Makes a repetition answer what the first one made.
    pub idempotency: Option<Idempotency>,
    /// Most memories of the tiers.
    pub capacity: Capacity,
}

/// How many left a full tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicted {
    /// The tier.
    pub tier: Tier,
    /// How many.
    pub count: u64,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// They are there, durably.
    New {
        /// Who left full tiers for them.
        evicted: Vec<Evicted>,
    },
    /// The key was used before, for the same request: this is what is left of what it made.
    Replayed(Vec<Memory>),
    /// The key was used before, for the same request; what it made is not there any more.
    ReplayedGone,
    /// The key was used before, for something else.
    KeyReused,
    /// Long-term memory has as many as it may.
    QuotaReached,
}

/// Which memories a page shows: newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// Only those older than this one.
    pub before: Option<Uuid>,
    /// Only this tier.
    pub tier: Option<Tier>,
    /// Only about this subject.
    pub subject: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// What has expired by then is not there.
    pub now: Moment,
}

/// What becomes of one memory.
#[derive(Debug, Clone)]
pub struct Edit {
    /// Which.
    pub id: Uuid,
    /// Only this version of it.
    pub version: Option<i64>,
    /// Other contents.
    pub change: Change,
    /// Another tier.
    pub tier: Option<Tier>,
    /// Why, for the history.
    pub cause: &'static str,
    /// When.
    pub now: Moment,
    /// Most memories of the tiers.
    pub capacity: Capacity,
}

/// What an edit did.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// It is this now.
    Done {
        /// The new version.
        memory: Box<Memory>,
        /// Who left a full tier for it.
        evicted: Vec<Evicted>,
    },
    /// It is another version than the one that was to be changed.
    Stale,
    /// There is none.
    Missing,
    /// Something else took its place; only what is current can change.
    Superseded,
    /// Long-term memory has as many as it may.
    QuotaReached,
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It is another version than the one that was to be deleted.
    Stale,
    /// There was none.
    Missing,
}

/// A memory and how present it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// The memory.
    pub memory: Memory,
    /// What its strength is computed from.
    pub activation: Activation,
}

/// That a memory was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Which.
    pub id: Uuid,
    /// How often.
    pub times: i64,
    /// The last time.
    pub at: Moment,
}

/// Which memories a search looks at.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only about this subject.
    pub subject: Option<String>,
    /// Only this tier.
    pub tier: Option<Tier>,
    /// What has expired by then is not there.
    pub now: Moment,
}

/// What ranking needs to know of a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub id: Uuid,
    /// Its hashed words.
    pub terms: Vec<i32>,
    /// Whom or what it is about.
    pub subject: Option<String>,
    /// 0 to 1.
    pub importance: f64,
    /// When it happened.
    pub occurred_at: Moment,
    /// Creation or the last access.
    pub seen_at: Moment,
}

/// All that is stored of one memory.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectUse {
    /// As it is now.
    pub memory: Memory,
    /// As it was before.
    pub earlier: Vec<Version>,
}

/// What a hard deletion removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipt {
    /// Memories, the superseded and the expired too.
    pub memories: u64,
    /// Earlier versions of them.
    pub versions: u64,
    /// Idempotency keys under which they were made.
    pub idempotency_keys: u64,
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
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It may work later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The key to it cannot be had at the moment.
    #[error("the key is not available: {0}")]
    Keys(String),
    /// It will not: a fault of this program or of the data.
    #[error("the database refused: {0}")]
    Fault(String),
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Away(text) | SealError::WrongKey(text) => Self::Keys(text),
            error @ (SealError::Moved(_) | SealError::NoRandomness) => {
                Self::Fault(error.to_string())
            }
        }
    }
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
