//! What is routed where, as a plain value.

use serde::{Deserialize, Serialize};

/// Everything that decides where a request goes. Replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Grows with each change; an older one is refused.
    pub generation: u64,
    pub listeners: Vec<Listener>,
    pub routes: Vec<Route>,
    pub limits: Limits,
    pub sticky: Option<Sticky>,
    /// Decides which clients are the first on a new revision; the same throughout a rollout.
    #[serde(default)]
    pub salt: u64,
    pub access_log: bool,
}

/// An address on which the edge serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub address: String,
    pub kind: ListenerKind,
    pub tls: Option<TlsFiles>,
}

/// What is served there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerKind {
    Traffic,
    /// The edge's own `/metrics`.
    Metrics,
}

/// PEM files, read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    pub cert: String,
    pub key: String,
}

/// Requests of one host and path prefix, and who answers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub component: String,
    pub host: Option<String>,
    pub path: String,
    pub backends: Vec<Backend>,
    pub header_routes: Vec<HeaderRoute>,
    pub mirror: Option<Mirror>,
}

/// One revision of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    pub revision: String,
    /// Its part of the requests; 0 is reached by header routes alone.
    pub weight: u32,
    /// Ready replicas as `host:port`.
    pub addresses: Vec<String>,
}

/// A header value that asks for a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderRoute {
    pub header: String,
    pub value: String,
    pub revision: String,
    /// Whether these requests are the revision's share of the traffic. Those of who only wants to
    /// try it are not, and are kept from a judge.
    #[serde(default)]
    pub share: bool,
}

/// A revision that gets copies of small requests; its answers are thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    pub revision: String,
    pub percent: u8,
}

/// Bounds on requests and waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub max_header_bytes: u64,
    pub max_body: Option<u64>,
    pub connect_timeout_ms: u64,
    pub response_timeout_ms: u64,
    pub idle_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            max_body: None,
            connect_timeout_ms: 2_000,
            response_timeout_ms: 60_000,
            idle_timeout_ms: 120_000,
        }
    }
}

/// What keeps a client on one side of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// A cookie, set by the edge when the client has none.
    Cookie(String),
    Header(String),
}
