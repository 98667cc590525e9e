//! `/v1/consolidations`: asks the worker to tidy up now instead of by and by.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::admit::Caller;
use super::{Problem, Shared};
use crate::memory::Moment;
use crate::store::{Task, TaskState};

pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
) -> Result<Response, Problem> {
    let task = Task {
        id: Uuid::now_v7(),
        tenant: caller.tenant,
        state: TaskState::Pending,
        created_at: Moment::now(),
        finished_at: None,
        promoted: 0,
        superseded: 0,
    };
    shared.repository()?.add_task(&task).await?;
    let location = [(LOCATION, format!("/v1/consolidations/{}", task.id))];
    Ok((StatusCode::ACCEPTED, location, Json(task)).into_response())
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Task>, Problem> {
    let id = Uuid::parse_str(&id).map_err(|_| Problem::no_such_task())?;
    let task = shared.repository()?.task(&caller.tenant, id).await?;
    task.map(Json).ok_or_else(Problem::no_such_task)
}
