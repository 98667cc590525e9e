//! `/v1/events`: a stream (SSE) of heartbeats and of the memories that this process accepted.
//!
//! It ends when the service stops, and only then.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::admit::Caller;
use super::input::Asked;
use super::{Problem, Shared};
use crate::lifecycle::Phase;
use crate::memory::Memory;
use crate::tenant::Tenant;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Events that a slow listener may be behind before it loses some.
const BACKLOG: usize = 1024;

/// Hands what happens to everybody of the same tenant who listens.
pub struct Events(broadcast::Sender<Event>);

#[derive(Clone)]
struct Event {
    tenant: Tenant,
    text: Bytes,
}

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Events {
    /// Says that `memory` was accepted; without its content, which not every listener may see.
    pub fn memory_created(&self, tenant: &Tenant, memory: &Memory) {
        if self.0.receiver_count() > 0 {
            let data = json!({
                "id": memory.id.to_string(),
                "tier": memory.tier,
                "created_at": memory.created_at,
            });
            let text = format!("event: memory.created\nid: {}\ndata: {data}\n\n", memory.id);
            // Nobody listening any more is fine.
            let _ = self.0.send(Event { tenant: tenant.clone(), text: text.into() });
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// `heartbeat` for heartbeats alone; everything otherwise.
    only: Option<Only>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Only {
    Heartbeat,
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
    Caller(caller): Caller,
    Asked(query): Asked<EventQuery>,
) -> Result<Response, Problem> {
    shared.metrics.stream_opened();
    let events = query.only.is_none().then(|| shared.events.0.subscribe());
    let listener = Listener {
        lifecycle: shared.lifecycle.clone(),
        revision: shared.revision.clone(),
        tenant: caller.tenant,
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
    tenant: Tenant,
    events: Option<broadcast::Receiver<Event>>,
    ticks: tokio::time::Interval,
    _open: Open,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let chunk = tokio::select! {
            biased;
            () = self.lifecycle.reached(Phase::Stopping) => return None,
            chunk = happened(&mut self.events, &self.tenant) => chunk,
            _ = self.ticks.tick() => {
                let data = json!({ "revision": self.revision });
                format!("event: heartbeat\ndata: {data}\n\n").into()
            }
        };
        Some((Ok(chunk), self))
    }
}

/// Everything that has happened meanwhile in one piece: one write to the socket instead of many.
async fn happened(events: &mut Option<broadcast::Receiver<Event>>, tenant: &Tenant) -> Bytes {
    let lost = |count: u64| Bytes::from(format!("event: lost\ndata: {{\"events\":{count}}}\n\n"));
    let Some(receiver) = events else { return std::future::pending().await };
    let first = loop {
        match receiver.recv().await {
            Ok(event) if event.tenant == *tenant => break event.text,
            Ok(_) => {}
            Err(RecvError::Lagged(count)) => break lost(count),
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    };
    let mut all = BytesMut::from(first);
    loop {
        match receiver.try_recv() {
            Ok(event) if event.tenant == *tenant => all.extend_from_slice(&event.text),
            Ok(_) => {}
            Err(TryRecvError::Lagged(count)) => all.extend_from_slice(&lost(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return all.freeze(),
        }
    }
}
