//! The port to what tenants had of the language model, day by day.

use async_trait::async_trait;

use super::StoreError;
use crate::tenant::Tenant;

/// What a budget of tokens needs of a database. Days are of UTC, counted from 1970.
#[async_trait]
pub trait Spending: Send + Sync {
    /// Takes `tokens` of the day, unless that would be more than `most` together; whether it did.
    /// Two at the same moment do not both get the last ones.
    async fn spend(
        &self,
        tenant: &Tenant,
        day: i64,
        tokens: u64,
        most: Option<u64>,
    ) -> Result<bool, StoreError>;
    /// Corrects what was taken before it was known.
    async fn correct(&self, tenant: &Tenant, day: i64, by: i64) -> Result<(), StoreError>;
    /// What was taken of the day.
    async fn spent(&self, tenant: &Tenant, day: i64) -> Result<u64, StoreError>;
}
