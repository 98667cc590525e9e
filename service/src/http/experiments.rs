//! `/v1/admin/experiments`: which flags are being tried, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admit::Caller;
use super::flags::changed;
use super::input::Body;
use super::{Problem, Shared};
use crate::flags::{Experiment, FlagSet};
use crate::memory::Moment;

/// What is wanted of an experiment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({ "flag": "new-search", "running": true }))]
pub(super) struct ExperimentWish {
    /// The flag that draws lots by `fractional`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\u0000]*$"))]
    flag: String,
    /// What is to be found out.
    #[schemars(length(max = 1000), regex(pattern = r"^[^\u0000]*$"))]
    #[serde(default)]
    description: String,
    /// Whether it is counted who got what.
    running: bool,
}

/// All experiments by their keys.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tried {
    experiments: BTreeMap<String, Experiment>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
) -> Result<Json<Tried>, Problem> {
    let stored = shared.repository()?.flags(&caller.tenant).await?;
    Ok(Json(Tried { experiments: stored.flags.experiments }))
}

pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
) -> Result<Json<Experiment>, Problem> {
    let mut stored = shared.repository()?.flags(&caller.tenant).await?;
    stored.flags.experiments.remove(&key).map(Json).ok_or_else(Problem::no_such_experiment)
}

pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
    Body(wanted): Body<ExperimentWish>,
) -> Result<Json<Experiment>, Problem> {
    let now = Moment::now();
    let change = |flags: &mut FlagSet| {
        let before = flags.experiments.get(&key);
        let (flag, description) = (wanted.flag.clone(), wanted.description.clone());
        let after = Experiment::following(before, flag, description, wanted.running, now);
        flags.experiments.insert(key.clone(), after);
        Ok(())
    };
    let (any, target) = (HeaderMap::new(), format!("experiment:{key}"));
    let stored = changed(&shared, &caller, &any, "experiment.put", &target, change).await?;
    stored.flags.experiments.get(&key).cloned().map(Json).ok_or_else(Problem::internal)
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    let change = |flags: &mut FlagSet| {
        flags.experiments.remove(&key).map(drop).ok_or_else(Problem::no_such_experiment)
    };
    let (any, target) = (HeaderMap::new(), format!("experiment:{key}"));
    changed(&shared, &caller, &any, "experiment.delete", &target, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
