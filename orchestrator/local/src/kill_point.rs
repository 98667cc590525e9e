//! Places where a test may have this process killed, to show that death there does no harm.
//!
//! The file `kill-point` in the state directory holds `PROCESS WHEN KIND`, for example
//! `supervisor before start_revision`, and `stop` after it where the process is to be stopped, to be woken up later.
//! Release builds have it with the feature `kill-points` only.

use std::path::Path;

/// Kills (or stops) this process if a test asked for it here. `process` is `command` or `supervisor`,
/// `when` is `before` or `after`, `kind` is `Effect::kind`.
#[cfg(any(debug_assertions, feature = "kill-points"))]
pub fn reach(state: &Path, process: &str, when: &str, kind: &str) {
    use rustix::process::{Signal, getpid, kill_process};

    let file = state.join("kill-point");
    let Ok(wanted) = std::fs::read_to_string(&file) else { return };
    let mut words = wanted.split_whitespace();
    if words.by_ref().take(3).eq([process, when, kind]) && std::fs::remove_file(&file).is_ok() {
        let signal = match words.next() {
            Some("stop") => Signal::STOP,
            _ => Signal::KILL,
        };
        let _ = kill_process(getpid(), signal);
    }
}

/// Nothing, in this build.
#[cfg(not(any(debug_assertions, feature = "kill-points")))]
pub fn reach(_: &Path, _: &str, _: &str, _: &str) {}
