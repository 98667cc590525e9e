//! Rows as both databases give them, and what they become.

use uuid::Uuid;

use super::written::{CONTENT, METADATA};
use super::{Present, StoreError};
use crate::memory::{Activation, Memory, Metadata, Moment, Tier, Version};
use crate::sealing::{DataKey, Place};
use crate::tenant::Tenant;

/// The columns of a memory, for `concat!`.
macro_rules! columns {
    () => {
        "id, content, tier, importance, subject, pinned, metadata, version, occurred_at, created_at, \
         updated_at, expires_at, valid_to, superseded_by, key_version"
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
    key_version: i64,
}

impl MemoryRow {
    /// Which key opens it; 0: it is not sealed.
    pub(super) fn key_version(&self) -> i64 {
        self.key_version
    }

    pub(super) fn memory(
        self,
        tenant: &Tenant,
        key: Option<&DataKey>,
    ) -> Result<Memory, StoreError> {
        let sealed = Sealed { tenant, id: self.id, key };
        Ok(Memory {
            tier: tier(&self.tier, self.id)?,
            metadata: metadata(&sealed.opened(METADATA, self.metadata)?, self.id)?,
            id: self.id,
            content: sealed.opened(CONTENT, self.content)?,
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
    pub(super) memory: MemoryRow,
    strength: f64,
    strength_at: i64,
    access_count: i64,
}

impl PresentRow {
    pub(super) fn present(
        self,
        tenant: &Tenant,
        key: Option<&DataKey>,
    ) -> Result<Present, StoreError> {
        let memory = self.memory.memory(tenant, key)?;
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
    pub(super) key_version: i64,
}

impl VersionRow {
    pub(super) fn version(
        self,
        tenant: &Tenant,
        key: Option<&DataKey>,
    ) -> Result<Version, StoreError> {
        let sealed = Sealed { tenant, id: self.memory_id, key };
        Ok(Version {
            version: self.version,
            content: sealed.opened(CONTENT, self.content)?,
            tier: tier(&self.tier, self.memory_id)?,
            importance: self.importance,
            pinned: self.pinned,
            metadata: metadata(&sealed.opened(METADATA, self.metadata)?, self.memory_id)?,
            valid_from: Moment(self.valid_from),
            valid_to: Some(Moment(self.valid_to)),
            cause: Some(self.cause),
        })
    }
}

/// What of a memory may be sealed.
pub(super) struct Sealed<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) id: Uuid,
    pub(super) key: Option<&'a DataKey>,
}

impl Sealed<'_> {
    /// A field, opened if it was sealed.
    pub(super) fn opened(&self, field: &'static str, text: String) -> Result<String, StoreError> {
        let Some(key) = self.key else { return Ok(text) };
        let place = Place { tenant: self.tenant, row: self.id.as_bytes(), field };
        Ok(key.open_text(place, &text)?)
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
