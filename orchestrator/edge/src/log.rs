//! The access log: one JSON line per request. Each worker thread writes lines into a buffer of its
//! own and hands over whole buffers: waking the writing thread for every line costs more than
//! proxying the request does.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method, Uri};

use crate::error::EdgeError;
use crate::metrics::Ended;

/// A worker hands over its lines when they are this many bytes, and at least this often.
const BUFFER: usize = 32 * 1024;
pub const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// Buffers that may wait for the disk. A request never waits: past this, lines are lost.
const WAITING: usize = 64;
/// The file is begun anew at this size; one old file is kept.
const ROTATE_AT: u64 = 64 * 1024 * 1024;

/// The file and the thread that writes it, which ends when the last [`Lines`] is dropped.
pub struct AccessLog {
    sender: SyncSender<Vec<u8>>,
    writer: JoinHandle<()>,
}

impl AccessLog {
    pub fn open(path: &Path) -> Result<Self, EdgeError> {
        let file = append(path).map_err(EdgeError::io(path.display().to_string()))?;
        let (sender, receiver) = sync_channel(WAITING);
        let path = path.to_path_buf();
        let writer = std::thread::spawn(move || write(path, file, &receiver, ROTATE_AT));
        Ok(Self { sender, writer })
    }

    pub fn sender(&self) -> SyncSender<Vec<u8>> {
        self.sender.clone()
    }

    /// Waits until everything that was handed over is in the file. All workers have ended before.
    pub fn finish(self) {
        drop(self.sender);
        if self.writer.join().is_err() {
            tracing::error!("the thread that writes the access log panicked");
        }
    }
}

/// One thread's lines that were not handed over yet.
pub struct Lines {
    buffer: RefCell<Vec<u8>>,
    sender: SyncSender<Vec<u8>>,
}

impl Lines {
    pub fn new(sender: SyncSender<Vec<u8>>) -> Rc<Self> {
        Rc::new(Self { buffer: RefCell::default(), sender })
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let full = std::mem::take(&mut *self.buffer.borrow_mut());
        if !full.is_empty() {
            let _ = self.sender.try_send(full);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What is known of a request when it comes; the line is written when it has ended.
pub struct AccessLine {
    pub lines: Rc<Lines>,
    pub id: HeaderValue,
    pub client: HeaderValue,
    pub method: Method,
    pub uri: Uri,
}

impl AccessLine {
    /// The path only: a query may hold what does not belong in a log.
    pub fn write(&self, component: &str, revision: &str, ended: Ended, took: Duration, bytes: u64) {
        let (status, error) = match ended {
            Ended::Status(status) => (status, ""),
            Ended::ConnectError => (502, "connect"),
            Ended::Timeout => (504, "timeout"),
            Ended::Aborted => (0, "aborted"),
            Ended::Broken => (502, "broken"),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = now.map_or(0, |time| time.as_millis() as u64);
        let mut out = self.lines.buffer.borrow_mut();
        if out.capacity() == 0 {
            out.reserve(BUFFER + 1024);
        }
        let _ = write!(
            out,
            r#"{{"at_ms":{at_ms},"status":{status},"took_us":{},"bytes":{bytes}"#,
            took.as_micros()
        );
        for (name, text) in [
            ("method", self.method.as_str().as_bytes()),
            ("path", self.uri.path().as_bytes()),
            ("component", component.as_bytes()),
            ("revision", revision.as_bytes()),
            ("client", self.client.as_bytes()),
            ("id", self.id.as_bytes()),
            ("error", error.as_bytes()),
        ] {
            if !text.is_empty() {
                field(&mut out, name, text);
            }
        }
        out.extend_from_slice(b"}\n");
        if out.len() >= BUFFER {
            drop(out);
            self.lines.flush();
        }
    }
}

/// `,"name":"text"`; what is not plain ASCII is escaped, so that no client can forge a line.
fn field(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    if text.iter().all(|b| (0x20..0x7f).contains(b) && *b != b'"' && *b != b'\\') {
        out.extend_from_slice(text);
    } else {
        for c in String::from_utf8_lossy(text).chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                ' '..='~' => out.push(c as u8),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
            }
        }
    }
    out.push(b'"');
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write(path: PathBuf, mut file: File, buffers: &Receiver<Vec<u8>>, rotate_at: u64) {
    let mut size = file.metadata().map_or(0, |m| m.len());
    for lines in buffers {
        // A full disk must not end traffic; the lines are lost.
        if file.write_all(&lines).is_ok() {
            size += lines.len() as u64;
        }
        if size < rotate_at {
            continue;
        }
        // Unless the edge that takes over has done so: to do it again would throw away what is in
        // the old file, the last lines of this edge among it.
        if is_at(&file, &path) {
            let _ = std::fs::rename(&path, path.with_extension("log.1"));
        }
        if let Ok(fresh) = append(&path) {
            size = fresh.metadata().map_or(0, |m| m.len());
            file = fresh;
        }
    }
}

/// Whether the path leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |m: std::fs::Metadata| (m.dev(), m.ino());
    let here = std::fs::metadata(path).map(place);
    here.is_ok_and(|here| file.metadata().map(place).is_ok_and(|open| open == here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_edges_that_rotate_one_log_lose_no_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let start = |number: u32| {
            let (sender, receiver) = sync_channel::<Vec<u8>>(WAITING);
            let (path, file) = (path.clone(), append(&path).expect("opened"));
            let writer = std::thread::spawn(move || write(path, file, &receiver, 400));
            let say = move |n: u32| {
                sender.send(format!("edge {number} line {n:03}\n").into_bytes()).expect("sent");
            };
            (say, writer)
        };
        let lines = || -> Vec<String> {
            [&path, &path.with_extension("log.1")]
                .iter()
                .filter_map(|p| std::fs::read_to_string(p).ok())
                .flat_map(|t| t.lines().map(str::to_string).collect::<Vec<_>>())
                .collect()
        };
        let said = |count: usize| {
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while lines().len() < count {
                assert!(std::time::Instant::now() < until, "{count} lines: {:?}", lines());
                std::thread::yield_now();
            }
        };
        let (old, old_writer) = start(1);
        (0..24).for_each(&old);
        said(24);
        // The next edge comes, and is the first to find the file too large.
        let (new, new_writer) = start(2);
        new(0);
        said(25);
        // What is left of the old one's requests.
        (24..26).for_each(&old);
        said(27);
        new(1);
        said(28);
        drop((old, new));
        old_writer.join().expect("no panic");
        new_writer.join().expect("no panic");
        assert_eq!(lines().len(), 28);
    }
}
