//! What probes and people ask: alive, ready, started, which version.
//!
//! Live looks at nothing but the runtime: a lost database must not get the process killed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Shared;
use crate::lifecycle::Phase;
use crate::maintenance::Mode;
use crate::schema::{SCHEMA_MAX, SCHEMA_MIN, SchemaState, check};

/// A runtime that did not turn for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// Shorter than the patience of a probe, so that it gets the reason and not a time-out.
const DATABASE_PATIENCE: Duration = Duration::from_secs(1);

type Answer = (StatusCode, Json<Value>);

fn answer(problem: Option<&str>) -> Answer {
    match problem {
        None => (StatusCode::OK, Json(json!({ "status": "ok" }))),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "unavailable", "reason": reason })),
        ),
    }
}

fn liveness(shared: &Shared) -> Option<&'static str> {
    (shared.lifecycle.since_beat() > STUCK).then_some("the runtime is stuck")
}

async fn database(shared: &Shared) -> Result<SchemaState, String> {
    let repository = shared.repository.get().ok_or("the database is not open yet")?;
    match tokio::time::timeout(DATABASE_PATIENCE, repository.schema()).await {
        Err(_) => Err("the database does not answer".into()),
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "database probe");
            Err("the database does not answer".into())
        }
        Ok(Ok(state)) => check(state).map_err(|error| error.to_string()),
    }
}

async fn readiness(shared: &Shared) -> Option<String> {
    if shared.lifecycle.phase() >= Phase::Draining {
        return Some("draining".into());
    }
    database(shared).await.err()
}

pub(super) async fn live(State(shared): State<Arc<Shared>>) -> Answer {
    answer(liveness(&shared))
}

pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Answer {
    answer(readiness(&shared).await.as_deref())
}

pub(super) async fn startup(State(shared): State<Arc<Shared>>) -> Answer {
    let starting = shared.lifecycle.phase() == Phase::Starting;
    answer(starting.then_some("the database is not open yet"))
}

/// For people: all of it in one answer. 503 when not ready.
pub(super) async fn overview(State(shared): State<Arc<Shared>>) -> Answer {
    let not_ready = readiness(&shared).await;
    let schema = database(&shared).await.ok().map(|state| state.version);
    let status = match not_ready {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({
        "status": if not_ready.is_none() { "ok" } else { "unavailable" },
        "reason": not_ready,
        "live": liveness(&shared).is_none(),
        "draining": shared.lifecycle.phase() >= Phase::Draining,
        "revision": shared.revision,
        "version": env!("CARGO_PKG_VERSION"),
        "schema": schema,
        "maintenance": shared.maintenance.notices().service.as_ref().map_or(Mode::Off, |n| n.mode),
        "llm": shared.llm.as_ref().map(|llm| llm.provider()),
    });
    (status, Json(body))
}

pub(super) async fn version(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let schema = match shared.repository.get() {
        Some(repository) => repository.schema().await.ok().flatten(),
        None => None,
    };
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": shared.revision,
        "schema_min": SCHEMA_MIN,
        "schema_max": SCHEMA_MAX,
        "schema": schema.map(|state| state.version),
    }))
}
