//! The typed environment: what a resolved environment file says.
//!
//! These are plain values. How they are read, layered and checked is in the sibling modules;
//! this one knows neither files nor where a value came from.

mod kubernetes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use kubernetes::{
    Autoscale, ComponentOnKubernetes, Egress, Gateway, Ingress, Kubernetes, Storage,
};

use super::units::{Bytes, Millis};
use crate::judge::Analysis;

/// One environment, resolved: every value has been layered and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The project that this environment belongs to; names its state on the target.
    pub project: String,
    /// Where it runs.
    #[serde(default)]
    pub target: TargetKind,
    /// The cluster, where it runs on one; and that which manifests are rendered for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// The edge proxy in front of the components that listen.
    #[serde(default)]
    pub edge: Edge,
    /// How a new release takes over.
    #[serde(default)]
    pub rollout: RolloutPolicy,
    /// How much history is kept.
    #[serde(default)]
    pub retention: Retention,
    /// What is deployed, by name.
    pub components: BTreeMap<String, Component>,
}

/// The kinds of target that this build knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// One machine: processes behind the edge proxy, no Docker and no cluster.
    #[default]
    Local,
    /// A cluster: pods behind a Gateway, state in the namespace.
    Kubernetes,
}

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

/// How a new release takes over, and when it is turned back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutPolicy {
    /// `blue_green` starts the new before it touches the old; `canary` gives it a part of the
    /// traffic and judges it, step by step; `recreate` stops the old first.
    pub strategy: Strategy,
    /// The steps of a canary, in the order of their weights; 5, 25 and 50 percent for a minute each
    /// when nothing is said. All of the traffic is the last step, written or not.
    pub steps: Vec<Step>,
    /// How a canary is judged.
    pub analysis: Analysis,
    /// How long health rules watch the new release with all of the traffic before it is kept.
    pub watch: Millis,
    /// Most time that a whole rollout may take, time spent paused not counted. A release that is
    /// not up by then is turned back; one that is up and not yet judged is inconclusive.
    pub deadline: Millis,
    /// How long the old release stays warm for an instant `rollback`.
    pub rollback_window: Millis,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::BlueGreen,
            steps: Vec::new(),
            analysis: Analysis::default(),
            watch: Millis(5_000),
            deadline: Millis(1_800_000),
            rollback_window: Millis(3_600_000),
        }
    }
}

/// One step of a canary: what the new release gets, and what has to be so before the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Percent of the requests that the new release answers; with 0 only those which the preview
    /// header or a header route of this step sends there.
    pub weight: u8,
    /// Least time at this step.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pause: Millis,
    /// Waits until an operator says `rollout promote`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gate: bool,
    /// Whether the judge has to accept the release before the next step.
    #[serde(default = "yes")]
    pub analysis: bool,
    /// Percent of the requests that change nothing (GET, HEAD, OPTIONS) of which the new release gets
    /// a copy; the answers are thrown away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mirror: u8,
    /// Requests that carry a header value go to one side, whatever the weight (A/B).
    #[serde(default, skip_serializing_if = "is_default")]
    pub header_routes: Vec<HeaderRoute>,
}

impl Step {
    /// A step that only sets a weight.
    pub fn weight(weight: u8) -> Self {
        Self {
            weight,
            pause: Millis(0),
            gate: false,
            analysis: false,
            mirror: 0,
            header_routes: Vec::new(),
        }
    }

    /// Whether requests reach the new release by their headers, whatever its weight.
    pub fn sends_by_header(&self) -> bool {
        self.header_routes.iter().any(|route| route.to == Side::Canary)
    }
}

/// The closed set of strategies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// New beside old, then all traffic at once, then the old is drained.
    #[default]
    BlueGreen,
    /// New beside old, with a growing share of the traffic, judged at each step.
    Canary,
    /// Old is stopped before new is started: traffic is refused in between.
    Recreate,
}

/// What is kept, so that going back stays possible and the disk stays bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Releases whose artifacts are kept for `rollback --to`.
    pub releases: u32,
    /// Most bytes of stored artifacts beyond those which kept releases need.
    pub artifact_bytes: Bytes,
}

impl Default for Retention {
    fn default() -> Self {
        Self { releases: 20, artifact_bytes: Bytes(10 * 1024 * 1024 * 1024) }
    }
}

