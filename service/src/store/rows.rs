//! Rows as both databases give them, and what they become.

use uuid::Uuid;

use super::{Present, StoreError};
use crate::memory::{Activation, Memory, Metadata, Moment, Tier, Version};

/// The columns of a memory, for `concat!`.
macro_rules! columns {
    () => {
        "id, content, tier, importance, subject, pinned, metadata, version, occurred_at, created_at, \
         updated_at, expires_at, valid_to, superseded_by"
    };
}
pub(super) use columns;

/// What `columns!()` selects.
#[derive(sqlx::FromRow)]
pub(super) struct MemoryRow {
    id: Uuid,
    content: String,
    tier: String,
    importance: f64,
    subject: Option<String>,
    pinned: bool,
    metadata: String,
    version: i64,
    occurred_at: i64,
    created_at: i64,
    updated_at: i64,
    expires_at: Option<i64>,
    valid_to: Option<i64>,
    superseded_by: Option<Uuid>,
}

impl MemoryRow {
    pub(super) fn memory(self) -> Result<Memory, StoreError> {
        Ok(Memory {
            tier: tier(&self.tier, self.id)?,
            metadata: metadata(&self.metadata, self.id)?,
            id: self.id,
            content: self.content,
            importance: self.importance,
            subject: self.subject,
            pinned: self.pinned,
            version: self.version,
            occurred_at: Moment(self.occurred_at),
            created_at: Moment(self.created_at),
            updated_at: Moment(self.updated_at),
            expires_at: self.expires_at.map(Moment),
            valid_to: self.valid_to.map(Moment),
            superseded_by: self.superseded_by,
        })
    }
}

/// A memory and what its strength is computed from.
#[derive(sqlx::FromRow)]
pub(super) struct PresentRow {
    #[sqlx(flatten)]
    memory: MemoryRow,
    strength: f64,
    strength_at: i64,
    access_count: i64,
}

impl PresentRow {
    pub(super) fn present(self) -> Result<Present, StoreError> {
        let memory = self.memory.memory()?;
        let activation = Activation {
            tier: memory.tier,
            importance: memory.importance,
            strength: self.strength,
            strength_at: Moment(self.strength_at),
            access_count: self.access_count,
        };
        Ok(Present { memory, activation })
    }
}

/// A row of `memory_versions`.
#[derive(sqlx::FromRow)]
pub(super) struct VersionRow {
    pub(super) memory_id: Uuid,
    version: i64,
    content: String,
    tier: String,
    importance: f64,
    pinned: bool,
    metadata: String,
    valid_from: i64,
    valid_to: i64,
    cause: String,
}

impl VersionRow {
    pub(super) fn version(self) -> Result<Version, StoreError> {
        Ok(Version {
            version: self.version,
            content: self.content,
            tier: tier(&self.tier, self.memory_id)?,
            importance: self.importance,
            pinned: self.pinned,
            metadata: metadata(&self.metadata, self.memory_id)?,
            valid_from: Moment(self.valid_from),
            valid_to: Some(Moment(self.valid_to)),
            cause: Some(self.cause),
        })
    }
}

pub(super) fn tier(name: &str, id: Uuid) -> Result<Tier, StoreError> {
    Tier::from_name(name)
        .ok_or_else(|| StoreError::Fault(format!("memory {id} has an invalid tier")))
}

fn metadata(text: &str, id: Uuid) -> Result<Metadata, StoreError> {
    serde_json::from_str(text)
        .map_err(|_| StoreError::Fault(format!("memory {id} has invalid metadata")))
}

pub(super) fn metadata_text(metadata: &Metadata) -> String {
    serde_json::to_string(metadata).unwrap_or_else(|_| "{}".to_owned())
}
