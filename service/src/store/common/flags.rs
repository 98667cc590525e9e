//! Feature flags in the database: a row a tenant, with all of them.

use async_trait::async_trait;

use super::dialect::Connection;
use super::{Backend, admin};
use crate::audit::Act;
use crate::flags::{FlagSet, Stored};
use crate::store::{FlagStore, StoreError};
use crate::tenant::Tenant;

#[async_trait]
impl FlagStore for Backend {
    async fn flags(&self, tenant: &Tenant) -> Result<Stored, StoreError> {
        let of = tenant.clone();
        self.read_latest(tenant, move |on| Box::pin(async move { flags(on, &of).await })).await
    }

    async fn save_flags(
        &self,
        tenant: &Tenant,
        flags: &FlagSet,
        after: i64,
        act: Act,
    ) -> Result<bool, StoreError> {
        let text = |text: serde_json::Result<String>| {
            text.map_err(|error| StoreError::Fault(error.to_string()))
        };
        let document = text(serde_json::to_string(&flags.document))?;
        let experiments = text(serde_json::to_string(&flags.experiments))?;
        let of = tenant.clone();
        self.write(tenant, move |on| {
            Box::pin(async move {
                let saved = save(on, &of, &document, &experiments, after).await?;
                if saved {
                    admin::append(on, &of, &act).await?;
                }
                Ok(saved)
            })
        })
        .await
    }
}

async fn flags(on: &mut Connection, tenant: &Tenant) -> Result<Stored, StoreError> {
    let row: Option<(i64, String, String)> =
        sqlx::query_as("SELECT version, document, experiments FROM flag_sets WHERE tenant = $1")
            .bind(tenant.name())
            .fetch_optional(on)
            .await?;
    let Some((version, document, experiments)) = row else { return Ok(Stored::default()) };
    let unreadable =
        |error| StoreError::Fault(format!("the flags of {tenant} cannot be read: {error}"));
    let flags = FlagSet {
        document: serde_json::from_str(&document).map_err(unreadable)?,
        experiments: serde_json::from_str(&experiments).map_err(unreadable)?,
    };
    Ok(Stored { version, flags })
}

async fn save(
    on: &mut Connection,
    tenant: &Tenant,
    document: &str,
    experiments: &str,
    after: i64,
) -> Result<bool, StoreError> {
    // The row is locked between the comparison and the change; of two first ones, one is refused.
    let done = sqlx::query(
        "INSERT INTO flag_sets AS old (tenant, version, document, experiments) \
         VALUES ($1, $2 + 1, $3, $4) ON CONFLICT (tenant) DO UPDATE SET \
         version = excluded.version, document = excluded.document, \
         experiments = excluded.experiments WHERE old.version = $2",
    )
    .bind(tenant.name())
    .bind(after)
    .bind(document)
    .bind(experiments)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}
