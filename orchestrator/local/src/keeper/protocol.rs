//! What is said to the keeper and what it says: one line of JSON each way.

use std::path::PathBuf;
use std::time::Duration;

use neuroca_deploy_edge::Listener;
use serde::{Deserialize, Serialize};

/// What the edge is to listen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listen {
    pub listeners: Vec<Listener>,
    /// Most time that an edge which is replaced has for what is in flight.
    pub drain_ms: u64,
}

impl Listen {
    /// The limit that an edge is started with. Clients on idle connections get some seconds to
    /// learn that theirs ends, however short the components' own limit is.
    pub fn drain_limit(&self) -> Duration {
        const AT_LEAST: Duration = Duration::from_secs(6);
        Duration::from_millis(self.drain_ms).max(AT_LEAST)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Binds the addresses, so that nobody else can; nobody is let in yet.
    Reserve {
        listeners: Vec<Listener>,
    },
    /// Brings the edge to these listeners; answers when it serves on them.
    Listen {
        listen: Listen,
    },
    Status,
    /// Becomes the program at `exe`, and replaces supervisor and edge by it.
    Upgrade {
        exe: PathBuf,
    },
    /// Ends, and nothing else: somebody is about to be the keeper instead. Refused by one that a
    /// service manager would only start again.
    Leave,
    /// Drains the edge, stops all components, ends everything.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done,
    Refused(String),
    Status(KeeperStatus),
}

/// The processes of one environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeeperStatus {
    pub version: String,
    pub upgrades: u64,
    pub keeper: ProcessStatus,
    pub supervisor: Option<ProcessStatus>,
    /// The last one serves, the others drain.
    pub edges: Vec<ProcessStatus>,
    /// Addresses that are held.
    pub addresses: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    pub pid: i32,
    pub resident_kib: u64,
}

impl ProcessStatus {
    pub(crate) fn of(pid: i32) -> Self {
        Self { pid, resident_kib: resident_kib(pid).unwrap_or(0) }
    }
}

fn resident_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
