//! What is known of one replica.

use neuroca_deploy_core::observed::Trouble;

use super::publish;
use crate::layout::StateDir;
use crate::shim;

/// What is known of a replica.
#[derive(Default, Clone)]
pub(crate) struct Status {
    pub port: Option<u16>,
    pub alive: bool,
    pub ready: bool,
    /// Since its process was started.
    pub was_ready: bool,
    /// Whether this supervisor has asked it yet, or seen it end.
    pub known: bool,
    /// It gets no new requests and is about to be stopped.
    pub leaving: bool,
    /// When its process ended unasked; milliseconds since boot.
    pub crashes: Vec<u64>,
    pub trouble: Option<Trouble>,
}

impl Status {
    /// Whether it ended unasked and waits to be started again.
    pub fn rests(&self) -> bool {
        !self.alive && !self.crashes.is_empty()
    }

    /// Of an instance that runs already, as an earlier supervisor left it. One that the edge has in
    /// its table was ready a moment ago; the next probes tell whether it still is.
    pub fn found(state: &StateDir, instance: &str) -> Self {
        let held = shim::is_held(state, instance);
        let report = shim::report(state, instance).filter(|r| held && r.shim.is_alive());
        let Some(report) = report.filter(|r| r.ended.is_none() && r.process.is_some()) else {
            return Self::default();
        };
        let ready = report.port.is_none_or(|port| publish::is_in_table(state, &address(port)));
        let (alive, was_ready, known) = (true, ready, ready);
        Self { port: report.port, alive, ready, was_ready, known, ..Self::default() }
    }
}

/// Where the edge finds a replica.
pub(crate) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
