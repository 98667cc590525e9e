//! Tokens of the language model in the database: one row a tenant and day.

use async_trait::async_trait;

use super::Backend;
use super::dialect::Connection;
use crate::store::{Spending, StoreError};
use crate::tenant::Tenant;

/// Days that are kept.
const KEPT: i64 = 90;

#[async_trait]
impl Spending for Backend {
    async fn spend(
        &self,
        tenant: &Tenant,
        day: i64,
        tokens: u64,
        most: Option<u64>,
    ) -> Result<bool, StoreError> {
        let of = tenant.clone();
        let (tokens, most) = (signed(tokens), most.map_or(i64::MAX, signed));
        self.write(tenant, move |on| {
            Box::pin(async move { spend(on, &of, day, tokens, most).await })
        })
        .await
    }

    async fn correct(&self, tenant: &Tenant, day: i64, by: i64) -> Result<(), StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| Box::pin(async move { correct(on, &of, day, by).await })).await
    }

    async fn spent(&self, tenant: &Tenant, day: i64) -> Result<u64, StoreError> {
        let of = tenant.clone();
        self.read_latest(tenant, move |on| Box::pin(async move { spent(on, &of, day).await })).await
    }
}

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

async fn spend(
    on: &mut Connection,
    tenant: &Tenant,
    day: i64,
    tokens: i64,
    most: i64,
) -> Result<bool, StoreError> {
    if tokens > most {
        return Ok(false);
    }
    // The row is locked between the comparison and the sum.
    let done = sqlx::query(
        "INSERT INTO llm_usage AS old (tenant, day, tokens) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant, day) DO UPDATE SET tokens = old.tokens + excluded.tokens \
         WHERE old.tokens <= $4",
    )
    .bind(tenant.name())
    .bind(day)
    .bind(tokens)
    .bind(most - tokens)
    .execute(&mut *on)
    .await?;
    sqlx::query("DELETE FROM llm_usage WHERE tenant = $1 AND day < $2")
        .bind(tenant.name())
        .bind(day - KEPT)
        .execute(on)
        .await?;
    Ok(done.rows_affected() > 0)
}

async fn correct(
    on: &mut Connection,
    tenant: &Tenant,
    day: i64,
    by: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE llm_usage SET tokens = CASE WHEN tokens + $3 < 0 THEN 0 ELSE tokens + $3 END \
         WHERE tenant = $1 AND day = $2",
    )
    .bind(tenant.name())
    .bind(day)
    .bind(by)
    .execute(on)
    .await?;
    Ok(())
}

async fn spent(on: &mut Connection, tenant: &Tenant, day: i64) -> Result<u64, StoreError> {
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT tokens FROM llm_usage WHERE tenant = $1 AND day = $2")
            .bind(tenant.name())
            .bind(day)
            .fetch_optional(on)
            .await?;
    Ok(row.map_or(0, |(tokens,)| u64::try_from(tokens).unwrap_or(0)))
}
