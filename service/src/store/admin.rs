//! The port of administration: API keys, and the log of what administrators did.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::audit::{Act, Entry};
use crate::auth::ApiKey;
use crate::memory::Moment;
use crate::tenant::Tenant;

/// What administrators need of a database. An act and its entry in the log are written together or
/// not at all.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Adds a key, of whose secret it keeps `hash`.
    async fn add_key(&self, key: &ApiKey, hash: Vec<u8>, act: Act) -> Result<(), StoreError>;
    /// A key and the hash of its secret.
    async fn key(&self, tenant: &Tenant, id: Uuid)
    -> Result<Option<(ApiKey, Vec<u8>)>, StoreError>;
    /// The keys of a tenant, oldest first.
    async fn keys(&self, tenant: &Tenant) -> Result<Vec<ApiKey>, StoreError>;
    /// Lets a key end at `end`, if it would live longer; whether there is one that has not ended.
    async fn end_key(
        &self,
        tenant: &Tenant,
        id: Uuid,
        end: Moment,
        act: Act,
    ) -> Result<bool, StoreError>;
    /// Adds an act to the log that changes nothing else.
    async fn record(&self, tenant: &Tenant, act: Act) -> Result<(), StoreError>;
    /// The log from the entry behind `after` on.
    async fn audit_log(
        &self,
        tenant: &Tenant,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError>;
}
