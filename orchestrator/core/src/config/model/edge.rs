//! The edge proxy, as an environment file says it: where it listens, what it enforces, and which side
//! of a split a request goes to. How it does so is the edge's own business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::units::{Bytes, Millis};

/// The edge proxy: where it listens and what it enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Edge {
    /// Address and port on which clients are served.
    pub listen: String,
    /// Address and port of the edge's own `/metrics`; not served when absent.
    pub metrics_listen: Option<String>,
    /// Certificate and key; plain HTTP (HTTP/1.1 and h2c) when absent.
    pub tls: Option<Tls>,
    /// Keeps a client on one revision while traffic is split.
    pub sticky: Option<Sticky>,
    /// Header with which a request asks for the new revision before traffic is shifted.
    pub preview_header: String,
    /// Requests that carry a header value go to a revision of their own (A/B).
    pub header_routes: Vec<HeaderRoute>,
    /// Copies a share of the requests that change nothing (GET, HEAD, OPTIONS) to the new revision and
    /// throws the answers away.
    pub mirror_percent: u8,
    /// Largest request head.
    pub max_header_bytes: Bytes,
    /// Largest request body; unlimited when absent.
    pub max_body: Option<Bytes>,
    /// Time to connect to a component.
    pub connect_timeout: Millis,
    /// Time from the end of the request to the head of the response.
    pub response_timeout: Millis,
    /// Time that a client's idle keep-alive connection stays open.
    pub idle_timeout: Millis,
    /// One line per request in the edge's log.
    pub access_log: bool,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            metrics_listen: None,
            tls: None,
            sticky: None,
            preview_header: "x-neuroca-preview".into(),
            header_routes: Vec::new(),
            mirror_percent: 0,
            max_header_bytes: Bytes(64 * 1024),
            max_body: None,
            connect_timeout: Millis(2_000),
            response_timeout: Millis(60_000),
            idle_timeout: Millis(120_000),
            access_log: true,
        }
    }
}

/// TLS material as files; both are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub cert: String,
    /// PEM file with the private key.
    pub key: String,
}

/// What identifies a client, so that it stays on one side of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Sticky {
    /// A cookie of this name, set by the edge when the client has none.
    Cookie(String),
    /// The value of this request header.
    Header(String),
}

/// Requests whose header has this value go to the new (`canary`) or the old (`stable`) revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderRoute {
    /// Header name, in any case.
    pub header: String,
    /// The exact value.
    pub value: String,
    /// Which side answers.
    pub to: Side,
}

/// The two sides of a rollout.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The release that serves now.
    Stable,
    /// The release that is to take over.
    Canary,
}
