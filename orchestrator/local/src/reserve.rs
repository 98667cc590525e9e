//! Room that is set aside in the state directory, so that a full disk does not keep anybody from
//! going back: the journal of a rollback has to be written.
//!
//! It is given up when a write finds no space, and set aside again once there is plenty.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What the journals of some dozens of runs take.
const SIZE: u64 = 2 * 1024 * 1024;
/// Free space that leaves enough for others when `SIZE` of it is set aside.
const PLENTY: u64 = 8 * SIZE;

/// Sets the room aside as `file`, unless it is already or space is short. A failure changes nothing.
pub(crate) fn set_aside(folder: &Path, file: &Path) {
    if file.exists() || free(folder).is_none_or(|free| free < PLENTY) {
        return;
    }
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).and_then(|made| {
            rustix::fs::fallocate(&made, rustix::fs::FallocateFlags::empty(), 0, SIZE)
                .map_err(Into::into)
        });
    if let Err(error) = made {
        tracing::debug!(%error, "no room was set aside");
        let _ = fs::remove_file(file);
    }
}

/// Gives the room up if the disk is full; true when that made some.
pub(crate) fn give_up(folder: &Path, file: &Path) -> bool {
    if has_room(folder) || fs::remove_file(file).is_err() {
        return false;
    }
    tracing::warn!(
        "the disk is full: going on with the {} MiB that were set aside in {}; make room before they are used up",
        SIZE / 1024 / 1024,
        folder.display()
    );
    true
}

/// Bytes that this user may still write in the folder, if the file system tells.
pub(crate) fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether there is room in the folder for more than going back.
pub(crate) fn has_room(folder: &Path) -> bool {
    free(folder).is_none_or(|free| free >= SIZE)
}
