//! What the edge's threads share: the table in force, the counts, how far it is drained.
//!
//! It knows no thread and accepts nothing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::compiled::Compiled;
use crate::error::EdgeError;
use crate::log::Lines;
use crate::metrics::{Metrics, Status};
use crate::mirror::Mirroring;
use crate::pool::Pool;
use crate::table::Table;

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
    /// What a new edge begins with: the table of its predecessor, if there was one.
    pub(crate) fn start(table_file: PathBuf) -> Result<Arc<Self>, EdgeError> {
        let metrics = Metrics::default();
        let table = read_table(&table_file)?;
        Ok(Arc::new(Self {
            table: ArcSwap::from_pointee(Compiled::new(table, &metrics, None)),
            metrics,
            draining: watch::Sender::new(false),
            is_draining: AtomicBool::new(false),
            connections: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            table_file,
            writing: Mutex::new(()),
        }))
    }

    /// Drops what is still open.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Tells when that is to be done.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

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
