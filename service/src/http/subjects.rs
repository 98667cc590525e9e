//! `/v1/subjects/{subject}`: everything about somebody handed out, or really gone.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admit::Caller;
use super::input::{self, Asked};
use super::{Problem, Shared};
use crate::audit::{self, Act};
use crate::memory::{Memory, Moment, Version};
use crate::store::Receipt;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Memories of a page.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// All that is stored of one memory.
#[derive(Serialize, JsonSchema)]
pub(super) struct Exported {
    memory: Memory,
    /// Its versions before this one, oldest first.
    earlier: Vec<Version>,
}

/// A page of an export, oldest first; the superseded and what has expired are in it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Export {
    subject: String,
    items: Vec<Exported>,
    /// To be given back as `cursor`; null on the last page.
    next_cursor: Option<String>,
}

pub(super) async fn export(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(subject): Path<String>,
    Asked(query): Asked<ExportQuery>,
) -> Result<Json<Export>, Problem> {
    let limit = input::limit(query.limit, 100, 1000)?;
    let after = input::cursor(query.cursor.as_deref())?;
    let repository = shared.repository()?;
    let mut found = repository.of_subject(&caller.tenant, &subject, after, limit + 1).await?;
    if after.is_none() {
        if found.is_empty() {
            return Err(Problem::no_such_subject());
        }
        // Once, and before anything is handed out.
        let act = Act {
            target: audit::subject(&caller.tenant, &subject),
            actor: caller.name,
            action: "subject.export",
            at: Moment::now(),
        };
        repository.record(&caller.tenant, act).await?;
    }
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| last.memory.id.to_string());
    let items = found
        .into_iter()
        .map(|one| Exported { memory: one.memory, earlier: one.earlier })
        .collect();
    Ok(Json(Export { subject, items, next_cursor }))
}

/// What a hard deletion removed, counted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Gone {
    /// When.
    deleted_at: Moment,
    /// Rows by what they were.
    removed: Receipt,
}

pub(super) async fn forget(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(subject): Path<String>,
) -> Result<Json<Gone>, Problem> {
    let act = Act {
        target: audit::subject(&caller.tenant, &subject),
        actor: caller.name,
        action: "subject.delete",
        at: Moment::now(),
    };
    let removed = shared.repository()?.forget(&caller.tenant, &subject, act).await?;
    if removed == Receipt::default() {
        return Err(Problem::no_such_subject());
    }
    shared.metrics.operated("forget", "any", "done");
    Ok(Json(Gone { deleted_at: Moment::now(), removed }))
}
