//! Places where a test may have this process killed, to show that death there does no harm.
//!
//! The file `kill-point` in the state directory holds `PROCESS WHEN KIND`, for example
//! `supervisor before start_revision`. Release builds have it with the feature `kill-points` only.

use std::path::Path;

/// Kills this process if a test asked for it here. `process` is `command` or `supervisor`,
/// `when` is `before` or `after`, `kind` is `Effect::kind`.
#[cfg(any(debug_assertions, feature = "kill-points"))]
pub fn reach(state: &Path, process: &str, when: &str, kind: &str) {
    let file = state.join("kill-point");
    let Ok(wanted) = std::fs::read_to_string(&file) else { return };
    if wanted.split_whitespace().eq([process, when, kind]) && std::fs::remove_file(&file).is_ok() {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, in this build.
#[cfg(not(any(debug_assertions, feature = "kill-points")))]
pub fn reach(_: &Path, _: &str, _: &str, _: &str) {}
