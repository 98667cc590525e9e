//! The edge as one of our processes: sockets from the keeper, and back to the next keeper.

use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use neuroca_deploy_edge::{EdgeError, EdgeOptions};

use crate::keeper;
use crate::layout::StateDir;

/// What the keeper gives an edge.
pub(crate) struct Given {
    pub number: u64,
    pub drain: Duration,
    /// Descriptors by address.
    pub sockets: Vec<(String, RawFd)>,
}

/// Serves until told to drain, and then until that is done.
pub(crate) fn run(state: &StateDir, given: Given) -> Result<(), EdgeError> {
    let io = |what: &str, source| EdgeError::Io { what: what.into(), source };
    let mut listeners = Vec::new();
    let mut spare = Vec::new();
    for (address, fd) in given.sockets {
        // SAFETY: the keeper passed it on to this process, and nobody else here has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)
            .map_err(|e| io(&address, e.into()))?;
        spare.push((address.clone(), socket.try_clone().map_err(|e| io(&address, e))?));
        listeners.push((address, TcpListener::from(socket)));
    }
    let bind = |path: std::path::PathBuf| {
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(&path).map_err(|e| io(&path.display().to_string(), e))
    };
    let control = bind(state.edge_socket(given.number))?;
    let handover = bind(state.edge_handover(given.number))?;
    std::thread::spawn(move || {
        for stream in handover.incoming().flatten() {
            if let Err(error) = keeper::hand_over(&stream, &spare) {
                tracing::debug!(%error, "nobody took the sockets");
            }
        }
    });
    neuroca_deploy_edge::run(EdgeOptions {
        listeners,
        control,
        table_file: state.edge_table(),
        access_log: Some(state.access_log()),
        drain_limit: given.drain,
    })
}
