//! The access log: one JSON line per request, written by a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use hyper::Request;
use hyper::body::Incoming;
use serde::Serialize;

use crate::error::EdgeError;
use crate::metrics::Ended;

/// Lines that may wait for the disk. A request never waits: past this, lines are dropped.
const WAITING: usize = 16 * 1024;
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// The file is begun anew at this size; one old file is kept.
const ROTATE_AT: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
pub struct AccessLog(SyncSender<Entry>);

/// A line that is written when its request has ended.
pub struct AccessLine {
    log: AccessLog,
    entry: Entry,
}

#[derive(Serialize)]
struct Entry {
    at_ms: u64,
    id: String,
    method: String,
    path: String,
    revision: String,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'static str,
    took_us: u64,
}

impl AccessLog {
    pub fn open(path: &Path) -> Result<Self, EdgeError> {
        let file = append(path).map_err(EdgeError::io(path.display().to_string()))?;
        let (sender, receiver) = sync_channel(WAITING);
        let path = path.to_path_buf();
        std::thread::spawn(move || write(&path, file, &receiver));
        Ok(Self(sender))
    }

    /// The path only: a query may hold what does not belong in a log.
    pub fn line(&self, request: &Request<Incoming>, id: &HeaderValue) -> AccessLine {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let entry = Entry {
            at_ms: now.map_or(0, |time| time.as_millis() as u64),
            id: id.to_str().unwrap_or_default().into(),
            method: request.method().as_str().into(),
            path: request.uri().path().into(),
            revision: String::new(),
            status: 0,
            error: "",
            took_us: 0,
        };
        AccessLine { log: self.clone(), entry }
    }
}

impl AccessLine {
    pub fn revision(mut self, revision: &str) -> Self {
        self.entry.revision = revision.into();
        self
    }

    pub fn write(mut self, ended: Ended, took: Duration) {
        (self.entry.status, self.entry.error) = match ended {
            Ended::Status(status) => (status, ""),
            Ended::ConnectError => (502, "connect"),
            Ended::Timeout => (504, "timeout"),
            Ended::Aborted => (0, "aborted"),
        };
        self.entry.took_us = took.as_micros() as u64;
        let _ = self.log.0.try_send(self.entry);
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write(path: &Path, file: File, lines: &Receiver<Entry>) {
    let mut size = file.metadata().map_or(0, |m| m.len());
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    loop {
        match lines.recv_timeout(FLUSH_EVERY) {
            Ok(entry) => {
                let mut line = serde_json::to_vec(&entry).expect("plain values have a JSON form");
                line.push(b'\n');
                size += line.len() as u64;
                // A full disk must not end traffic; the lines are lost.
                let _ = out.write_all(&line);
            }
            Err(RecvTimeoutError::Timeout) => drop(out.flush()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if size >= ROTATE_AT {
            let _ = out.flush();
            let _ = std::fs::rename(path, path.with_extension("log.1"));
            if let Ok(file) = append(path) {
                out = BufWriter::with_capacity(64 * 1024, file);
                size = 0;
            }
        }
    }
}
