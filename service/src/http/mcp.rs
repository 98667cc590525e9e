//! `/v1/mcp`: the same memory for agents that speak the Model Context Protocol (streamable HTTP).
//!
//! Every message stands on its own: there is no session that a replica would have to know, or that a
//! release would end. Who asks, and how often they may, was decided in front, as for every route.

mod tools;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::admit::Caller;
use super::input;
use super::{MAX_BODY, Problem, Shared};
use tools::Tools;

/// Who may ask from a browser where nobody is asked who they are: pages of this machine. Another
/// site's page, under a name that leads here, names itself in `Origin`.
const LOCAL: [&str; 6] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
];
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// A message of JSON-RPC 2.0.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "for the document: the SDK reads the messages")]
pub(super) struct Message {
    jsonrpc: Version,
    /// Left out by notifications, which get no answer.
    id: u32,
    /// `initialize`, `tools/list`, `tools/call`, …
    method: String,
    #[schemars(default)]
    params: Map<String, Value>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "for the document")]
enum Version {
    #[schemars(rename = "2.0")]
    Two,
}

pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let body = input::json_bytes(Request::from_parts(parts.clone(), body)).await?;
    accept_both(&mut parts.headers);
    let mut config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY)
        .disable_allowed_hosts();
    if !shared.authenticator.asks() {
        config = config.with_allowed_origins(LOCAL);
    }
    let tools = Tools::new(shared, caller);
    let sessions: Arc<NeverSessionManager> = Arc::default();
    let service = StreamableHttpService::new(move || Ok(tools.clone()), sessions, config);
    let request = Request::from_parts(parts, Full::new(body));
    let answer = service.handle(request).await.map(Body::new);
    in_our_words(answer).await
}

/// Whoever does not say what they take gets what the protocol's clients take.
fn accept_both(headers: &mut HeaderMap) {
    let anything = |value: &HeaderValue| value.as_bytes() == b"*/*";
    if headers.get(ACCEPT).is_none_or(anything) {
        headers.insert(ACCEPT, BOTH);
    }
}

/// The protocol's own errors are the protocol's; what the SDK says about HTTP becomes a problem as of
/// any other route.
async fn in_our_words(answer: Response) -> Result<Response, Problem> {
    let status = answer.status();
    let json = HeaderValue::from_static("application/json");
    if status.as_u16() < 400 || answer.headers().get(CONTENT_TYPE) == Some(&json) {
        return Ok(answer);
    }
    let text = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Err(match status {
        StatusCode::FORBIDDEN => Problem::foreign_origin(),
        StatusCode::NOT_ACCEPTABLE => Problem::not_acceptable(),
        status if status.is_server_error() => {
            tracing::error!(%status, %text, "the protocol's server failed");
            Problem::internal()
        }
        _ => Problem::malformed(&text),
    })
}
