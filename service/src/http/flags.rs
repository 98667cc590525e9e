//! `/v1/admin/flags`: the feature flags of a tenant, one by one and as flagd's file.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::admit::Caller;
use super::input::{self, Body};
use super::{Problem, Shared};
use crate::audit::Act;
use crate::auth::Principal;
use crate::flags::{Definition, Document, FlagSet, Stored, check_key};
use crate::memory::Moment;

/// How often a change is begun anew because another one came between.
const TRIES: u32 = 8;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
) -> Result<Response, Problem> {
    let stored = shared.repository()?.flags(&caller.tenant).await?;
    Ok(tagged(stored.version, &stored.flags.document))
}

pub(super) async fn replace(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    headers: HeaderMap,
    Body(document): Body<Document>,
) -> Result<Response, Problem> {
    let change = |flags: &mut FlagSet| {
        flags.document = document.clone();
        Ok(())
    };
    let stored = changed(&shared, &caller, &headers, "flags.replace", "flags", change).await?;
    Ok(tagged(stored.version, &stored.flags.document))
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    let stored = shared.repository()?.flags(&caller.tenant).await?;
    let flag = stored.flags.document.flags.get(&key).ok_or_else(Problem::no_such_flag)?;
    Ok(tagged(stored.version, flag))
}

pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
    headers: HeaderMap,
    Body(flag): Body<Definition>,
) -> Result<Response, Problem> {
    check_key(&key).map_err(|why| Problem::invalid(&why))?;
    let change = |flags: &mut FlagSet| {
        flags.document.flags.insert(key.clone(), flag.clone());
        Ok(())
    };
    let target = format!("flag:{key}");
    let stored = changed(&shared, &caller, &headers, "flag.put", &target, change).await?;
    Ok(tagged(stored.version, &flag))
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let change = |flags: &mut FlagSet| {
        flags.document.flags.remove(&key).map(drop).ok_or_else(Problem::no_such_flag)
    };
    changed(&shared, &caller, &headers, "flag.delete", &format!("flag:{key}"), change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the set as a whole, and only the version that `If-Match` names, if it names one.
pub(super) async fn changed(
    shared: &Shared,
    caller: &Principal,
    headers: &HeaderMap,
    action: &'static str,
    target: &str,
    change: impl Fn(&mut FlagSet) -> Result<(), Problem> + Send,
) -> Result<Stored, Problem> {
    let (repository, wanted) = (shared.repository()?, input::if_match(headers)?);
    for _ in 0..TRIES {
        let mut stored = repository.flags(&caller.tenant).await?;
        if wanted.is_some_and(|version| version != stored.version) {
            return Err(Problem::stale());
        }
        change(&mut stored.flags)?;
        stored.flags.check().map_err(|why| Problem::invalid(&why))?;
        let (actor, target) = (caller.name.clone(), target.to_owned());
        let act = Act { actor, action, target, at: Moment::now() };
        let saved = repository.save_flags(&caller.tenant, &stored.flags, stored.version, act);
        if saved.await? {
            shared.flags.forget(&caller.tenant);
            stored.version += 1;
            return Ok(stored);
        }
    }
    Err(Problem::unavailable("others change the flags all the time; try again"))
}

fn tagged(version: i64, body: &impl Serialize) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{version}\""));
    let tag = tag.unwrap_or(HeaderValue::from_static("\"0\""));
    ([(ETAG, tag)], Json(body)).into_response()
}
