//! Around every request: request id, revision, counters, log line, `Connection: close` in drain.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use axum::http::{HeaderName, HeaderValue, Method, Version};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::Shared;
use crate::lifecycle::Phase;
use crate::telemetry::{continue_from, sampled_trace_id};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REVISION: HeaderName = HeaderName::from_static("x-nca-revision");
const LONGEST_ID: usize = 128;
/// For browsers: an answer is what it says it is, is shown in no frame and by no other site, and tells
/// none where somebody came from.
const HARMLESS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
    // What is remembered is in no cache but one that asks each time.
    ("cache-control", "no-cache, private"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
];

pub(super) async fn every_request(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    // The route and not the path: a metric's label must not grow with the ids in it.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("(none)", |route| route.as_str());
    let path = request.uri().path().to_owned();
    let http1 = request.version() < Version::HTTP_2;
    let id = request_id(&request);

    let span = span(&request, &method, route);

    let in_flight = shared.metrics.enter();
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    let _entered = span.enter();

    let took = begun.elapsed();
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    shared.metrics.answered(&method, route, status, took, sampled_trace_id());
    let headers = response.headers_mut();
    for (name, value) in HARMLESS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if shared.tls.is_some() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if let Ok(revision) = HeaderValue::from_str(&shared.revision) {
        headers.insert(REVISION, revision);
    }
    // HTTP/2 has no such header; its connections learn of the end by GOAWAY.
    if http1 && shared.lifecycle.phase() >= Phase::Draining {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let shown = id.to_str().unwrap_or_default();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if is_probe(route) {
        tracing::debug!(request_id = shown, %method, path, status, micros, "request");
    } else {
        tracing::info!(request_id = shown, %method, path, status, micros, "request");
    }
    headers.insert(REQUEST_ID, id);
    response
}

/// What a trace shows of a request: its route, and neither its path nor its body, which may hold names.
fn span(request: &Request, method: &Method, route: &str) -> Span {
    if is_probe(route) {
        return Span::none();
    }
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
    );
    continue_from(&span, request.headers());
    span
}

fn is_probe(route: &str) -> bool {
    route.starts_with("/health") || route == "/metrics"
}

/// The caller's id, so that one request has one id in all logs; a new one when it has none or
/// one that does not belong into a log.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID).filter(|value| {
        (1..=LONGEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    match given {
        Some(value) => value.clone(),
        None => HeaderValue::from_str(&Uuid::now_v7().to_string())
            .unwrap_or(HeaderValue::from_static("none")),
    }
}
