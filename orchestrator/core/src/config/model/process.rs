//! What holds for each process of a component: probes, limits, logs, restarts and hooks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::units::{Bytes, Millis};

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
