//! Room that is set aside in the state directory, so that a full disk does not keep anybody from
//! going back: the journal of a rollback has to be written.
//!
//! It is given up when a write finds no space, and set aside again once there is plenty.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use crate::layout::StateDir;

/// What the journals of some dozens of runs take.
const SIZE: u64 = 2 * 1024 * 1024;
/// Free space that leaves enough for others when `SIZE` of it is set aside.
const PLENTY: u64 = 8 * SIZE;

/// Sets the room aside, unless it is already or space is short. A failure changes nothing.
pub(crate) fn set_aside(state: &StateDir) {
    let path = state.reserve();
    if path.exists() || state.free().is_none_or(|free| free < PLENTY) {
        return;
    }
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).and_then(|file| {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SIZE)
                .map_err(Into::into)
        });
    if let Err(error) = made {
        tracing::debug!(%error, "no room was set aside");
        let _ = fs::remove_file(&path);
    }
}

/// Gives the room up if the disk is full; true when that made some.
pub(crate) fn give_up(state: &StateDir) -> bool {
    if state.has_room() || fs::remove_file(state.reserve()).is_err() {
        return false;
    }
    tracing::warn!(
        "the disk is full: going on with the {} MiB that were set aside in {}; make room before they are used up",
        SIZE / 1024 / 1024,
        state.path().display()
    );
    true
}

impl StateDir {
    /// Bytes that this user may still write there, if the file system tells.
    pub fn free(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(self.path()).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Whether room for going back is still set aside.
    pub fn has_reserve(&self) -> bool {
        self.reserve().exists()
    }

    /// Whether there is room for more than going back.
    pub fn has_room(&self) -> bool {
        self.free().is_none_or(|free| free >= SIZE)
    }
}
