//! The keeper: holds the listening sockets, starts supervisor and edge and starts them again.
//!
//! It is small and synchronous so that it has no reason to die. If it is killed the edge goes on,
//! and the next keeper takes the sockets over from it. It knows no components and no traffic.

pub(crate) mod client;
mod edge;
mod home;
mod protocol;
mod pulse;
mod record;
mod remains;
mod serve;
mod sockets;
mod start;

use std::fs::File;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

pub use protocol::{KeeperStatus, ProcessStatus};
pub(crate) use remains::are_there as has_remains;
pub(crate) use sockets::send as hand_over;
pub(crate) use start::{is_there, run};

use crate::home::Home;
use crate::layout::StateDir;
use crate::process_id::ProcessId;
use edge::EdgeProcess;
use pulse::Pulse;
use sockets::Sockets;

/// Pause before something that has just died is started again; the second time in a row it is
/// longer, so that what cannot start does not eat the machine.
const RESTART: Duration = Duration::from_millis(50);
const RESTART_AGAIN: Duration = Duration::from_millis(500);
/// A process that lived so long did not fail to start.
const STARTED: Duration = Duration::from_secs(5);
/// How often processes that are not our children are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no keeper.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct KeeperFailed {
    pub what: String,
    pub error: std::io::Error,
}

pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> KeeperFailed {
    let what = what.into();
    move |error| KeeperFailed { what, error }
}

pub(crate) struct Keeper {
    state: StateDir,
    lock: File,
    control: UnixListener,
    api: UnixListener,
    wake: UnixStream,
    terminate: std::sync::Arc<std::sync::atomic::AtomicBool>,
    sockets: Sockets,
    /// What the edge is to listen on; nothing before the first release.
    listen: Option<protocol::Listen>,
    supervisor: Supervised,
    /// The last one serves, the others drain.
    edges: Vec<EdgeProcess>,
    edge_due: Due,
    next_edge: u64,
    upgrades: u64,
    home: Home,
    /// Whether a service manager started it and starts it again; see `local supervise`.
    service: bool,
    ending: bool,
}

/// A process that is to be there.
#[derive(Default)]
struct Supervised {
    id: Option<ProcessId>,
    due: Due,
    pulse: Pulse,
}

/// When something that is gone is started again.
#[derive(Default)]
struct Due {
    started: Option<Instant>,
    at: Option<Instant>,
}

impl Due {
    fn started(&mut self) {
        *self = Self { started: Some(Instant::now()), at: None };
    }

    fn gone(&mut self) {
        let long = self.started.is_none_or(|at| at.elapsed() >= STARTED);
        self.at = Some(Instant::now() + if long { RESTART } else { RESTART_AGAIN });
    }

    fn is_now(&self) -> bool {
        self.at.is_none_or(|at| Instant::now() >= at)
    }
}

impl Keeper {
    /// Runs until it is told to stop, or is signalled.
    fn run(mut self) -> Result<(), KeeperFailed> {
        self.control.set_nonblocking(true).map_err(io("the keeper's socket"))?;
        while !self.ending {
            self.reap();
            self.feel_pulses();
            self.look_after_home()?;
            self.look_after_supervisor();
            self.look_after_edge();
            self.wait();
            if self.terminate.load(std::sync::atomic::Ordering::SeqCst) {
                tracing::info!("told to stop");
                self.stop_everything();
            }
            while let Ok((stream, _)) = self.control.accept() {
                self.answer(stream);
            }
        }
        Ok(())
    }

    /// Waits for a request, a signal, or the time to look again.
    fn wait(&mut self) {
        use std::io::Read;
        let next = [self.supervisor.due.at, self.edge_due.at].into_iter().flatten().min();
        let due = next.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK));
        let mut fds =
            [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: due.as_secs() as i64,
            tv_nsec: i64::from(due.subsec_nanos().max(1_000_000)),
        };
        let _ = poll(&mut fds, Some(&timeout));
        let mut drop = [0; 64];
        while matches!((&self.wake).read(&mut drop), Ok(n) if n > 0) {}
    }

    /// Takes the exit status of all that ended, also of what others left behind.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            tracing::debug!(pid = pid.as_raw_nonzero().get(), ?status, "ended");
        }
        let gone = self.supervisor.id.is_some_and(|id| !id.is_alive());
        if gone {
            tracing::warn!("the supervisor is gone; starting it again");
            self.supervisor.id = None;
            self.supervisor.due.gone();
        }
        let serving = self.edges.last().map(|e| e.id);
        let state = self.state.clone();
        self.edges.retain(|edge| {
            let alive = edge.id.is_alive();
            if !alive {
                edge.remove_sockets(&state);
            }
            alive
        });
        if serving.is_some() && self.edges.last().map(|e| e.id) != serving {
            tracing::warn!("the edge is gone; starting it again");
            self.edge_due.gone();
        }
        if gone || serving != self.edges.last().map(|e| e.id) {
            self.remember();
        }
    }

    fn look_after_supervisor(&mut self) {
        if self.supervisor.id.is_none() && self.supervisor.due.is_now() {
            self.start_supervisor();
        }
    }

    fn look_after_edge(&mut self) {
        let serving = self.edges.last().is_some_and(|e| !e.draining);
        if serving || self.listen.is_none() || !self.edge_due.is_now() {
            return;
        }
        if let Err(why) = self.start_edge() {
            tracing::error!(%why, "the edge cannot be started");
            self.edge_due.gone();
        }
    }
}

/// Waits for a process that was told to end; kills it when it does not.
fn end(id: ProcessId, signal: Signal, patience: Duration) {
    id.signal(signal);
    let until = Instant::now() + patience;
    while id.is_alive() && Instant::now() < until {
        id.reap();
        std::thread::sleep(Duration::from_millis(5));
    }
    if id.signal(Signal::KILL) {
        tracing::warn!(pid = id.pid, "killed: it did not end in time");
        while id.is_alive() {
            id.reap();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    id.reap();
}

/// Signals that wake the loop, and whether one asks for the end.
fn signals() -> std::io::Result<(UnixStream, std::sync::Arc<std::sync::atomic::AtomicBool>)> {
    let (wake, write) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    let terminate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, terminate.clone())?;
    }
    for signal in [SIGCHLD, SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok((wake, terminate))
}
