//! What only SQLite says in this way.

use std::fmt::Write;
use std::sync::Arc;

use uuid::Uuid;

use super::reading::Reading;
use crate::memory::Moment;
use crate::search::Indexed;
use crate::store::rows::columns;
use crate::store::written::{Compared, Written};
use crate::store::{Candidate, Filter, StoreError, Wanted};
use crate::tenant::Tenant;

pub(super) use sqlx::SqliteConnection as Connection;

/// One memory; whoever writes is alone.
pub(super) const LOCKED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM memories WHERE tenant = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)"
);
/// The live ones among some ids.
pub(super) const BY_IDS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM memories WHERE tenant = $1 AND valid_to IS NULL \
      AND (expires_at IS NULL OR expires_at > $2) \
      AND id IN (SELECT unhex(value) FROM json_each($3))"
);
/// Those that are not sealed under a key.
pub(super) const TO_RESEAL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM memories WHERE tenant = $1 AND key_version <> $2 AND id > $3 ORDER BY id LIMIT $4"
);
/// Of the live ones among some ids, those that pass a filter.
pub(super) const FACTS: &str = "SELECT id, subject, importance, occurred_at, strength_at \
     FROM memories WHERE tenant = $1 AND valid_to IS NULL AND (expires_at IS NULL OR expires_at > $2) \
     AND id IN (SELECT unhex(value) FROM json_each($3)) \
     AND ($4 IS NULL OR subject = $4) AND ($5 IS NULL OR tier = $5)";
/// What an access changes.
pub(super) const TOUCHED: &str = "SELECT tier, importance, strength, strength_at, access_count \
     FROM memories WHERE tenant = $1 AND id = $2";
pub(super) const REMOVE_EXPIRED: &str = "DELETE FROM memories WHERE number IN \
     (SELECT number FROM memories WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
/// Whoever writes is alone.
pub(super) const LOCK_LOG: &str = "SELECT $1";
pub(super) const NOTICES: &str = "SELECT tenant, mode, reason, retry_after, since FROM maintenance";
pub(super) const REMOVE_UNSEEN: &str = "DELETE FROM memories WHERE number IN \
     (SELECT number FROM memories WHERE tier = 'long_term' AND NOT pinned AND strength_at < $1 \
      AND (valid_to IS NULL OR valid_to < $1) LIMIT $2)";
pub(super) const REMOVE_OLD_KEYS: &str = "DELETE FROM idempotency_keys WHERE (tenant, key) IN \
     (SELECT tenant, key FROM idempotency_keys WHERE created_at <= $1 ORDER BY created_at LIMIT $2)";

/// Ids, as `BY_IDS` takes them.
pub(super) fn all_of(ids: Vec<Uuid>) -> String {
    let ids: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    serde_json::to_string(&ids).unwrap_or_default()
}

pub(super) async fn insert(
    on: &mut Connection,
    tenant: &Tenant,
    written: &Written<'_>,
) -> Result<(), StoreError> {
    let memory = written.memory;
    let done = sqlx::query(
        "INSERT INTO memories (tenant, id, content, content_hash, tier, importance, subject, pinned, \
         metadata, version, occurred_at, created_at, updated_at, expires_at, strength_at, key_version, \
         terms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $12, $15, $16)",
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
    .bind(packed(&written.indexed.terms))
    .execute(&mut *on)
    .await?;
    fill(on, done.last_insert_rowid(), &written.indexed).await
}

pub(super) async fn reindex(
    on: &mut Connection,
    tenant: &Tenant,
    written: &Written<'_>,
    compared: Compared,
) -> Result<(), StoreError> {
    let row: Option<(i64,)> = sqlx::query_as(
        "UPDATE memories SET content_hash = $3, terms = $4, \
         compared_at = CASE WHEN $5 THEN compared_at END \
         WHERE tenant = $1 AND id = $2 \
         RETURNING number",
    )
    .bind(tenant.name())
    .bind(written.memory.id)
    .bind(&written.content_hash)
    .bind(packed(&written.indexed.terms))
    .bind(compared == Compared::Stays)
    .fetch_optional(&mut *on)
    .await?;
    let Some((number,)) = row else { return Ok(()) };
    for sql in
        ["DELETE FROM memory_terms WHERE rowid = $1", "DELETE FROM memory_grams WHERE rowid = $1"]
    {
        sqlx::query(sql).bind(number).execute(&mut *on).await?;
    }
    if written.memory.valid_to.is_some() {
        return Ok(());
    }
    fill(on, number, &written.indexed).await
}

async fn fill(on: &mut Connection, number: i64, indexed: &Indexed) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO memory_terms (rowid, terms) VALUES ($1, $2)")
        .bind(number)
        .bind(spoken(&indexed.terms))
        .execute(&mut *on)
        .await?;
    sqlx::query("INSERT INTO memory_grams (rowid, grams) VALUES ($1, $2)")
        .bind(number)
        .bind(spoken(&indexed.grams))
        .execute(on)
        .await?;
    Ok(())
}

