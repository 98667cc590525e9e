//! The shim: one small process per component process, which outlives whoever started it.
//!
//! It holds the log pipe and learns the exit status, so that a supervisor may die and come back
//! without the component noticing. It knows no health, no edge and no release.

mod child;
mod log_file;
mod redact;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};

use crate::layout::{StateDir, write_atomically};
use crate::process_id::{ProcessId, wall_ms};
use child::Child;
use log_file::LogFile;
use redact::Redacted;
pub(crate) use redact::redact;

/// The shim found that another one runs the instance.
pub const TAKEN: u8 = 75;
/// How long output is still read after the process has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a shim is to run. It holds secret values and goes through a pipe, never to a disk.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub instance: String,
    pub command: Vec<String>,
    pub directory: PathBuf,
    /// Everything that the process has in its environment.
    pub environment: BTreeMap<String, String>,
    /// Values that are not to reach the log.
    pub hidden: Vec<String>,
    pub port: Option<u16>,
    pub log: LogOrder,
    pub limits: Limits,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout_ms: u64,
    /// From the start to SIGTERM, for what is to end by itself.
    pub time_limit_ms: Option<u64>,
}

/// Where output goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogOrder {
    pub file: PathBuf,
    pub max_size: u64,
    pub keep: u32,
    /// Whether earlier output is thrown away.
    pub fresh: bool,
}

/// rlimits; unlimited when absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Limits {
    pub memory: Option<u64>,
    pub open_files: Option<u64>,
    pub processes: Option<u64>,
}

/// What a shim says about its process, for whoever looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub shim: ProcessId,
    /// Absent when it could not be started.
    pub process: Option<ProcessId>,
    pub port: Option<u16>,
    pub log: PathBuf,
    pub started_ms: u64,
    pub ended: Option<End>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Status(i32),
    Signal(i32),
    /// It outlived its time limit and was stopped.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
    /// The shim was killed, so that nobody knows.
    Unknown,
}

impl End {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            End::Status(code) => format!("exited with status {code}"),
            End::Signal(signal) => format!("was killed by {}", signal_name(*signal)),
            End::TimedOut => "did not end within its time limit".into(),
            End::NotStarted(why) => format!("could not be started: {why}"),
            End::Unknown => "ended, and so did its shim".into(),
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL (out of memory?)",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.into()
}

/// What the instance's shim said last.
pub fn report(state: &StateDir, instance: &str) -> Option<Report> {
    let bytes = std::fs::read(state.instance_record(instance)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether a shim runs the instance now.
pub fn is_held(state: &StateDir, instance: &str) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let Ok(file) = File::open(state.instance_lock(instance)) else { return false };
    flock(file.as_fd(), FlockOperation::NonBlockingLockShared).is_err()
}

/// What the shims that live say of themselves.
pub fn held(state: &StateDir) -> Vec<Report> {
    let Ok(listing) = std::fs::read_dir(state.run()) else { return Vec::new() };
    let names = listing.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    names
        .filter_map(|name| report(state, name.strip_suffix(".lock")?))
        .filter(|report| report.shim.is_alive())
        .collect()
}

/// Runs what the order on standard input says, to its end. Returns the exit code of the shim.
pub fn run(state: &StateDir, instance: &str) -> io::Result<u8> {
    // Not in the session of a terminal, nor in the group of whoever started this.
    let _ = rustix::process::setsid();
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let order: Order = serde_json::from_slice(&text).map_err(io::Error::other)?;
    text.fill(0);
    let Some(_lock) = take(&state.instance_lock(instance))? else { return Ok(TAKEN) };

    // Before the process starts, so that no signal is missed.
    let (mut wake, write) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    for signal in [SIGCHLD, SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    let terminate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, terminate.clone())?;
    }

    let mut report = Report {
        shim: ProcessId::own(),
        process: None,
        port: order.port,
        log: order.log.file.clone(),
        started_ms: wall_ms(),
        ended: None,
    };
    let mut log = LogFile::open(&order.log);
    let mut child = match Child::start(&order) {
        Ok(child) => child,
        Err(error) => {
            let why = format!("{}: {error}", order.command.first().map_or("", String::as_str));
            report.ended = Some(End::NotStarted(why));
            say(state, instance, &report)?;
            return Ok(0);
        }
    };
    report.process = Some(child.id);
    say(state, instance, &report)?;

    let end = watch(&order, &mut child, &mut log, &mut wake, &terminate)?;
    report.ended = Some(end);
    say(state, instance, &report)?;
    Ok(0)
}