/// One component: a command, how it is kept healthy and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// File or directory that is stored by digest and run from there;
    /// `bundled` is the NCA service that comes with this tool.
    pub artifact: String,
    /// Program and arguments, run inside the artifact. `$PORT` is in its environment.
    pub command: Vec<String>,
    /// Whether it listens on `$PORT`; one that does not is judged by its process alone and
    /// runs one revision at a time.
    #[serde(default = "yes")]
    pub port: bool,
    /// Requests that are routed to it; `/` when it listens and nothing is said.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Plain environment. `${data_dir}` stands for a folder that outlives releases.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Environment from secrets: name to reference (`env:NAME`, `file:PATH`), never a value.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Processes of one revision.
    #[serde(default = "one")]
    pub replicas: u32,
    /// When it counts as ready and as broken.
    #[serde(default)]
    pub health: Health,
    /// Time for in-flight requests and streams of an old revision to end.
    #[serde(default = "default_drain")]
    pub drain: Millis,
    /// What its processes may use.
    #[serde(default)]
    pub limits: Limits,
    /// How its output is kept.
    #[serde(default)]
    pub logs: Logs,
    /// What happens when a process ends by itself.
    #[serde(default)]
    pub restart: Restart,
    /// Commands around the rollout.
    #[serde(default)]
    pub hooks: Hooks,
    /// Command that migrates its database before traffic is shifted, under a lock.
    #[serde(default)]
    pub migrate: Option<Vec<String>>,
    /// What it is on a cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kubernetes: ComponentOnKubernetes,
}

fn yes() -> bool {
    true
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn one() -> u32 {
    1
}
fn default_drain() -> Millis {
    Millis(30_000)
}

/// Which requests a component gets: the longest matching prefix wins, then the named host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Only requests for this host; any when absent.
    #[serde(default)]
    pub host: Option<String>,
    /// Path prefix, whole segments.
    pub path: String,
}

/// Probes of a process that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Path that answers 2xx when ready.
    pub path: String,
    /// Time between two probes.
    pub interval: Millis,
    /// Time in which a probe has to be answered.
    pub timeout: Millis,
    /// Good probes in a row until it is ready.
    pub success_threshold: u32,
    /// Bad probes in a row until it is not ready any more.
    pub failure_threshold: u32,
    /// Most time from start to ready.
    pub start_timeout: Millis,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/health/ready".into(),
            interval: Millis(1_000),
            timeout: Millis(2_000),
            success_threshold: 1,
            failure_threshold: 3,
            start_timeout: Millis(60_000),
        }
    }
}

/// Resource limits of one process; unlimited when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Address space (cgroup memory where permitted).
    pub memory: Option<Bytes>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// Log files: one line per line, rotated by size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// Size at which a file is rotated.
    pub max_size: Bytes,
    /// Rotated files that are kept.
    pub keep: u32,
}

impl Default for Logs {
    fn default() -> Self {
        Self { max_size: Bytes(10 * 1024 * 1024), keep: 5 }
    }
}

/// Restart with exponential back-off, and what counts as a crash loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// First pause; doubled after each failure.
    pub backoff: Millis,
    /// Longest pause.
    pub max_backoff: Millis,
    /// Unwanted ends within `window` that make a crash loop.
    pub crash_loop_failures: u32,
    /// See `crash_loop_failures`.
    pub crash_loop_window: Millis,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            backoff: Millis(500),
            max_backoff: Millis(30_000),
            crash_loop_failures: 3,
            crash_loop_window: Millis(60_000),
        }
    }
}

/// Commands that run inside the artifact with the component's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// Before anything is started; a failing one stops the release.
    pub pre_deploy: Option<Vec<String>>,
    /// Against the ready new revision (`$PORT` is its port) before traffic is shifted.
    pub smoke_test: Option<Vec<String>>,
    /// After all traffic is shifted; a failing one turns the release back.
    pub post_deploy: Option<Vec<String>>,
    /// Most time that one hook may take.
    pub timeout: HookTimeout,
}

/// Time limit of a hook; five minutes unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HookTimeout(pub Millis);

impl Default for HookTimeout {
    fn default() -> Self {
        Self(Millis(300_000))
    }
}
