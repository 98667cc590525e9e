//! The supervisor's API: HTTP and JSON over a Unix socket that only its owner can reach.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_engine::ports::{Epoch, TargetError};
use serde::{Deserialize, Serialize};

use super::{Supervisor, windows};
use crate::process_id::ProcessId;

/// An effect and the token of whoever drives.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    pub epoch: Epoch,
    pub effect: Effect,
}

#[derive(Deserialize)]
struct Seen {
    seen: u64,
    ms: u64,
}

/// Longest that a watcher is kept waiting.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) fn routes(supervisor: Arc<Supervisor>) -> Router {
    Router::new()
        .route("/v1/effects", post(effect))
        .route("/v1/observed", get(observed))
        .route("/v1/changed", get(changed))
        .route("/v1/windows", get(windows::get))
        .route("/v1/process", get(|| async { Json(ProcessId::own()) }))
        .route("/v1/stop", post(stop))
        .with_state(supervisor)
}

async fn effect(
    State(supervisor): State<Arc<Supervisor>>,
    Json(asked): Json<Asked>,
) -> Json<Result<(), TargetError>> {
    // A task of its own: an effect that was begun is ended even if the driver dies meanwhile.
    let task = tokio::spawn(async move { supervisor.perform(asked.epoch, asked.effect).await });
    Json(task.await.unwrap_or_else(|error| {
        Err(TargetError::Refused(format!("a defect in the supervisor: {error}")))
    }))
}

async fn observed(State(supervisor): State<Arc<Supervisor>>) -> Json<Observed> {
    Json(supervisor.observe().await)
}

async fn changed(
    State(supervisor): State<Arc<Supervisor>>,
    Query(query): Query<Seen>,
) -> Json<u64> {
    let mut version = supervisor.version.subscribe();
    let wait = Duration::from_millis(query.ms).min(WAIT_MAX);
    let _ = tokio::time::timeout(wait, version.wait_for(|now| *now != query.seen)).await;
    Json(*supervisor.version.borrow())
}

async fn stop(State(supervisor): State<Arc<Supervisor>>) -> Json<()> {
    supervisor.stop_everything().await;
    Json(())
}
