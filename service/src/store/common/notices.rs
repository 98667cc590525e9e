//! Notices of maintenance in the database: a row a tenant, and one for all of them.

use async_trait::async_trait;

use super::dialect::{self, Connection};
use super::{Backend, admin};
use crate::audit::Act;
use crate::maintenance::{Mode, Notice, Notices, Scope};
use crate::memory::Moment;
use crate::store::{NoticeBoard, StoreError};
use crate::tenant::Tenant;

#[async_trait]
impl NoticeBoard for Backend {
    async fn notices(&self) -> Result<Notices, StoreError> {
        self.read_latest(&Tenant::default(), |on| Box::pin(notices(on))).await
    }

    async fn put_up(
        &self,
        tenant: &Tenant,
        scope: Scope,
        notice: Notice,
        act: Act,
    ) -> Result<(), StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| {
            Box::pin(async move {
                match (scope, notice.mode) {
                    (Scope::Tenant, Mode::Off) => take_down(on, &of).await?,
                    (Scope::Tenant, _) => put_up(on, &of, &notice).await?,
                    (Scope::Service, Mode::Off) => take_down_for_all(on).await?,
                    (Scope::Service, _) => put_up_for_all(on, &notice).await?,
                }
                admin::append(on, &of, &act).await
            })
        })
        .await
    }
}

#[derive(sqlx::FromRow)]
struct NoticeRow {
    mode: String,
    reason: String,
    retry_after: i64,
    since: i64,
}

impl NoticeRow {
    fn notice(self) -> Result<Notice, StoreError> {
        let mode = Mode::from_name(&self.mode)
            .ok_or_else(|| StoreError::Fault("a notice has an invalid mode".into()))?;
        let retry_after_seconds = u32::try_from(self.retry_after).unwrap_or(1);
        Ok(Notice { mode, reason: self.reason, retry_after_seconds, since: Moment(self.since) })
    }
}

#[derive(sqlx::FromRow)]
struct TenantRow {
    tenant: String,
    #[sqlx(flatten)]
    notice: NoticeRow,
}

async fn notices(on: &mut Connection) -> Result<Notices, StoreError> {
    let service: Option<NoticeRow> =
        sqlx::query_as("SELECT mode, reason, retry_after, since FROM service_maintenance")
            .fetch_optional(&mut *on)
            .await?;
    let rows: Vec<TenantRow> = sqlx::query_as(dialect::NOTICES).fetch_all(on).await?;
    let of_tenant = |row: TenantRow| {
        let tenant = Tenant::new(&row.tenant)
            .ok_or_else(|| StoreError::Fault("a notice has an invalid tenant".into()))?;
        Ok((tenant, row.notice.notice()?))
    };
    Ok(Notices {
        service: service.map(NoticeRow::notice).transpose()?,
        tenants: rows.into_iter().map(of_tenant).collect::<Result<_, StoreError>>()?,
    })
}

async fn put_up(on: &mut Connection, tenant: &Tenant, notice: &Notice) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO maintenance (tenant, mode, reason, retry_after, since) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant) DO UPDATE SET mode = excluded.mode, \
         reason = excluded.reason, retry_after = excluded.retry_after, since = excluded.since",
    )
    .bind(tenant.name())
    .bind(notice.mode.name())
    .bind(&notice.reason)
    .bind(i64::from(notice.retry_after_seconds))
    .bind(notice.since.0)
    .execute(on)
    .await?;
    Ok(())
}

async fn put_up_for_all(on: &mut Connection, notice: &Notice) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO service_maintenance (only_row, mode, reason, retry_after, since) \
         VALUES (1, $1, $2, $3, $4) ON CONFLICT (only_row) DO UPDATE SET mode = excluded.mode, \
         reason = excluded.reason, retry_after = excluded.retry_after, since = excluded.since",
    )
    .bind(notice.mode.name())
    .bind(&notice.reason)
    .bind(i64::from(notice.retry_after_seconds))
    .bind(notice.since.0)
    .execute(on)
    .await?;
    Ok(())
}

async fn take_down(on: &mut Connection, tenant: &Tenant) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM maintenance WHERE tenant = $1")
        .bind(tenant.name())
        .execute(on)
        .await?;
    Ok(())
}

async fn take_down_for_all(on: &mut Connection) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM service_maintenance").execute(on).await?;
    Ok(())
}
