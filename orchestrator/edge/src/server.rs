//! The edge as a process: threads, the table in force, draining.

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;
use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::control;
use crate::error::EdgeError;
use crate::listen::{Tls, accept};
pub use crate::log::AccessLine;
use crate::log::AccessLog;
use crate::metrics::{Counters, Metrics, Status};
use crate::pool::Pool;
use crate::table::{ListenerKind, Table};

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
    connections: watch::Sender<usize>,
    /// Set when what is still open is to be dropped.
    ended: watch::Sender<bool>,
    log: Option<AccessLog>,
    table_file: PathBuf,
    /// One writer at a time.
    writing: Mutex<()>,
}

/// A table with what is looked up for each request.
pub struct Compiled {
    pub table: Table,
    counters: HashMap<String, Arc<Counters>>,
    cursor: AtomicUsize,
}

impl Compiled {
    fn new(table: Table, metrics: &Metrics) -> Self {
        let backends = table.routes.iter().flat_map(|route| {
            route
                .backends
                .iter()
                .map(|b| (b.revision.clone(), metrics.of(&b.revision, &route.component)))
        });
        let counters = backends.collect();
        Self { table, counters, cursor: AtomicUsize::new(0) }
    }

    pub fn counters(&self, revision: &str) -> Arc<Counters> {
        self.counters[revision].clone()
    }

    /// The replicas, each time beginning with another one.
    pub fn rotation(&self, addresses: &[String]) -> Vec<String> {
        match addresses {
            [one] => vec![one.clone()],
            many => {
                let mut all = many.to_vec();
                let by = self.cursor.fetch_add(1, Ordering::Relaxed) % many.len().max(1);
                all.rotate_left(by);
                all
            }
        }
    }
}

impl Shared {
    pub fn compiled(&self) -> Guard<Arc<Compiled>> {
        self.table.load()
    }

    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub fn access_line(&self, request: &Request<Incoming>, id: &HeaderValue) -> Option<AccessLine> {
        self.log.as_ref().map(|log| log.line(request, id))
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
            let text =
                format!("generation {generation} is not newer than {}", now.table.generation);
            return Err(EdgeError::Refused(text));
        }
        write_table(&self.table_file, &table)?;
        drop(now);
        let old = self.table.swap(Arc::new(Compiled::new(table, &self.metrics)));
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

/// Counts a client's connection while it lives.
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
    let shared = Arc::new(Shared {
        table: ArcSwap::from_pointee(Compiled::new(table.clone(), &metrics)),
        metrics,
        draining: watch::Sender::new(false),
        connections: watch::Sender::new(0),
        ended: watch::Sender::new(false),
        log: options.access_log.as_deref().map(AccessLog::open).transpose()?,
        table_file: options.table_file,
        writing: Mutex::new(()),
    });
    let mut sockets = Vec::new();
    for (address, socket) in options.listeners {
        socket.set_nonblocking(true).map_err(EdgeError::io(&address))?;
        let known = table.listeners.iter().find(|l| l.address == address);
        let kind = known.map_or(ListenerKind::Traffic, |l| l.kind);
        let tls = known.and_then(|l| l.tls.as_ref()).map(Tls::load).transpose()?.map(Arc::new);
        sockets.push((socket, kind, tls));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::new();
    for _ in 0..threads {
        let mut own = Vec::new();
        for (socket, kind, tls) in &sockets {
            if *kind == ListenerKind::Traffic {
                own.push((socket.try_clone().map_err(EdgeError::io("a listener"))?, tls.clone()));
            }
        }
        let shared = shared.clone();
        workers.push(std::thread::spawn(move || worker(shared, own)));
    }
    let metrics_sockets = sockets.into_iter().filter(|s| s.1 == ListenerKind::Metrics).map(|s| s.0);
    control::serve(&shared, options.control, metrics_sockets.collect(), options.drain_limit)?;
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a worker thread of the edge panicked");
        }
    }
    Ok(())
}

/// One thread: its own connections to clients and to components.
fn worker(shared: Arc<Shared>, sockets: Vec<(TcpListener, Option<Arc<Tls>>)>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs no more than an epoll descriptor");
    let local = tokio::task::LocalSet::new();
    let mut ended = shared.ended.subscribe();
    local.block_on(&runtime, async {
        let pool = Pool::default();
        for (socket, tls) in sockets {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(listener) => {
                    tokio::task::spawn_local(accept(listener, tls, shared.clone(), pool.clone()));
                }
                Err(error) => tracing::error!(%error, "cannot listen"),
            }
        }
        let sweeping = pool.clone();
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                sweeping.sweep();
            }
        });
        let _ = ended.wait_for(|ended| *ended).await;
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
    shared.ended.send_replace(true);
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

/// Whole or not at all: a successor that starts at this moment reads the old or the new one.
fn write_table(file: &Path, table: &Table) -> Result<(), EdgeError> {
    let temporary = file.with_extension("new");
    let json = serde_json::to_vec(table).expect("plain values have a JSON form");
    std::fs::write(&temporary, json)
        .and_then(|()| std::fs::rename(&temporary, file))
        .map_err(EdgeError::io(file.display().to_string()))
}
