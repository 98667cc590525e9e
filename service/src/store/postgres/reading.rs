//! What may be a moment old: from a replica, and from the primary while the replica is away. Knows nothing of
//! what is asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use sqlx::{AssertSqlSafe, Transaction};
use tracing::Instrument;

use super::super::owner::Owner;
use super::super::span::waited;
use super::{Backend, SYSTEM, StoreError, one_tenant};
use crate::memory::Moment;

/// How long a replica that failed is left alone; then one read tries for all.
const REPLICA_PAUSE_MILLIS: i64 = 5_000;
/// A replica that is silent for so long has failed: the primary is asked instead.
const REPLICA_PATIENCE: Duration = Duration::from_secs(2);

/// A transaction that reads rows of one tenant; it begins with the first question.
pub(super) struct Reading<'a> {
    backend: &'a Backend,
    owner: Owner,
    held: Option<Held>,
}

struct Held {
    transaction: Transaction<'static, Postgres>,
    of_replica: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(backend: &'a Backend, owner: Owner) -> Self {
        Self { backend, owner, held: None }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Nobody waits for the end of a transaction that changed nothing: the pool does, when it takes the
    /// connection back.
    pub(super) fn rest(&mut self) {
        self.held = None;
    }

    /// Asks, and asks the primary again what the replica failed to answer.
    pub(super) async fn ask<T: Send + 'static>(
        &mut self,
        work: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + Sync,
    ) -> Result<T, StoreError> {
        if let Some(replica) = self.replica() {
            let asked = self.ask_at(replica, true, &work);
            let answer = tokio::time::timeout(REPLICA_PATIENCE, asked).await;
            match answer.unwrap_or(Err(StoreError::Unavailable("it is silent".into()))) {
                Err(StoreError::Unavailable(error)) => {
                    self.rest();
                    self.backend.replica_failed();
                    tracing::warn!(error, "the replica does not answer; reading from the primary");
                }
                other => {
                    self.backend.replica_from.store(0, Ordering::Relaxed);
                    return other;
                }
            }
        }
        self.ask_at(&self.backend.primary, false, &work).await
    }

    /// The replica, if it is the one to ask: it is, or nobody is asked yet and it may be.
    fn replica(&self) -> Option<&'a PgPool> {
        let replica = self.backend.replica.as_ref()?;
        let ask = match &self.held {
            Some(held) => held.of_replica,
            None => self.backend.replica_may_be_asked(),
        };
        ask.then_some(replica)
    }

    async fn ask_at<T>(
        &mut self,
        pool: &PgPool,
        of_replica: bool,
        work: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let asked = async {
            let mut held = match self.held.take() {
                Some(held) => held,
                None => {
                    let begin = one_tenant(&self.owner, "READ ONLY");
                    let transaction = pool.begin_with(AssertSqlSafe(begin)).await?;
                    Held { transaction, of_replica }
                }
            };
            let answer = work(&mut held.transaction).await?;
            // After a failure nothing more can be asked in this transaction: then it is not kept.
            self.held = Some(held);
            Ok(answer)
        };
        asked.instrument(waited(SYSTEM, "read")).await
    }
}

impl Backend {
    /// Of those that come after a pause only one: if the replica is still away, one has waited for it.
    fn replica_may_be_asked(&self) -> bool {
        let (from, now) = (self.replica_from.load(Ordering::Relaxed), Moment::now().0);
        let later = now + REPLICA_PAUSE_MILLIS;
        from == 0
            || (now >= from
                && self
                    .replica_from
                    .compare_exchange(from, later, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok())
    }

    fn replica_failed(&self) {
        self.replica_from.store(Moment::now().0 + REPLICA_PAUSE_MILLIS, Ordering::Relaxed);
    }
}
