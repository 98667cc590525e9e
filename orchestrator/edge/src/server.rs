//! The edge as a process: threads, the table in force, draining.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::compiled::Compiled;
use crate::control;
use crate::error::EdgeError;
use crate::listen::accept;
use crate::log::{AccessLog, FLUSH_EVERY, Lines};
use crate::metrics::{Metrics, Status};
use crate::mirror::Mirroring;
use crate::pool::Pool;
use crate::table::Table;

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

/// What all threads share.
pub struct Shared {
    table: ArcSwap<Compiled>,
    pub(crate) metrics: Metrics,
    draining: watch::Sender<bool>,
    /// The same, for each request to look at.
    is_draining: AtomicBool,
    connections: watch::Sender<usize>,
    /// Set when what is still open is to be dropped.
    ended: watch::Sender<bool>,
    table_file: PathBuf,
    /// One writer at a time.
    writing: Mutex<()>,
}

/// What belongs to one thread.
pub struct Worker {
    pub shared: Arc<Shared>,
    pub pool: Pool,
    pub mirroring: Mirroring,
    pub lines: Option<Rc<Lines>>,
}

impl Shared {
    pub fn compiled(&self) -> Guard<Arc<Compiled>> {
        self.table.load()
    }

    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.draining.send_replace(true);
    }

    pub fn open_connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.send_modify(|n| *n += 1);
        OpenConnection(self.clone())
    }

    /// Puts a table into force. When this returns no request is being routed by the old one any
    /// more, and each that was is counted as in flight.
    pub fn put(&self, table: Table) -> Result<u64, EdgeError> {
        let _one = self.writing.lock().expect("no panic while held");
        let generation = table.generation;
        let now = self.table.load_full();
        if now.table == table {
            return Ok(generation);
        }
        if generation <= now.table.generation {
            let current = now.table.generation;
            let text = format!("generation {generation} is not newer than {current}");
            return Err(EdgeError::Refused(text));
        }
        write_table(&self.table_file, &table)?;
        let compiled = Arc::new(Compiled::new(table, &self.metrics, Some(&now)));
        drop(now);
        let old = self.table.swap(compiled);
        while Arc::strong_count(&old) > 1 {
            std::thread::yield_now();
        }
        Ok(generation)
    }

    pub fn status(&self) -> Status {
        Status {
            generation: self.compiled().table.generation,
            pid: std::process::id(),
            draining: self.is_draining(),
            revisions: self.metrics.snapshot(),
        }
    }
}

/// Keeps a draining edge waiting while it lives: a client's connection, or who may accept one.
pub struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.send_modify(|n| *n -= 1);
    }
}

/// Serves until SIGTERM or a wish to drain, then until what is in flight has ended.
pub fn run(options: EdgeOptions) -> Result<(), EdgeError> {
    let metrics = Metrics::default();
    let table = read_table(&options.table_file)?;
    let log = options.access_log.as_deref().map(AccessLog::open).transpose()?;
    let shared = Arc::new(Shared {
        table: ArcSwap::from_pointee(Compiled::new(table, &metrics, None)),
        metrics,
        draining: watch::Sender::new(false),
        is_draining: AtomicBool::new(false),
        connections: watch::Sender::new(0),
        ended: watch::Sender::new(false),
        table_file: options.table_file,
        writing: Mutex::new(()),
    });
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
    shared.ended.send_replace(true);
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
    let mut ended = shared.ended.subscribe();
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

/// Waits for a wish to drain, then for all connections to end, at most `limit`.
pub(crate) async fn until_drained(shared: &Shared, limit: Duration) {
    let mut draining = shared.draining();
    let _ = draining.wait_for(|draining| *draining).await;
    let mut open = shared.connections.subscribe();
    let started = Instant::now();
    let none = open.wait_for(|open| *open == 0);
    if tokio::time::timeout(limit, none).await.is_err() {
        let left = *shared.connections.borrow();
        tracing::warn!(left, waited = ?started.elapsed(), "ending connections at the drain limit");
    }
}

fn read_table(file: &Path) -> Result<Table, EdgeError> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            EdgeError::Refused(format!("{} is not a table: {error}", file.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Table::default()),
        Err(source) => Err(EdgeError::Io { what: file.display().to_string(), source }),
    }
}

/// Whole or not at all, also after a power cut: a successor reads the old or the new one.
fn write_table(file: &Path, table: &Table) -> Result<(), EdgeError> {
    let temporary = file.with_extension("new");
    let json = serde_json::to_vec(table).expect("plain values have a JSON form");
    File::create(&temporary)
        .and_then(|mut out| out.write_all(&json).and_then(|()| out.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, file))
        .map_err(EdgeError::io(file.display().to_string()))
}
