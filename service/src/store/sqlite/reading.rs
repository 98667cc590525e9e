//! Reading rows of one tenant, with a connection for each question: a file is not far away.

use futures::future::BoxFuture;
use sqlx::SqliteConnection;

use super::super::owner::Owner;
use super::{Backend, StoreError};

/// Reads rows of one tenant.
pub(super) struct Reading<'a> {
    backend: &'a Backend,
    owner: Owner,
}

impl<'a> Reading<'a> {
    pub(super) fn new(backend: &'a Backend, owner: Owner) -> Self {
        Self { backend, owner }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Nothing is held between two questions.
    pub(super) fn rest(&mut self) {}

    pub(super) async fn ask<T: Send + 'static>(
        &mut self,
        work: impl for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + Sync,
    ) -> Result<T, StoreError> {
        self.backend.read(&self.owner, work).await
    }
}
