//! Starting, looking at, upgrading and stopping the processes of an environment. For the command,
//! and synchronous: it has nothing else to do meanwhile.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub use crate::keeper::client::KeeperError;
pub use crate::keeper::{KeeperStatus, ProcessStatus};

use crate::artifacts::environment_for_programs;
use crate::keeper::{self, client};
use crate::layout::StateDir;
use crate::logs;

/// How long everything may take to come up.
const COMES_UP: Duration = Duration::from_secs(15);
/// Size at which the log of our own processes is begun anew.
const OWN_LOG_MAX: u64 = 5 * 1024 * 1024;

/// Why the processes are not as asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("cannot start {exe}: {error}")]
    Start { exe: PathBuf, error: io::Error },
    #[error("cannot write {log}: {error}\n  hint: make the state directory writable for this user")]
    Log { log: PathBuf, error: io::Error },
    #[error("the supervisor did not come up within {} s; {log} says{lines}", COMES_UP.as_secs())]
    NotUp { log: PathBuf, lines: String },
    #[error("the upgrade did not end: {0}")]
    NotUpgraded(String),
    #[error(transparent)]
    Keeper(#[from] KeeperError),
}

/// Starts the keeper, unless there is one, and waits until the supervisor answers.
pub fn ensure_running(state: &StateDir, exe: &Path) -> Result<(), ControlError> {
    if is_running(state) {
        return Ok(());
    }
    let until = Instant::now() + COMES_UP;
    let mut keeper = start_keeper(state, exe)?;
    loop {
        if is_running(state) {
            return Ok(());
        }
        // One that found another keeper ends; if that other one dies meanwhile, one is needed.
        if matches!(keeper.try_wait(), Ok(Some(_))) && client::status(state).is_err() {
            std::thread::sleep(Duration::from_millis(50));
            keeper = start_keeper(state, exe)?;
        }
        if Instant::now() >= until {
            return Err(not_up(state));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn not_up(state: &StateDir) -> ControlError {
    let log = state.own_log();
    let lines = logs::tail(&log, 10).unwrap_or_default();
    let lines = lines.iter().map(|l| format!("\n  | {l}")).collect();
    ControlError::NotUp { log, lines }
}

/// Whether the environment's supervisor answers now, and there is a keeper to look after it.
pub fn is_running(state: &StateDir) -> bool {
    UnixStream::connect(state.keeper_socket()).is_ok() && answers(state)
}

/// The processes and what they take; refused when no keeper answers.
pub fn status(state: &StateDir) -> Result<KeeperStatus, ControlError> {
    Ok(client::status(state)?)
}

/// Drains the edge, stops the components, ends all processes. True when there were any.
pub fn stop(state: &StateDir, exe: &Path) -> Result<bool, ControlError> {
    match client::stop(state) {
        Ok(()) => Ok(true),
        Err(KeeperError::Silent(_)) if UnixStream::connect(state.keeper_socket()).is_err() => {
            stop_remains(state, exe)
        }
        Err(error) => Err(error.into()),
    }
}

/// Edge and components outlive a keeper that was killed; another one finds and stops them.
fn stop_remains(state: &StateDir, exe: &Path) -> Result<bool, ControlError> {
    if !keeper::has_remains(state) {
        return Ok(false);
    }
    let mut keeper = start_keeper(state, exe)?;
    let until = Instant::now() + COMES_UP;
    while UnixStream::connect(state.keeper_socket()).is_err() {
        if matches!(keeper.try_wait(), Ok(Some(_))) || Instant::now() >= until {
            return Err(not_up(state));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    client::stop(state)?;
    Ok(true)
}

/// Replaces keeper, supervisor and edge by the program at `exe`; no connection is dropped and no
/// component is touched. Returns when the new ones serve.
pub fn upgrade(state: &StateDir, exe: &Path) -> Result<KeeperStatus, ControlError> {
    let before = client::status(state)?;
    client::upgrade(state, exe)?;
    let until = Instant::now() + COMES_UP;
    loop {
        let now = client::status(state);
        match now {
            Ok(now) if now.upgrades > before.upgrades && answers(state) => {
                let kept = before.edges.last().map(|e| e.pid);
                if kept.is_some() && now.edges.last().map(|e| e.pid) == kept {
                    let log = state.own_log().display().to_string();
                    return Err(ControlError::NotUpgraded(format!(
                        "the old edge goes on; see {log}"
                    )));
                }
                return Ok(now);
            }
            Ok(_) if Instant::now() < until => {}
            Err(_) if Instant::now() < until => {}
            Ok(_) => {
                let log = state.own_log().display().to_string();
                return Err(ControlError::NotUpgraded(format!(
                    "the old program goes on; see {log}"
                )));
            }
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a keeper in a session of its own; it ends at once when there is one.
pub(crate) fn start_keeper(
    state: &StateDir,
    exe: &Path,
) -> Result<std::process::Child, ControlError> {
    let failed = |error| ControlError::Start { exe: exe.into(), error };
    let log = state.own_log();
    if std::fs::metadata(&log).is_ok_and(|m| m.len() > OWN_LOG_MAX) {
        let _ = std::fs::rename(&log, log.with_extension("log.1"));
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(|error| ControlError::Log { log, error })?;
    let mut command = Command::new(exe);
    command
        .arg("__keeper")
        .arg("--state")
        .arg(state.path())
        // Nothing of this shell's, secrets least of all, goes to processes that outlive it.
        .env_clear()
        .envs(environment_for_programs())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log);
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    command.spawn().map_err(failed)
}

fn answers(state: &StateDir) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = UnixStream::connect(state.supervisor_socket())?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(
            b"GET /v1/process HTTP/1.1\r\nhost: supervisor\r\nconnection: close\r\n\r\n",
        )?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
