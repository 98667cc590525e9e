//! The port to the notices of maintenance.

use async_trait::async_trait;

use super::StoreError;
use crate::audit::Act;
use crate::maintenance::{Notice, Notices, Scope};
use crate::tenant::Tenant;

/// What maintenance needs of a database.
#[async_trait]
pub trait NoticeBoard: Send + Sync {
    /// All notices that are up, of all tenants, as they were written last.
    async fn notices(&self) -> Result<Notices, StoreError>;
    /// Puts a notice up in the place of the one before; one that refuses nothing takes it down. The
    /// act goes to the log of `tenant`, whichever the scope.
    async fn put_up(
        &self,
        tenant: &Tenant,
        scope: Scope,
        notice: Notice,
        act: Act,
    ) -> Result<(), StoreError>;
}
