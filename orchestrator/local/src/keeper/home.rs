//! What becomes of processes whose state directory was removed: nobody can find or stop them any more, so
//! they end by themselves instead of holding an address for ever.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Keeper, KeeperFailed, end};
use crate::process_id::ProcessId;

/// Beyond the drain limit, until what is left is killed.
const ENDS: Duration = Duration::from_secs(5);

impl Keeper {
    /// Ends everything and fails when the state directory was removed. By process alone: files and sockets
    /// at its path may be somebody else's by now.
    pub(super) fn look_after_home(&mut self) -> Result<(), KeeperFailed> {
        if !self.home.is_lost(&self.state) {
            return Ok(());
        }
        tracing::error!("{} was removed; ending everything", self.state.path().display());
        self.sockets.keep_only(&[]);
        let limit =
            self.listen.as_ref().map_or(Duration::ZERO, |l| Duration::from_millis(l.drain_ms));
        let until = Instant::now() + limit + ENDS;
        for edge in self.edges.drain(..) {
            edge.id.signal(Signal::TERM);
        }
        // The shims are this process's children once their parent is gone.
        if let Some(supervisor) = self.supervisor.id.take() {
            end(supervisor, Signal::TERM, Duration::from_secs(2));
        }
        loop {
            let left = children();
            let signal = if Instant::now() < until { Signal::TERM } else { Signal::KILL };
            for child in &left {
                child.signal(signal);
                child.reap();
            }
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let what = self.state.path().display().to_string();
        Err(KeeperFailed { what, error: io::Error::other("it was removed while it was in use") })
    }
}

/// The processes whose parent this one is.
fn children() -> Vec<ProcessId> {
    let own = std::process::id().to_string();
    let Ok(listing) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = listing.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        after.split(' ').nth(1) == Some(own.as_str())
    })
    .filter_map(ProcessId::of)
    .collect()
}