/// Writes the report where a later supervisor finds it, and tells the one that waits now.
fn say(state: &StateDir, instance: &str, report: &Report) -> io::Result<()> {
    let json = serde_json::to_vec(report).map_err(io::Error::other)?;
    let written = write_atomically(&state.instance_record(instance), &json);
    // Nobody listens any more when the supervisor was replaced.
    let mut out = io::stdout().lock();
    let _ = out.write_all(&json).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        // The process runs and has to go on even if the disk is full; only adoption suffers.
        Err(error) if report.process.is_none() => Err(error),
        _ => Ok(()),
    }
}

fn take(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let file = File::options().create(true).truncate(false).write(true).read(true).open(path)?;
    match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Moves output to the log until the process has ended; passes stop signals on.
fn watch(
    order: &Order,
    child: &mut Child,
    log: &mut LogFile,
    wake: &mut UnixStream,
    terminate: &std::sync::atomic::AtomicBool,
) -> io::Result<End> {
    let mut redacted = Redacted::new(&order.hidden);
    let limit = order.time_limit_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
    let mut kill_at: Option<Instant> = None;
    let (mut timed_out, mut killed) = (false, false);
    let mut ended: Option<(End, Instant)> = None;
    let mut open = true;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let due = [
            kill_at.filter(|_| !killed),
            limit.filter(|_| !timed_out),
            ended.as_ref().map(|e| e.1),
        ];
        let wait =
            due.into_iter().flatten().min().map(|at| at.saturating_duration_since(Instant::now()));
        let (readable, _) = wait_for(child.output(), wake, open, wait)?;
        if readable {
            match child.read(&mut buffer)? {
                Some(0) => open = false,
                Some(n) => redacted.feed(&buffer[..n], &mut |line| log.write(line)),
                None => {}
            }
        }
        let mut drop = [0; 64];
        while matches!(wake.read(&mut drop), Ok(n) if n > 0) {}
        let now = Instant::now();
        if ended.is_none() {
            if let Some(end) = child.try_end()? {
                // What it left behind in its group is no longer anybody's.
                child.id.signal_group(Signal::KILL);
                ended = Some((if timed_out { End::TimedOut } else { end }, now + LAST_WORDS));
            } else {
                let asked = terminate.load(std::sync::atomic::Ordering::SeqCst);
                let late = limit.is_some_and(|at| now >= at);
                if (asked || late) && kill_at.is_none() {
                    timed_out = late && !asked;
                    child.id.signal_group(Signal::TERM);
                    kill_at = Some(now + Duration::from_millis(order.stop_timeout_ms));
                }
                if kill_at.is_some_and(|at| now >= at) && !killed {
                    killed = true;
                    child.id.signal_group(Signal::KILL);
                    let waited = order.stop_timeout_ms as f64 / 1000.0;
                    log.remark(&format!("did not end within {waited} s after SIGTERM; killed"));
                }
            }
        }
        if let Some((end, last)) = &ended
            && (!open || now >= *last)
        {
            redacted.finish(&mut |line| log.write(line));
            return Ok(end.clone());
        }
    }
}

/// Waits for output or a signal; tells which of them came.
fn wait_for(
    output: impl AsFd,
    wake: &UnixStream,
    open: bool,
    wait: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
    if open {
        fds.push(PollFd::new(&output, PollFlags::IN));
    }
    let timeout = wait.map(|wait| Timespec {
        tv_sec: wait.as_secs() as i64,
        // Rounded up: waking a moment too early would spin until the time has come.
        tv_nsec: i64::from(wait.subsec_nanos()),
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok((false, true)),
        Err(error) => return Err(error.into()),
    }
    let readable = |n: usize| fds.get(n).is_some_and(|f| !f.revents().is_empty());
    Ok((readable(1), readable(0)))
}
