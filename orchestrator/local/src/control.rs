//! Starting, looking at, upgrading and stopping the processes of an environment. For the command,
//! and synchronous: it has nothing else to do meanwhile.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use crate::keeper::client::KeeperError;
pub use crate::keeper::{KeeperStatus, ProcessStatus};

use crate::keeper::{self, client};
use crate::layout::StateDir;
use crate::logs;
use crate::spawn;
pub use crate::spawn::SpawnError;

/// How long everything may take to come up.
const COMES_UP: Duration = Duration::from_secs(15);

/// Why the processes are not as asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
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
    let mut keeper = spawn::keeper(state, exe)?;
    loop {
        if is_running(state) {
            return Ok(());
        }
        // One that found another keeper ends; if that other one dies meanwhile, one is needed.
        if matches!(keeper.try_wait(), Ok(Some(_))) && client::status(state).is_err() {
            std::thread::sleep(Duration::from_millis(50));
            keeper = spawn::keeper(state, exe)?;
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
    let mut keeper = spawn::keeper(state, exe)?;
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
