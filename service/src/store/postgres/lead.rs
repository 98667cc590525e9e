//! One worker at a time: an advisory lock that lives as long as its connection.

use async_trait::async_trait;
use sqlx::PgConnection;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Postgres};

use super::Backend;
use crate::store::{Lead, StoreError};

/// "neuroca" in ASCII.
const KEY: i64 = 0x6e_65_75_72_6f_63_61;

struct Held(PgConnection);

impl Backend {
    pub(super) async fn take_lead(&self) -> Result<Option<Box<dyn Lead>>, StoreError> {
        let mut connection: PoolConnection<Postgres> = self.primary.acquire().await?;
        let (got,): (bool,) = sqlx::query_as("SELECT pg_try_advisory_lock($1)")
            .bind(KEY)
            .fetch_one(&mut *connection)
            .await?;
        // The pool would hand the connection, and the lock with it, to somebody else.
        Ok(got.then(|| Box::new(Held(connection.detach())) as Box<dyn Lead>))
    }
}

#[async_trait]
impl Lead for Held {
    async fn holds(&mut self) -> bool {
        self.0.ping().await.is_ok()
    }
}
