//! What only PostgreSQL says in this way.

use std::sync::Arc;

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::reading::Reading;
use crate::memory::Moment;
use crate::store::rows::columns;
use crate::store::written::{Compared, Written};
use crate::store::{Candidate, Filter, StoreError, Wanted};
use crate::tenant::Tenant;

pub(super) use sqlx::postgres::PgConnection as Connection;

/// https://www.postgresql.org/docs/current/errcodes-appendix.html
const UNDEFINED_TABLE: &str = "42P01";

/// One memory, locked until the end of the transaction.
pub(super) const LOCKED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM memories WHERE tenant = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3) \
      FOR UPDATE"
);
/// The live ones among some ids.
pub(super) const BY_IDS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM memories WHERE tenant = $1 AND valid_to IS NULL \
      AND (expires_at IS NULL OR expires_at > $2) AND id = ANY($3)"
);
/// Those that are not sealed under a key, and that nobody else writes just now.
pub(super) const TO_RESEAL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM memories WHERE tenant = $1 AND key_version <> $2 AND id > $3 ORDER BY id LIMIT $4 \
      FOR UPDATE SKIP LOCKED"
);
/// Of the live ones among some ids, those that pass a filter.
pub(super) const FACTS: &str = "SELECT id, subject, importance, occurred_at, strength_at \
     FROM memories WHERE tenant = $1 AND valid_to IS NULL AND (expires_at IS NULL OR expires_at > $2) \
     AND id = ANY($3) AND ($4 IS NULL OR subject = $4) AND ($5 IS NULL OR tier = $5)";
/// What an access changes. Skipped while somebody else changes it: one access more or less.
pub(super) const TOUCHED: &str = "SELECT tier, importance, strength, strength_at, access_count \
     FROM memories WHERE tenant = $1 AND id = $2 FOR UPDATE SKIP LOCKED";
// SKIP LOCKED: another worker, or a client that deletes, is not waited for.
pub(super) const REMOVE_EXPIRED: &str = "DELETE FROM memories WHERE (tenant, id) IN \
     (SELECT tenant, id FROM memories WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 \
      FOR UPDATE SKIP LOCKED)";
/// One writer of a tenant's audit log at a time, until the end of the transaction.
pub(super) const LOCK_LOG: &str = "SELECT pg_advisory_xact_lock(hashtext('audit ' || $1))";
/// Of all tenants, for the one who asks for all.
pub(super) const NOTICES: &str =
    "SELECT tenant, mode, reason, retry_after, since FROM maintenance_of_all()";
pub(super) const REMOVE_UNSEEN: &str = "DELETE FROM memories WHERE (tenant, id) IN \
     (SELECT tenant, id FROM memories WHERE tier = 'long_term' AND NOT pinned AND strength_at < $1 \
      AND (valid_to IS NULL OR valid_to < $1) LIMIT $2 FOR UPDATE SKIP LOCKED)";
pub(super) const REMOVE_OLD_KEYS: &str = "DELETE FROM idempotency_keys WHERE (tenant, key) IN \
     (SELECT tenant, key FROM idempotency_keys WHERE created_at <= $1 ORDER BY created_at LIMIT $2 \
      FOR UPDATE SKIP LOCKED)";

/// Ids, as `BY_IDS` takes them.
pub(super) fn all_of(ids: Vec<Uuid>) -> Vec<Uuid> {
    ids
}

pub(super) async fn insert(
    on: &mut Connection,
    tenant: &Tenant,
    written: &Written<'_>,
) -> Result<(), StoreError> {
    let memory = written.memory;
    sqlx::query(
        "INSERT INTO memories (tenant, id, content, content_hash, tier, importance, subject, pinned, \
         metadata, version, occurred_at, created_at, updated_at, expires_at, strength_at, key_version, \
         terms, grams) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $12, $15, $16, $17)",
    )
    .bind(tenant.name())
    .bind(memory.id)
    .bind(written.content.as_ref())
    .bind(&written.content_hash)
    .bind(memory.tier.name())
    .bind(memory.importance)
    .bind(&memory.subject)
    .bind(memory.pinned)
    .bind(&written.metadata)
    .bind(memory.version)
    .bind(memory.occurred_at.0)
    .bind(memory.created_at.0)
    .bind(memory.updated_at.0)
    .bind(memory.expires_at.map(|moment| moment.0))
    .bind(written.key_version)
    .bind(&written.indexed.terms)
    .bind(&written.indexed.grams)
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn reindex(
    on: &mut Connection,
    tenant: &Tenant,
    written: &Written<'_>,
    compared: Compared,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE memories SET content_hash = $3, terms = $4, grams = $5, \
         compared_at = CASE WHEN $6 THEN compared_at END \
         WHERE tenant = $1 AND id = $2",
    )
    .bind(tenant.name())
    .bind(written.memory.id)
    .bind(&written.content_hash)
    .bind(&written.indexed.terms)
    .bind(&written.indexed.grams)
    .bind(compared == Compared::Stays)
    .execute(on)
    .await?;
    Ok(())
}

pub(super) async fn totals(on: &mut Connection) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(sqlx::query_as("SELECT tier, items FROM tier_totals()").fetch_all(on).await?)
}

