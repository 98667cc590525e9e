//! `/ofrep/v1/evaluate/flags`: what OpenFeature's SDKs ask (OFREP 0.3). What is wrong with a question is
//! told in the protocol's words, not as a problem; who may not ask gets a problem, as everywhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::admit::Caller;
use super::{Problem, Shared};
use crate::auth::Principal;
use crate::flags::{Context, ErrorCode, FlagSet, Reason, Stored};
use crate::memory::Moment;

/// A question.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "for the document: a question is read field by field")]
pub(super) struct Question {
    /// `targetingKey`, by which lots are drawn, and whatever else rules look at.
    #[schemars(default)]
    context: Map<String, Value>,
}

/// What a flag is.
#[derive(Serialize, JsonSchema)]
pub(super) struct FlagSuccess {
    key: String,
    /// Left out: use your own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    reason: Reason,
    /// What the flag says about itself, and `experiment` if one is running with it.
    metadata: Map<String, Value>,
}

/// Why it is nothing.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FlagFailure {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    error_code: ErrorCode,
    error_details: String,
}

/// One of all.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum FlagAnswer {
    Success(FlagSuccess),
    Failure(FlagFailure),
}

/// All flags.
#[derive(Serialize, JsonSchema)]
pub(super) struct FlagAnswers {
    flags: Vec<FlagAnswer>,
    metadata: Map<String, Value>,
}

impl FlagFailure {
    fn new(key: Option<&str>, error_code: ErrorCode) -> Self {
        let error_details = match error_code {
            ErrorCode::FlagNotFound => "there is no such flag",
            ErrorCode::ParseError if key.is_none() => "the body is not JSON",
            ErrorCode::ParseError => "the rule does not work on this context",
            ErrorCode::InvalidContext => "context is not an object",
            ErrorCode::General => "the rule chose something that is not one of the variants",
        };
        Self { key: key.map(str::to_owned), error_code, error_details: error_details.to_owned() }
    }

    fn answer(self) -> Response {
        let status = match self.error_code {
            ErrorCode::FlagNotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(self)).into_response()
    }
}

/// As flagd: nothing at all is a question without a context.
fn context(body: &[u8]) -> Result<Context, ErrorCode> {
    if body.is_empty() {
        return Ok(Context::new());
    }
    match serde_json::from_slice(body).map_err(|_| ErrorCode::ParseError)? {
        Value::Object(mut fields) => match fields.remove("context") {
            None | Some(Value::Null) => Ok(Context::new()),
            Some(Value::Object(context)) => Ok(context),
            Some(_) => Err(ErrorCode::InvalidContext),
        },
        _ => Err(ErrorCode::ParseError),
    }
}

async fn known(shared: &Shared, caller: &Principal) -> Result<Arc<Stored>, Problem> {
    Ok(shared.flags.of(&caller.tenant, &**shared.repository()?).await?)
}

/// What `key` is, counted.
fn evaluated(
    shared: &Shared,
    flags: &FlagSet,
    key: &str,
    context: &Context,
    now: Moment,
) -> Result<FlagSuccess, ErrorCode> {
    let evaluation = flags.evaluate(key, context, now);
    shared.metrics.flags.evaluated(evaluation.as_ref().map(|done| done.reason).map_err(|e| *e));
    let done = evaluation?;
    let mut metadata = done.metadata;
    if let Some(experiment) = flags.running(key) {
        metadata.insert("experiment".into(), experiment.into());
    }
    let (variant, value) = done.variant.unzip();
    Ok(FlagSuccess { key: key.to_owned(), value, variant, reason: done.reason, metadata })
}

/// Counts who got what. Somebody who was not drawn is not part of the experiment.
fn assigned(shared: &Shared, flags: &FlagSet, success: &FlagSuccess) {
    if let (Some(experiment), Some(variant), Reason::TargetingMatch) =
        (flags.running(&success.key), &success.variant, success.reason)
    {
        shared.metrics.flags.assigned(experiment, variant);
    }
}

pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Path(key): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let context = match context(&body) {
        Ok(context) => context,
        Err(code) => return Ok(FlagFailure::new(None, code).answer()),
    };
    let stored = known(&shared, &caller).await?;
    Ok(match evaluated(&shared, &stored.flags, &key, &context, Moment::now()) {
        Ok(success) => {
            assigned(&shared, &stored.flags, &success);
            Json(success).into_response()
        }
        Err(code) => FlagFailure::new(Some(&key), code).answer(),
    })
}

pub(super) async fn all(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let context = match context(&body) {
        Ok(context) => context,
        Err(code) => return Ok(FlagFailure::new(None, code).answer()),
    };
    let stored = known(&shared, &caller).await?;
    let (flags, now) = (&stored.flags, Moment::now());
    let answers = flags.document.flags.keys().map(|key| {
        match evaluated(&shared, flags, key, &context, now) {
            Ok(success) => FlagAnswer::Success(success),
            Err(code) => FlagAnswer::Failure(FlagFailure::new(Some(key), code)),
        }
    });
    let bulk = FlagAnswers { flags: answers.collect(), metadata: flags.document.metadata.clone() };
    let text = serde_json::to_vec(&bulk).map_err(|_| Problem::internal())?;
    let tag = tag(&text);
    if has_it(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    for answer in &bulk.flags {
        if let FlagAnswer::Success(success) = answer {
            assigned(&shared, flags, success);
        }
    }
    Ok(([(ETAG, tag)], Json(bulk)).into_response())
}

/// Of what is answered: a change of the flags that does not concern whoever asks is none for them.
fn tag(text: &[u8]) -> HeaderValue {
    let hash = Sha256::digest(text);
    let number = hash[..7].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    HeaderValue::from_str(&format!("\"{number}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

fn has_it(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let tag = tag.to_str().unwrap_or_default();
    known.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}
