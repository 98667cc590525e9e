//! A component: what is run, with which environment, and which requests it gets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::units::Millis;
use super::kubernetes::ComponentOnKubernetes;
use super::process::{Health, Hooks, Limits, Logs, Restart};
use super::{is_default, yes};

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
