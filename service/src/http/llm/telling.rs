//! Handing an answer on: whole, or word by word as server-sent events.
//!
//! A stream begins with `memories`, goes on with `text` and ends with `answer` or `problem`; one that
//! ends without either was cut. When the service stops, an answer may go on for a moment.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::exchange::{Answered, Exchange};
use crate::http::{Problem, Shared};
use crate::lifecycle::Phase;
use crate::llm::{Answering, Piece};

/// How long an answer may go on after the service has stopped listening; less than what is in
/// flight is given there.
const GRACE: Duration = Duration::from_secs(10);
/// A proxy must not take a thinking model for a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// When an answer cannot go on.
pub(super) type End = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) fn end_of_patience(shared: &Arc<Shared>) -> End {
    let lifecycle = shared.lifecycle.clone();
    Box::pin(async move {
        lifecycle.reached(Phase::Stopping).await;
        tokio::time::sleep(GRACE).await;
    })
}

pub(super) fn stopping() -> Problem {
    Problem::unavailable("the service stops, and the answer takes too long; ask again")
}

/// All of the answer.
pub(super) async fn whole(
    mut exchange: Exchange,
    mut answering: Answering,
    mut end: End,
) -> Result<Answered, Problem> {
    loop {
        let heard = tokio::select! {
            biased;
            heard = answering.next() => heard,
            () = &mut end => return Err(stopping()),
        };
        match heard {
            Some(Ok(Piece::Text(text))) => exchange.hear(&text),
            Some(Ok(Piece::End { usage, truncated })) => {
                return Ok(exchange.finish(usage, truncated).await);
            }
            Some(Err(failure)) => return Err(failure.into()),
            // Nothing comes behind an end only.
            None => return Err(Problem::internal()),
        }
    }
}

/// The answer as it comes.
pub(super) fn events(exchange: Exchange, answering: Answering, end: End) -> Response {
    let telling = Telling {
        end,
        ticks: tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT),
        stage: Stage::Begin,
        exchange,
        answering,
    };
    let chunks = futures::stream::unfold(telling, Telling::next);
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(chunks)).into_response()
}

#[derive(PartialEq)]
enum Stage {
    Begin,
    Speaking,
    Over,
}

struct Telling {
    exchange: Exchange,
    answering: Answering,
    end: End,
    ticks: tokio::time::Interval,
    stage: Stage,
}

impl Telling {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let chunk = match self.stage {
            Stage::Begin => {
                self.stage = Stage::Speaking;
                event("memories", &json!({ "memories": self.exchange.given() }))
            }
            Stage::Speaking => self.speak().await?,
            Stage::Over => return None,
        };
        Some((Ok(chunk), self))
    }

    async fn speak(&mut self) -> Option<Bytes> {
        let heard = tokio::select! {
            biased;
            heard = self.answering.next() => heard?,
            () = &mut self.end => {
                self.stage = Stage::Over;
                return Some(event("problem", &stopping()));
            }
            _ = self.ticks.tick() => return Some(Bytes::from_static(b": waiting\n\n")),
        };
        Some(match heard {
            Ok(Piece::Text(text)) => {
                self.exchange.hear(&text);
                event("text", &json!({ "text": text }))
            }
            Ok(Piece::End { usage, truncated }) => {
                self.stage = Stage::Over;
                event("answer", &self.exchange.finish(usage, truncated).await)
            }
            Err(failure) => {
                self.stage = Stage::Over;
                event("problem", &Problem::from(failure))
            }
        })
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    // JSON has no line ends of its own.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
