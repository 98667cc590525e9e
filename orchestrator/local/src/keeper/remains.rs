//! What runs though nobody looks after it: components whose supervisor cannot come up, processes whose
//! keeper was killed.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::record;
use crate::layout::StateDir;
use crate::shim;

/// Beyond the drain limit, until a shim is killed with what it holds.
const SHIM_ENDS: Duration = Duration::from_secs(5);

/// Whether an edge or a component is left.
pub(crate) fn are_there(state: &StateDir) -> bool {
    record::read(state).edges.iter().any(|(_, id)| id.is_alive()) || !shim::held(state).is_empty()
}

/// Stops the components through their shims.
pub(super) fn stop(state: &StateDir, drain: Duration) -> io::Result<()> {
    let held = shim::held(state);
    for report in &held {
        report.shim.signal(Signal::TERM);
    }
    let until = Instant::now() + drain + SHIM_ENDS;
    for report in &held {
        while report.shim.is_alive() && Instant::now() < until {
            report.shim.reap();
            std::thread::sleep(Duration::from_millis(5));
        }
        if report.shim.signal(Signal::KILL)
            && let Some(process) = report.process
        {
            tracing::warn!(pid = process.pid, "killed: it did not end in time");
            process.signal_group(Signal::KILL);
        }
    }
    match shim::held(state).len() {
        0 => Ok(()),
        n => Err(io::Error::other(format!("{n} components are still running"))),
    }
}
