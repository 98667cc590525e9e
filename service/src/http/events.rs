//! `/v1/events`: a stream (SSE) of heartbeats and of the memories that this process accepted.
//!
//! It ends when the service stops, and only then.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::{Problem, Shared};
use crate::lifecycle::Phase;
use crate::memory::Memory;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Events that a slow listener may be behind before it loses some.
const BACKLOG: usize = 1024;

/// Hands what happens to everybody who listens.
pub struct Events(broadcast::Sender<Bytes>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Events {
    /// Says that `memory` was accepted; without its content, which not every listener may see.
    pub fn memory_created(&self, memory: &Memory) {
        if self.0.receiver_count() > 0 {
            let data = json!({
                "id": memory.id.to_string(),
                "tier": memory.tier,
                "created_at": memory.created_at,
            });
            let text = format!("event: memory.created\nid: {}\ndata: {data}\n\n", memory.id);
            // Nobody listening any more is fine.
            let _ = self.0.send(text.into());
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// `heartbeat` for heartbeats alone; everything otherwise.
    only: Option<String>,
}

/// Counts an open stream until its listener goes or the service stops.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.stream_closed();
    }
}

pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<EventQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let only_heartbeats = match query {
        Ok(Query(EventQuery { only: None })) => false,
        Ok(Query(EventQuery { only: Some(only) })) if only == "heartbeat" => true,
        _ => return Err(Problem::malformed("the query takes only=heartbeat or nothing")),
    };
    shared.metrics.stream_opened();
    let events = (!only_heartbeats).then(|| shared.events.0.subscribe());
    let listener = Listener {
        lifecycle: shared.lifecycle.clone(),
        revision: shared.revision.clone(),
        events,
        ticks: tokio::time::interval(HEARTBEAT),
        _open: Open(shared),
    };
    let chunks = futures::stream::unfold(listener, Listener::next);
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

struct Listener {
    lifecycle: crate::lifecycle::Lifecycle,
    revision: String,
    events: Option<broadcast::Receiver<Bytes>>,
    ticks: tokio::time::Interval,
    _open: Open,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let chunk = tokio::select! {
            biased;
            () = self.lifecycle.reached(Phase::Stopping) => return None,
            chunk = happened(&mut self.events) => chunk,
            _ = self.ticks.tick() => {
                let data = json!({ "revision": self.revision });
                format!("event: heartbeat\ndata: {data}\n\n").into()
            }
        };
        Some((Ok(chunk), self))
    }
}

/// Everything that has happened meanwhile in one piece: one write to the socket instead of many.
async fn happened(events: &mut Option<broadcast::Receiver<Bytes>>) -> Bytes {
    let lost = |count: u64| Bytes::from(format!("event: lost\ndata: {{\"events\":{count}}}\n\n"));
    let Some(receiver) = events else { return std::future::pending().await };
    let first = match receiver.recv().await {
        Ok(event) => event,
        Err(RecvError::Lagged(count)) => lost(count),
        Err(RecvError::Closed) => return std::future::pending().await,
    };
    let mut all = BytesMut::from(first);
    loop {
        match receiver.try_recv() {
            Ok(event) => all.extend_from_slice(&event),
            Err(TryRecvError::Lagged(count)) => all.extend_from_slice(&lost(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return all.freeze(),
        }
    }
}