/// Hashes as the words that the full-text tables take them for.
fn spoken(hashes: &[i32]) -> String {
    hashes.iter().fold(String::with_capacity(9 * hashes.len()), |mut text, hash| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{hash:08x} ");
        text
    })
}

fn packed(terms: &[i32]) -> Vec<u8> {
    terms.iter().flat_map(|term| term.to_le_bytes()).collect()
}

fn unpacked(bytes: &[u8]) -> Vec<i32> {
    let (whole, _) = bytes.as_chunks::<4>();
    whole.iter().map(|four| i32::from_le_bytes(*four)).collect()
}

pub(super) async fn totals(on: &mut Connection) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(sqlx::query_as("SELECT tier, sum(items) FROM tier_counts GROUP BY tier")
        .fetch_all(on)
        .await?)
}

pub(super) async fn terms_before(
    on: &mut Connection,
    tenant: &Tenant,
    before: Uuid,
    most: u32,
) -> Result<Vec<Vec<i32>>, StoreError> {
    let rows: Vec<(Option<Vec<u8>>,)> = sqlx::query_as(
        "SELECT terms FROM memories WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(tenant.name())
    .bind(before)
    .bind(i64::from(most))
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().filter_map(|(terms,)| terms).map(|terms| unpacked(&terms)).collect())
}

#[derive(sqlx::FromRow)]
struct CandidateRow {
    id: Uuid,
    terms: Vec<u8>,
    subject: Option<String>,
    importance: f64,
    occurred_at: i64,
    strength_at: i64,
}

macro_rules! candidates {
    ($table:literal) => {
        concat!(
            "SELECT m.id, m.terms, m.subject, m.importance, m.occurred_at, m.strength_at FROM ",
            $table,
            " f CROSS JOIN memories m ON m.number = f.rowid WHERE ",
            $table,
            " MATCH $1 AND m.tenant = $2 AND m.valid_to IS NULL \
              AND (m.expires_at IS NULL OR m.expires_at > $3) \
              AND ($4 IS NULL OR m.subject = $4) AND ($5 IS NULL OR m.tier = $5) \
              ORDER BY f.rowid DESC LIMIT $6"
        )
    };
}

async fn matching(
    on: &mut Connection,
    sql: &'static str,
    expression: String,
    tenant: &Tenant,
    filter: &Filter,
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let rows: Vec<CandidateRow> = sqlx::query_as(sql)
        .bind(expression)
        .bind(tenant.name())
        .bind(filter.now.0)
        .bind(&filter.subject)
        .bind(filter.tier.map(|tier| tier.name()))
        .bind(most)
        .fetch_all(on)
        .await?;
    let candidate = |row: CandidateRow| Candidate {
        id: row.id,
        terms: unpacked(&row.terms),
        subject: row.subject,
        importance: row.importance,
        occurred_at: Moment(row.occurred_at),
        seen_at: Moment(row.strength_at),
    };
    Ok(rows.into_iter().map(candidate).collect())
}

pub(super) async fn with_terms(
    reading: &mut Reading<'_>,
    filter: &Filter,
    wanted: Wanted,
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let expression = match (any_of(&wanted.terms), any_of(&wanted.also)) {
        (terms, also) if also.is_empty() => terms,
        (terms, also) => format!("({terms}) AND ({also})"),
    };
    let asked = Arc::new((reading.owner().tenant(), filter.clone(), expression));
    reading
        .ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move {
                let (of, filter, expression) = &*asked;
                matching(on, candidates!("memory_terms"), expression.clone(), of, filter, most)
                    .await
            })
        })
        .await
}

fn any_of(terms: &[i32]) -> String {
    terms.iter().map(|term| format!("\"{term:08x}\"")).collect::<Vec<_>>().join(" OR ")
}

pub(super) async fn with_grams(
    on: &mut Connection,
    tenant: &Tenant,
    filter: &Filter,
    pairs: &[[i32; 2]],
    most: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let pairs: Vec<String> =
        pairs.iter().map(|[one, other]| format!("(\"{one:08x}\" AND \"{other:08x}\")")).collect();
    matching(on, candidates!("memory_grams"), pairs.join(" OR "), tenant, filter, most).await
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
         FROM json_each($2) w JOIN memories m ON m.tenant = $1 AND m.id = unhex(w.value)",
    )
    .bind(tenant.name())
    .bind(all_of(ids.to_vec()))
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .flat_map(|(id, before, after)| {
            before.into_iter().chain(after).map(move |other| (id, other))
        })
        .collect())
}
