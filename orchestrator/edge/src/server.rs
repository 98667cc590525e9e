//! The edge as a process: its threads, from start to the end of draining.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::control;
use crate::error::EdgeError;
use crate::listen::accept;
use crate::log::{AccessLog, FLUSH_EVERY, Lines};
use crate::mirror::Mirroring;
use crate::pool::Pool;
use crate::shared::{OpenConnection, Shared, Worker};

/// What the edge is started with.
pub struct EdgeOptions {
    /// Bound sockets, by their address in the table.
    pub listeners: Vec<(String, TcpListener)>,
    pub control: UnixListener,
    /// Read at start, written whenever a table is put.
    pub table_file: PathBuf,
    pub access_log: Option<PathBuf>,
    /// Most time between the wish to stop and the end.
    pub drain_limit: Duration,
}

/// Serves until SIGTERM or a wish to drain, then until what is in flight has ended.
pub fn run(options: EdgeOptions) -> Result<(), EdgeError> {
    let shared = Shared::start(options.table_file)?;
    let log = options.access_log.as_deref().map(AccessLog::open).transpose()?;
    for (address, socket) in &options.listeners {
        socket.set_nonblocking(true).map_err(EdgeError::io(address))?;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::new();
    for number in 0..threads {
        let mut sockets = Vec::new();
        for (address, socket) in &options.listeners {
            let own = socket.try_clone().map_err(EdgeError::io(address))?;
            sockets.push((address.clone(), own, shared.open_connection()));
        }
        let (shared, lines) = (shared.clone(), log.as_ref().map(AccessLog::sender));
        let worker = std::thread::Builder::new()
            .name(format!("edge {number}"))
            .spawn(move || worker(shared, sockets, lines))
            .map_err(EdgeError::io("a worker thread of the edge"))?;
        workers.push(worker);
    }
    drop(options.listeners);
    let served = control::serve(&shared, options.control, options.drain_limit);
    shared.end();
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a worker thread of the edge panicked");
        }
    }
    if let Some(log) = log {
        log.finish();
    }
    served
}

/// One thread: its own connections to clients and to components.
fn worker(
    shared: Arc<Shared>,
    sockets: Vec<(String, TcpListener, OpenConnection)>,
    lines: Option<SyncSender<Vec<u8>>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs no more than an epoll descriptor");
    let local = tokio::task::LocalSet::new();
    let mut ended = shared.ended();
    local.block_on(&runtime, async {
        let worker = Rc::new(Worker {
            shared,
            pool: Pool::default(),
            mirroring: Mirroring::default(),
            lines: lines.map(Lines::new),
        });
        for (address, socket, accepting) in sockets {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(listener) => {
                    let accepting = accept(address, listener, worker.clone(), accepting);
                    tokio::task::spawn_local(accepting);
                }
                Err(error) => tracing::error!(%error, "cannot listen"),
            }
        }
        let mut tick = tokio::time::interval(FLUSH_EVERY);
        let housekeeping = async {
            loop {
                tick.tick().await;
                worker.pool.sweep();
                if let Some(lines) = &worker.lines {
                    lines.flush();
                }
            }
        };
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => {}
            () = housekeeping => {}
        }
    });
}
