//! Whether the state directory of a process is still there. What becomes of the process is not its business.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::layout::StateDir;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row that have to agree.
const SURE: u32 = 2;

/// The state directory as it was when this process began.
pub(crate) struct Home {
    directory: Option<File>,
    looked: Instant,
    gone: u32,
}

impl Home {
    pub fn of(state: &StateDir) -> Self {
        Self { directory: File::open(state.path()).ok(), looked: Instant::now(), gone: 0 }
    }

    /// Whether it is certain that the directory is not there any more, or is another one.
    pub fn is_lost(&mut self, state: &StateDir) -> bool {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.gone = if self.is_there(state) { 0 } else { self.gone + 1 };
        }
        self.gone >= SURE
    }

    /// Whether the path leads to the same directory, as far as can be seen.
    pub fn is_there(&self, state: &StateDir) -> bool {
        let place = |m: fs::Metadata| (m.dev(), m.ino());
        let own = self.directory.as_ref().and_then(|d| d.metadata().ok()).map(place);
        match fs::metadata(state.path()).map(place) {
            Ok(found) => own.is_none_or(|own| own == found),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}
