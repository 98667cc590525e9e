//! The real thing: PostgreSQL, with row-level security under a role that cannot pass by it.
//!
//! Every transaction says whose rows it wants. What is read may come from a replica, and comes from
//! the primary while the replica is away.

#[path = "common/admin.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod admin;
mod dialect;
#[path = "common/expiry.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod expiry;
#[path = "common/find.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod find;
#[path = "common/flags.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod flags;
#[path = "common/keys.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod keys;
mod lead;
#[path = "common/look.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod look;
#[path = "common/memories.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod memories;
#[path = "common/notices.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod notices;
mod reading;
#[path = "common/rekeying.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod rekeying;
#[path = "common/repository.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod repository;
#[path = "common/reseal.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod reseal;
#[path = "common/sealed.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod sealed;
#[path = "common/spending.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod spending;
#[path = "common/subjects.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod subjects;
#[path = "common/tiers.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod tiers;
#[path = "common/upkeep.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod upkeep;
#[path = "common/vectors.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod vectors;
#[path = "common/worker.rs"]
#[allow(clippy::duplicate_mod, reason = "the SQL that both databases understand")]
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tracing::Instrument;

use self::reading::Reading;
use super::span::waited;
use super::{OpenError, PoolState, StoreError};
use crate::config::Server;
use crate::schema::SchemaState;
use crate::sealing::Keyring;
use crate::tenant::Tenant;

/// A key that is added waits for the writes that are under way, and they for it: whoever writes knows the newest
/// key. A statement of its own: what it waited for, only the next one sees.
const BESIDE_OTHERS: &str = "SELECT pg_advisory_xact_lock_shared(7310583960142)";
const ALONE: &str = "SELECT pg_advisory_xact_lock(7310583960142)";
/// As traces call it.
const SYSTEM: &str = "postgresql";
/// A server that refuses connections is knocked at for this long.
const PRIMARY_DOOR: Duration = Duration::from_secs(5);
/// A connection that was idle for longer may have been closed from the other side.
const RESTED: Duration = Duration::from_millis(500);
const REPLICA_DOOR: Duration = Duration::from_millis(500);

pub(super) struct Backend {
    keyring: Arc<Keyring>,
    primary: PgPool,
    replica: Option<PgPool>,
    /// 0 while it works; else not before then.
    replica_from: AtomicI64,
}

/// Opens the pools and makes sure that tenants are kept apart.
pub(super) async fn open(server: &Server, keyring: Arc<Keyring>) -> Result<Backend, OpenError> {
    let statement_timeout = server.statement_timeout_ms.to_string();
    let pool = |options: &PgConnectOptions, door| {
        let options = options
            .clone()
            .options([("statement_timeout", statement_timeout.as_str())])
            // What is slow is in the metrics and traces; a statement is nobody's to read.
            .disable_statement_logging();
        PgPoolOptions::new()
            .max_connections(server.connections)
            .acquire_timeout(door)
            // Asking a connection whether it lives is a round trip, and the pool has just asked when it took it back.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > RESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options)
    };
    let primary = pool(&server.primary, PRIMARY_DOOR);
    // Before the first migration there are no roles yet, and there is nothing to protect.
    if schema_of(&mut *primary.acquire().await.map_err(StoreError::from)?)
        .await?
        .is_some_and(|state| state.version >= 2)
    {
        check_roles(&primary).await?;
    }
    let replica = server.replica.as_ref().map(|options| pool(options, REPLICA_DOOR));
    Ok(Backend { keyring, primary, replica, replica_from: AtomicI64::new(0) })
}

