//! The port of re-keying: new keys for tenants, and everything sealed anew under them while others read and
//! write.
//!
//! Every step may be repeated: whoever is killed between two of them begins again and finds done what was done.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::memory::Moment;
use crate::sealing::Wrapped;
use crate::tenant::Tenant;

/// What an encrypted database asks of the keys that are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Opens with the right key alone.
    pub proof: Wrapped,
    /// The names of all that keys of tenants are wrapped with.
    pub wrapped_by: Vec<String>,
}

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Memories, and the index of their words.
    Memories,
    /// Their earlier versions.
    Versions,
    /// Their vectors.
    Vectors,
    /// What idempotency keys say of requests.
    Requests,
}

impl Part {
    /// In the order in which they have to be sealed anew: what an edit of a memory that is not sealed anew yet
    /// leaves behind is found later.
    pub const ALL: [Self; 4] = [Self::Memories, Self::Versions, Self::Vectors, Self::Requests];
}

/// The last row of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behind {
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) text: String,
}

/// What sealing anew needs of a database.
#[async_trait]
pub trait Rekeying: Send + Sync {
    /// What this database asks of the keys; nothing if it is not encrypted.
    async fn lock(&self) -> Result<Option<Lock>, StoreError>;
    /// From now on new rows are sealed, and older binaries do not start.
    async fn seal_from_now_on(&self) -> Result<(), StoreError>;
    /// The same, and everything is to be sealed anew: since when, which is earlier than now if a run that began
    /// then has not ended.
    async fn begin_rekeying(&self, now: Moment) -> Result<Moment, StoreError>;
    /// Everybody who has anything that is sealed or could be.
    async fn owners(&self) -> Result<Vec<Tenant>, StoreError>;
    /// Gives the tenant a new key, unless it has got one since then: its version.
    async fn renew_key(&self, tenant: &Tenant, since: Moment) -> Result<i64, StoreError>;
    /// Wraps the tenant's keys with the current wrapping key.
    async fn rewrap_keys(&self, tenant: &Tenant) -> Result<u64, StoreError>;
    /// Seals at most `batch` rows under the newest key: how many, and the last one if there may be more.
    async fn reseal(
        &self,
        tenant: &Tenant,
        part: Part,
        behind: Behind,
        batch: u32,
    ) -> Result<(u64, Option<Behind>), StoreError>;
    /// Removes keys that nothing needs any more: whether only the newest is left.
    async fn retire_keys(&self, tenant: &Tenant) -> Result<bool, StoreError>;
    /// The run has ended; what it replaced is removed from the files as far as the database allows.
    async fn end_rekeying(&self) -> Result<(), StoreError>;
}