pub(super) async fn terms_before(
    on: &mut Connection,
    tenant: &Tenant,
    before: Uuid,
    most: u32,
) -> Result<Vec<Vec<i32>>, StoreError> {
    let rows: Vec<(Option<Vec<i32>>,)> = sqlx::query_as(
        "SELECT terms FROM memories WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(tenant.name())
    .bind(before)
    .bind(i64::from(most))
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().filter_map(|(terms,)| terms).collect())
}

#[derive(sqlx::FromRow)]
struct CandidateRow {
    id: Uuid,
    terms: Vec<i32>,
    subject: Option<String>,
    importance: f64,
    occurred_at: i64,
    strength_at: i64,
}

impl From<CandidateRow> for Candidate {
    fn from(row: CandidateRow) -> Self {
        Self {
            id: row.id,
            terms: row.terms,
            subject: row.subject,
            importance: row.importance,
            occurred_at: Moment(row.occurred_at),
            seen_at: Moment(row.strength_at),
        }
    }
}

pub(super) async fn with_terms(
    reading: &mut Reading<'_>,
    filter: &Filter,
    wanted: Wanted,
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let asked = Arc::new((filter.clone(), wanted));
    let at_once = asked.clone();
    let found = reading
        .ask(move |on| {
            let asked = at_once.clone();
            Box::pin(async move { searchable(on, &asked.0, &asked.1, most).await })
        })
        .await?;
    if let Some(found) = found {
        return Ok(found);
    }
    // A failed transaction answers nothing more.
    reading.rest();
    reading
        .ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move { by_function(on, &asked.0, &asked.1, most).await })
        })
        .await
}

/// Nothing on schema 11, which has no such view.
async fn searchable(
    on: &mut Connection,
    filter: &Filter,
    wanted: &Wanted,
    most: u32,
) -> Result<Option<Vec<Candidate>>, StoreError> {
    // A text for each set of conditions: the plan of each is another one.
    let mut query = QueryBuilder::new(
        "SELECT id, terms, subject, importance, occurred_at, strength_at FROM searchable_memories \
         WHERE terms && ",
    );
    query.push_bind(&wanted.terms);
    query.push(" AND (expires_at IS NULL OR expires_at > ").push_bind(filter.now.0).push(")");
    if !wanted.also.is_empty() {
        query.push(" AND terms && ").push_bind(&wanted.also);
    }
    if let Some(subject) = &filter.subject {
        query.push(" AND subject = ").push_bind(subject);
    }
    if let Some(tier) = filter.tier {
        query.push(" AND tier = ").push_bind(tier.name());
    }
    query.push(" LIMIT ").push_bind(i64::from(most));
    let unknown = |error: &sqlx::Error| {
        error.as_database_error().is_some_and(|e| e.code().as_deref() == Some(UNDEFINED_TABLE))
    };
    match query.build_query_as::<CandidateRow>().fetch_all(on).await {
        Ok(rows) => Ok(Some(rows.into_iter().map(Candidate::from).collect())),
        Err(error) if unknown(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Schema 11's way.
async fn by_function(
    on: &mut Connection,
    filter: &Filter,
    wanted: &Wanted,
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let rows: Vec<CandidateRow> = sqlx::query_as(
        "SELECT id, terms, subject, importance, occurred_at, strength_at \
         FROM memories_with_terms($1, $2, $3, $4, $5)",
    )
    .bind(&wanted.terms)
    .bind(&filter.subject)
    .bind(filter.tier.map(|tier| tier.name()))
    .bind(filter.now.0)
    .bind(i64::from(most))
    .fetch_all(on)
    .await?;
    let also = |candidate: &Candidate| {
        wanted.also.is_empty() || candidate.terms.iter().any(|term| wanted.also.contains(term))
    };
    Ok(rows.into_iter().map(Candidate::from).filter(also).collect())
}

pub(super) async fn with_grams(
    on: &mut Connection,
    _: &Tenant,
    filter: &Filter,
    pairs: &[[i32; 2]],
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let rows: Vec<CandidateRow> = sqlx::query_as(
        "SELECT id, terms, subject, importance, occurred_at, strength_at \
         FROM memories_with_grams($1, $2, $3, $4, $5)",
    )
    .bind(pairs.as_flattened())
    .bind(&filter.subject)
    .bind(filter.tier.map(|tier| tier.name()))
    .bind(filter.now.0)
    .bind(i64::from(most))
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(Candidate::from).collect())
}

pub(super) async fn around(
    on: &mut Connection,
    tenant: &Tenant,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows: Vec<(Uuid, Option<Uuid>, Option<Uuid>)> = sqlx::query_as(
        "SELECT m.id, \
         (SELECT p.id FROM memories p WHERE p.tenant = $1 AND p.subject = m.subject AND p.id < m.id \
          ORDER BY p.id DESC LIMIT 1), \
         (SELECT n.id FROM memories n WHERE n.tenant = $1 AND n.subject = m.subject AND n.id > m.id \
          ORDER BY n.id LIMIT 1) \
         FROM memories m WHERE m.tenant = $1 AND m.id = ANY($2)",
    )
    .bind(tenant.name())
    .bind(ids)
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .flat_map(|(id, before, after)| {
            before.into_iter().chain(after).map(move |other| (id, other))
        })
        .collect())
}