async fn check_roles(pool: &PgPool) -> Result<(), OpenError> {
    let roles: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT rolname::text, pg_has_role(current_user, oid, 'MEMBER'), rolsuper OR rolbypassrls \
         FROM pg_roles WHERE rolname IN ('neuroca_app', 'neuroca_worker')",
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::from)?;
    for wanted in ["neuroca_app", "neuroca_worker"] {
        match roles.iter().find(|(name, _, _)| name == wanted) {
            Some((_, true, false)) => {}
            Some((_, _, true)) => {
                return Err(OpenError::Unsafe(format!(
                    "the role {wanted} passes by row-level security, so tenants would not be kept \
                     apart; run ALTER ROLE {wanted} NOSUPERUSER NOBYPASSRLS"
                )));
            }
            Some((_, false, _)) => {
                return Err(OpenError::Unsafe(format!(
                    "this database user is not a member of the role {wanted}; run GRANT {wanted} TO \
                     it as the user who migrates"
                )));
            }
            None => {
                return Err(OpenError::Unsafe(format!(
                    "the role {wanted} is missing on this server; it was there when the database \
                     was migrated: run CREATE ROLE {wanted} NOLOGIN and restore the grants"
                )));
            }
        }
    }
    Ok(())
}

impl Backend {
    /// Reads what may be a moment old.
    async fn read<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + Sync,
    ) -> Result<T, StoreError> {
        Reading::new(self, self.owner(tenant)).ask(work).await
    }

    /// Reads what was written last.
    async fn read_latest<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let begin = one_tenant(tenant, "READ ONLY");
        let reads = async {
            let mut transaction = self.primary.begin_with(AssertSqlSafe(begin)).await?;
            // Nobody waits for its end: it changed nothing.
            work(&mut transaction).await
        };
        reads.instrument(waited(SYSTEM, "read")).await
    }

    /// Writes rows of one tenant.
    async fn write<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let begin = format!("{}; {BESIDE_OTHERS}", one_tenant(tenant, "READ WRITE"));
        transact(&self.primary, &begin, work).instrument(waited(SYSTEM, "write")).await
    }

    /// Writes rows of all tenants: the worker's.
    async fn write_all<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let begin = format!("BEGIN; SET LOCAL ROLE neuroca_worker; {BESIDE_OTHERS}");
        transact(&self.primary, &begin, work).instrument(waited(SYSTEM, "write")).await
    }

    /// Reads rows of all tenants.
    async fn read_all<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        transact(&self.primary, "BEGIN READ ONLY; SET LOCAL ROLE neuroca_worker", work).await
    }

    /// Writes while nobody else writes: who comes meanwhile waits.
    async fn write_alone<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let begin = format!("BEGIN; SET LOCAL ROLE neuroca_worker; {ALONE}");
        transact(&self.primary, &begin, work).instrument(waited(SYSTEM, "write")).await
    }

    /// What was replaced goes when the server vacuums, which is its owner's to ask for.
    async fn scrub(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn schema_state(&self) -> Result<Option<SchemaState>, StoreError> {
        schema_of(&mut *self.primary.acquire().await?).await
    }

    fn connections(&self) -> PoolState {
        let pools = std::iter::once(&self.primary).chain(&self.replica);
        pools.fold(PoolState { idle: 0, used: 0 }, |state, pool| {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            PoolState {
                idle: state.idle + idle,
                used: state.used + pool.size().saturating_sub(idle),
            }
        })
    }

    async fn shut(&self) {
        self.primary.close().await;
        if let Some(replica) = &self.replica {
            replica.close().await;
        }
    }
}

/// One round trip: a tenant's name holds nothing that could end the quotes.
fn one_tenant(tenant: &Tenant, mode: &str) -> String {
    format!("BEGIN {mode}; SET LOCAL ROLE neuroca_app; SET LOCAL neuroca.tenant = '{tenant}'")
}

async fn transact<T>(
    pool: &PgPool,
    begin: &str,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut transaction = pool.begin_with(AssertSqlSafe(begin.to_owned())).await?;
    match work(&mut transaction).await {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(error) => {
            // The first error is the one worth telling.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

pub(super) async fn schema_of(on: &mut PgConnection) -> Result<Option<SchemaState>, StoreError> {
    let table: (bool,) = sqlx::query_as("SELECT to_regclass('schema_state') IS NOT NULL")
        .fetch_one(&mut *on)
        .await?;
    if !table.0 {
        return Ok(None);
    }
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT version, compatible_from FROM schema_state")
            .fetch_optional(on)
            .await?;
    Ok(row.map(|(version, compatible_from)| SchemaState { version, compatible_from }))
}
