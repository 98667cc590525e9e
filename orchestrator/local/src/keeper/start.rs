//! How a keeper begins: the first one, one after another was killed, one that was upgraded.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;

use super::edge::EdgeProcess;
use super::record::{self, Handed};
use super::sockets::{self, Sockets};
use super::{Due, Keeper, KeeperFailed, Supervised, end, io as failed, signals};
use crate::home::Home;
use crate::layout::StateDir;
use crate::process_id::ProcessId;
use crate::spawn::{own_executable, pass_on};

/// A supervisor ends within it; one that does not may be killed at any time anyway.
const SUPERVISOR_ENDS: Duration = Duration::from_secs(2);

/// Runs the keeper. Returns at once, with false, when there is one already.
pub(crate) fn run(state: StateDir, resumed: bool, service: bool) -> Result<bool, KeeperFailed> {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::debug!(%error, "what is left behind goes to init");
    }
    let keeper = if resumed { resume(state)? } else { begin(state)? };
    match keeper {
        Some(keeper) => Keeper { service, ..keeper }.run().map(|()| true),
        None => Ok(false),
    }
}

/// Whether a keeper lives, also one that is about to end.
pub(crate) fn is_there(state: &StateDir) -> bool {
    let Ok(lock) = File::open(state.keeper_lock()) else { return false };
    flock(lock.as_fd(), FlockOperation::NonBlockingLockShared).is_err()
}

fn begin(state: StateDir) -> Result<Option<Keeper>, KeeperFailed> {
    let path = state.keeper_lock();
    let lock = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed(path.display().to_string()))?;
    if flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
        tracing::info!("another keeper is running");
        return Ok(None);
    }
    let record = record::read(&state);
    let mut sockets = Sockets::default();
    let mut edges = Vec::new();
    for (number, id) in record.edges.into_iter().filter(|(_, id)| id.is_alive()) {
        match sockets::receive(&state.edge_handover(number)) {
            Ok(taken) => {
                tracing::info!(number, sockets = taken.len(), "took over the sockets of the edge");
                for (address, socket) in taken {
                    sockets.adopt(&address, socket);
                }
            }
            Err(error) => tracing::warn!(number, %error, "the edge did not hand its sockets over"),
        }
        edges.push(EdgeProcess::new(number, id, false));
    }
    // All but the last one were draining when the former keeper was there.
    if let Some((_, draining)) = edges.split_last_mut() {
        for edge in draining {
            edge.draining = true;
        }
    }
    if let Some(old) = record.supervisor.filter(ProcessId::is_alive) {
        end(old, Signal::TERM, SUPERVISOR_ENDS);
    }
    let control = bind(&state.keeper_socket())?;
    let api = bind(&state.supervisor_socket())?;
    new(state, lock, control, api, sockets, edges, record.upgrades).map(Some)
}

/// The program has changed; descriptors and children are those of the old one.
fn resume(state: StateDir) -> Result<Option<Keeper>, KeeperFailed> {
    let record = record::read(&state);
    let Some(handed) = record.handed else { return begin(state) };
    // SAFETY: the former program left these open for this one, and nobody else here has them.
    let own = |fd: RawFd| -> Result<OwnedFd, KeeperFailed> {
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|e| failed("a handed descriptor")(e.into()))?;
        Ok(fd)
    };
    let lock = File::from(own(handed.lock)?);
    let control = UnixListener::from(own(handed.control)?);
    let api = UnixListener::from(own(handed.api)?);
    let mut sockets = Sockets::default();
    for (address, fd) in handed.sockets {
        sockets.adopt(&address, own(fd)?);
    }
    let serving = record.edges.last().map(|(number, _)| *number);
    let edges: Vec<EdgeProcess> = record
        .edges
        .into_iter()
        .map(|(number, id)| EdgeProcess::new(number, id, Some(number) != serving))
        .collect();
    let mut keeper = new(state, lock, control, api, sockets, edges, record.upgrades + 1)?;
    if let Some(old) = record.supervisor {
        end(old, Signal::TERM, SUPERVISOR_ENDS);
    }
    keeper.start_supervisor();
    if let Err(why) = keeper.start_edge() {
        tracing::error!(%why, "the old edge goes on");
    }
    Ok(Some(keeper))
}

fn new(
    state: StateDir,
    lock: File,
    control: UnixListener,
    api: UnixListener,
    sockets: Sockets,
    edges: Vec<EdgeProcess>,
    upgrades: u64,
) -> Result<Keeper, KeeperFailed> {
    let (wake, terminate) = signals().map_err(failed("signals"))?;
    let listen = std::fs::read(state.edge_listen())
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let highest = state.edge_numbers().into_iter().max().unwrap_or(0);
    let next_edge = edges.iter().map(|e| e.number).max().unwrap_or(0).max(highest) + 1;
    Ok(Keeper {
        home: Home::of(&state),
        state,
        lock,
        control,
        api,
        wake,
        terminate,
        sockets,
        listen,
        supervisor: Supervised::default(),
        edges,
        // An edge that was taken over has served: if it dies now it did not fail to start.
        edge_due: Due::default(),
        next_edge,
        upgrades,
        service: false,
        ending: false,
    })
}

fn bind(path: &Path) -> Result<UnixListener, KeeperFailed> {
    // What a former keeper left; the lock says that there is none now.
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).map_err(failed(path.display().to_string()))
}

impl Keeper {
    pub(super) fn start_supervisor(&mut self) {
        self.supervisor.due.started();
        let spawned = own_executable().and_then(|exe| {
            let mut command = Command::new(exe);
            command.arg("__supervisor").arg("--state").arg(self.state.path());
            command.args(["--socket", &self.api.as_raw_fd().to_string()]);
            pass_on(&mut command, vec![self.api.as_raw_fd()]);
            command.stdin(Stdio::null()).spawn()
        });
        match spawned {
            Ok(child) => {
                self.supervisor.id = ProcessId::of(child.id() as i32);
                self.supervisor.pulse = Default::default();
            }
            Err(error) => tracing::error!(%error, "cannot start the supervisor"),
        }
        if self.supervisor.id.is_none() {
            self.supervisor.due.gone();
        }
        self.remember();
    }

    /// Becomes another program. Returns only when that is not possible.
    pub(super) fn become_program(&mut self, exe: &Path) -> io::Error {
        let handed = Handed {
            lock: self.lock.as_raw_fd(),
            control: self.control.as_raw_fd(),
            api: self.api.as_raw_fd(),
            sockets: self.sockets.descriptors().map(|(a, fd)| (a.to_string(), fd)).collect(),
        };
        let mut all = vec![handed.lock, handed.control, handed.api];
        all.extend(handed.sockets.iter().map(|(_, fd)| *fd));
        if let Err(error) = self.write_record(Some(handed)) {
            return error;
        }
        set_flags(&all, FdFlags::empty());
        let mut command = Command::new(exe);
        command.arg("__keeper").arg("--state").arg(self.state.path()).arg("--resume");
        if self.service {
            command.arg("--service");
        }
        let error = command.exec();
        set_flags(&all, FdFlags::CLOEXEC);
        self.remember();
        error
    }
}

fn set_flags(fds: &[RawFd], flags: FdFlags) {
    for fd in fds {
        // SAFETY: the keeper owns them, and they stay open during the call.
        let _ = fcntl_setfd(unsafe { BorrowedFd::borrow_raw(*fd) }, flags);
    }
}
