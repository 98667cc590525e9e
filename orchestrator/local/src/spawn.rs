//! How our own processes are started: which program, which environment, which descriptors. It knows
//! no more of them than that.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::artifacts::environment_for_programs;
use crate::layout::StateDir;

/// Size at which the log of our own processes is begun anew.
const OWN_LOG_MAX: u64 = 5 * 1024 * 1024;

/// Why a process of ours was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start {exe}: {error}")]
    Start { exe: PathBuf, error: io::Error },
    #[error("cannot write {log}: {error}\n  hint: make the state directory writable for this user")]
    Log { log: PathBuf, error: io::Error },
}

/// The program that runs now, also when its file has been replaced since.
pub(crate) fn own_executable() -> std::io::Result<PathBuf> {
    let proc = PathBuf::from("/proc/self/exe");
    if proc.exists() { Ok(proc) } else { std::env::current_exe() }
}

/// Starts a keeper in a session of its own; it ends at once when there is one.
pub(crate) fn keeper(state: &StateDir, exe: &Path) -> Result<Child, SpawnError> {
    let failed = |error| SpawnError::Start { exe: exe.into(), error };
    let log = state.own_log();
    if std::fs::metadata(&log).is_ok_and(|m| m.len() > OWN_LOG_MAX) {
        let _ = std::fs::rename(&log, log.with_extension("log.1"));
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(|error| SpawnError::Log { log, error })?;
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

/// Leaves the descriptors open in the child.
pub(crate) fn pass_on(command: &mut Command, fds: Vec<RawFd>) {
    // SAFETY: between fork and exec only a system call is made, on descriptors that are open.
    unsafe {
        command.pre_exec(move || {
            for fd in &fds {
                fcntl_setfd(BorrowedFd::borrow_raw(*fd), FdFlags::empty())?;
            }
            Ok(())
        });
    }
}
