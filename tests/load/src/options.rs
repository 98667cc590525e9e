//! What is to be sent.

use std::time::Duration;

/// One run.
#[derive(Debug, Clone)]
pub struct Load {
    /// Host and port: `127.0.0.1:8080`.
    pub authority: String,
    /// Stops after this time.
    pub duration: Option<Duration>,
    /// Stops after so many requests.
    pub requests: Option<u64>,
    /// Keep-alive connections with one request at a time.
    pub h1_connections: usize,
    /// HTTP/2 connections (prior knowledge).
    pub h2_connections: usize,
    /// Requests at a time on each HTTP/2 connection.
    pub h2_concurrency: usize,
    /// Long-lived streams (SSE), every second one over HTTP/2 if there is any HTTP/2.
    pub streams: usize,
    /// Where they are.
    pub stream_path: String,
    /// Long-lived WebSockets.
    pub websockets: usize,
    /// Where they are.
    pub websocket_path: String,
    /// Requests a second over all connections; as fast as they are answered when absent.
    pub rate: Option<f64>,
    /// Share of requests that are POSTs.
    pub post_fraction: f64,
    /// Where to POST.
    pub path: String,
    /// What to GET.
    pub get_path: String,
    /// A request without its whole answer after this time has failed.
    pub timeout: Duration,
    /// Which requests are POSTs.
    pub seed: u64,
}

impl Load {
    /// The defaults for a service on `authority`.
    pub fn new(authority: impl Into<String>) -> Self {
        Self {
            authority: authority.into(),
            duration: None,
            requests: None,
            h1_connections: 8,
            h2_connections: 2,
            h2_concurrency: 4,
            streams: 0,
            stream_path: "/v1/events?only=heartbeat".into(),
            websockets: 0,
            websocket_path: "/ws".into(),
            rate: None,
            post_fraction: 0.5,
            path: "/v1/memories".into(),
            get_path: "/v1/memories?limit=1".into(),
            timeout: Duration::from_secs(30),
            seed: 1,
        }
    }
}
