//! The port to the feature flags of tenants.

use async_trait::async_trait;

use super::StoreError;
use crate::audit::Act;
use crate::flags::{FlagSet, Stored};
use crate::tenant::Tenant;

/// What feature flags need of a database.
#[async_trait]
pub trait FlagStore: Send + Sync {
    /// The flags of a tenant as they were written last.
    async fn flags(&self, tenant: &Tenant) -> Result<Stored, StoreError>;
    /// Writes `flags` in the place of version `after`; whether that was still the last one.
    async fn save_flags(
        &self,
        tenant: &Tenant,
        flags: &FlagSet,
        after: i64,
        act: Act,
    ) -> Result<bool, StoreError>;
}
