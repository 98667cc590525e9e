//! Processes by pid and start time: a pid alone may have been given to somebody else.

use std::io;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

/// One process, for as long as the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks after boot; 0 where the system does not tell.
    pub start: u64,
}

impl ProcessId {
    /// The process that has this pid now, unless it is gone or only waits to be reaped.
    pub fn of(pid: i32) -> Option<Self> {
        let start = start_of(pid)?;
        Some(Self { pid, start })
    }

    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id() as i32;
        Self { pid, start: start_of(pid).unwrap_or(0) }
    }

    pub fn is_alive(&self) -> bool {
        start_of(self.pid) == Some(self.start)
    }

    /// Whether it was stopped by a signal and waits for SIGCONT.
    pub fn is_stopped(&self) -> bool {
        stat_of(self.pid) == Some((b'T', self.start))
    }

    /// Sends a signal; false when the process is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        self.is_alive() && Pid::from_raw(self.pid).is_some_and(|p| kill_process(p, signal).is_ok())
    }

    /// Sends a signal to the group that this process leads.
    pub fn signal_group(&self, signal: Signal) -> bool {
        Pid::from_raw(self.pid).is_some_and(|p| kill_process_group(p, signal).is_ok())
    }

    /// Returns when the process has ended. If it is a child of this process it is reaped.
    pub async fn ended(&self) {
        if self.is_alive()
            && let Err(error) = self.wait_for_end().await
        {
            tracing::debug!(%error, pid = self.pid, "watching a process by asking for it");
            while self.is_alive() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        self.reap();
    }

    /// Takes the exit status of a child, so that it does not stay as a zombie.
    pub fn reap(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }

    #[cfg(target_os = "linux")]
    async fn wait_for_end(&self) -> io::Result<()> {
        use rustix::process::{PidfdFlags, pidfd_open};
        use tokio::io::{Interest, unix::AsyncFd};
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            // SAFETY: the descriptor is owned by what is registered and closed after it.
            Ok(fd) => unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? },
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // Between the look at the start time and the opening the pid may have been reused.
        if self.is_alive() {
            let _ = fd.readable().await?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    async fn wait_for_end(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn start_of(pid: i32) -> Option<u64> {
    stat_of(pid).map(|(_, start)| start)
}

/// The state's letter and the start time of a process that is not just a zombie.
#[cfg(target_os = "linux")]
fn stat_of(pid: i32) -> Option<(u8, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may contain anything, these too.
    let after = &stat[stat.rfind(')')? + 2..];
    let mut fields = after.split_ascii_whitespace();
    match fields.next()?.bytes().next()? {
        b'Z' | b'X' => None,
        // State is field 3, so the start time, field 22, is the 19th after it.
        state => Some((state, fields.nth(18)?.parse().ok()?)),
    }
}

#[cfg(not(target_os = "linux"))]
fn stat_of(pid: i32) -> Option<(u8, u64)> {
    let pid = Pid::from_raw(pid)?;
    rustix::process::test_kill_process(pid).is_ok().then_some((b'R', 0))
}

/// Identifies this boot of the machine.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_string())
        .unwrap_or_default()
}

/// Milliseconds since boot, sleep included: no clock that anybody sets.
pub fn boot_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(CLOCK, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Milliseconds since the Unix epoch.
pub fn wall_ms() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaped_process_is_gone_and_its_pid_alone_does_not_bring_it_back() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleep runs");
        let id = ProcessId::of(child.id() as i32).expect("alive");
        assert!(id.is_alive());
        assert!(!ProcessId { start: id.start + 1, ..id }.is_alive());
        assert!(!id.is_stopped());
        assert!(id.signal(Signal::STOP));
        while !id.is_stopped() {
            std::thread::yield_now();
        }
        assert!(id.is_alive(), "stopped is not gone");
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(!id.is_alive());
    }
}
