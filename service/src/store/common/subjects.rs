//! All there is about a subject: handed out, or removed from every table and counted.

use uuid::Uuid;

use super::dialect::Connection;
use super::{admin, memories, sealed};
use crate::audit::Act;
use crate::store::owner::Owner;
use crate::store::rows::{MemoryRow, columns};
use crate::store::{Receipt, StoreError, SubjectUse};
use crate::tenant::Tenant;

pub(super) async fn export(
    on: &mut Connection,
    tenant: &Owner,
    subject: &str,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<SubjectUse>, StoreError> {
    let rows: Vec<MemoryRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM memories WHERE tenant = $1 AND subject = $2 AND id > $3 ORDER BY id LIMIT $4"
    ))
    .bind(tenant.name())
    .bind(subject)
    .bind(after.unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(&mut *on)
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let memory = sealed::memory(on, tenant, row).await?;
        let earlier = match memory.version {
            1 => Vec::new(),
            _ => memories::earlier(on, tenant, memory.id).await?,
        };
        all.push(SubjectUse { memory, earlier });
    }
    Ok(all)
}

pub(super) async fn forget(
    on: &mut Connection,
    tenant: &Tenant,
    subject: &str,
    act: &Act,
) -> Result<Receipt, StoreError> {
    macro_rules! remove {
        ($sql:literal) => {
            sqlx::query($sql)
                .bind(tenant.name())
                .bind(subject)
                .execute(&mut *on)
                .await?
                .rows_affected()
        };
    }
    // Of memories that were deleted, evicted or have expired since, nobody can say any more whose they were: what
    // their keys say of them goes with the subject, whoever it was.
    sqlx::query(
        "DELETE FROM idempotency_keys WHERE tenant = $1 AND key IN \
         (SELECT r.key FROM idempotency_results r WHERE r.tenant = $1 AND NOT EXISTS \
          (SELECT 1 FROM memories m WHERE m.tenant = r.tenant AND m.id = r.memory_id))",
    )
    .bind(tenant.name())
    .execute(&mut *on)
    .await?;
    let receipt = Receipt {
        // A fingerprint is a hash of what was said: whoever guesses the text can check it.
        idempotency_keys: remove!(
            "DELETE FROM idempotency_keys WHERE tenant = $1 AND key IN \
             (SELECT r.key FROM idempotency_results r JOIN memories m \
              ON m.tenant = r.tenant AND m.id = r.memory_id WHERE r.tenant = $1 AND m.subject = $2)"
        ),
        versions: remove!(
            "DELETE FROM memory_versions WHERE tenant = $1 AND memory_id IN \
             (SELECT id FROM memories WHERE tenant = $1 AND subject = $2)"
        ),
        memories: remove!("DELETE FROM memories WHERE tenant = $1 AND subject = $2"),
    };
    if receipt != Receipt::default() {
        admin::append(on, tenant, act).await?;
    }
    Ok(receipt)
}
