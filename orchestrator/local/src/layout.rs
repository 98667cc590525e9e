//! Where things are in the state directory of one environment. Knows names, not contents.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::reserve;

/// Most bytes of a socket's path; the smaller limit of Linux (107) and macOS (103).
const SOCKET_PATH_MAX: usize = 103;

/// The state directory of one environment; everything in it is private to its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("cannot use {path} as state directory: {error}\n  hint: {hint}")]
    Unusable { path: PathBuf, error: io::Error, hint: &'static str },
    #[error(
        "the state directory {path} is too long for a socket: {length} bytes, at most {SOCKET_PATH_MAX} \
         are possible\n  hint: use a shorter one, for example with NEUROCA_DEPLOY_STATE_DIR"
    )]
    TooLong { path: PathBuf, length: usize },
    #[error(
        "the state directory {path} belongs to another user (uid {owner})\n  hint: run this as that user"
    )]
    NotOurs { path: PathBuf, owner: u32 },
}

impl StateDir {
    /// Makes the directory if it is not there yet, and checks that it can be used.
    pub fn create(path: &Path) -> Result<Self, LayoutError> {
        let unusable = |error: io::Error| LayoutError::Unusable {
            path: path.into(),
            hint: hint_of(&error),
            error,
        };
        let absolute = std::path::absolute(path).map_err(unusable)?;
        let state = Self(absolute);
        let longest = state.edge_socket(u64::from(u32::MAX));
        let length = longest.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            return Err(LayoutError::TooLong { path: path.into(), length });
        }
        private_dir(&state.0).map_err(unusable)?;
        let found = fs::metadata(&state.0).map_err(unusable)?;
        let own = rustix::process::geteuid().as_raw();
        if found.uid() != own && own != 0 {
            return Err(LayoutError::NotOurs { path: path.into(), owner: found.uid() });
        }
        if found.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&state.0, Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        for dir in [state.artifacts(), state.run(), state.logs(), state.data(), state.edge()] {
            private_dir(&dir).map_err(unusable)?;
        }
        reserve::set_aside(&state.0, &state.reserve());
        Ok(state)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn database(&self) -> PathBuf {
        self.0.join("state.db")
    }

    /// [`write_atomically`] for a file without which nobody goes back: it may take the room that was set aside.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match write_atomically(path, bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.give_up_reserve() => {
                write_atomically(path, bytes)
            }
            result => result,
        }
    }

    /// Room for when the disk is full.
    pub fn reserve(&self) -> PathBuf {
        self.0.join("reserve")
    }

    /// Bytes that this user may still write here, if the file system tells.
    pub fn free(&self) -> Option<u64> {
        reserve::free(&self.0)
    }

    /// Whether room for going back is still set aside.
    pub fn has_reserve(&self) -> bool {
        self.reserve().exists()
    }

    /// Gives that room up if the disk is full; true when that made some.
    pub(crate) fn give_up_reserve(&self) -> bool {
        reserve::give_up(&self.0, &self.reserve())
    }

    /// Whether there is room for more than going back.
    pub fn has_room(&self) -> bool {
        reserve::has_room(&self.0)
    }

    pub fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    /// Sockets and the marks of running processes; worthless after a reboot.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// What keeper, supervisor and edge have to say.
    pub fn own_log(&self) -> PathBuf {
        self.logs().join("neuroca-deploy.log")
    }

    /// What `${data_dir}` stands for.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub fn edge(&self) -> PathBuf {
        self.0.join("edge")
    }

    /// What the edge has to do; read when it starts.
    pub fn edge_table(&self) -> PathBuf {
        self.edge().join("table.json")
    }

    /// The addresses that the keeper holds for the edge.
    pub fn edge_listen(&self) -> PathBuf {
        self.edge().join("listen.json")
    }

    pub fn access_log(&self) -> PathBuf {
        self.edge().join("access.log")
    }

    pub fn edge_socket(&self, number: u64) -> PathBuf {
        self.run().join(format!("edge.{number}.sock"))
    }

    /// The numbers of the edges that have a socket, dead or alive, in their order.
    pub fn edge_numbers(&self) -> Vec<u64> {
        let Ok(listing) = fs::read_dir(self.run()) else { return Vec::new() };
        let mut found: Vec<u64> = listing
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.strip_prefix("edge.")?.strip_suffix(".sock")?.parse().ok()
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// Where the edge hands its listening sockets to the next keeper.
    pub fn edge_handover(&self, number: u64) -> PathBuf {
        self.run().join(format!("edge.{number}.take"))
    }

    pub fn supervisor_socket(&self) -> PathBuf {
        self.run().join("supervisor.sock")
    }

    pub fn keeper_socket(&self) -> PathBuf {
        self.run().join("keeper.sock")
    }

    /// Held by the keeper as long as it lives.
    pub fn keeper_lock(&self) -> PathBuf {
        self.run().join("keeper.lock")
    }

    /// What a keeper has started, for its successor.
    pub fn keeper_record(&self) -> PathBuf {
        self.run().join("keeper.json")
    }

    /// Held by the shim of the instance as long as it lives.
    pub fn instance_lock(&self, instance: &str) -> PathBuf {
        self.run().join(format!("{instance}.lock"))
    }

    /// What the shim says about the instance.
    pub fn instance_record(&self, instance: &str) -> PathBuf {
        self.run().join(format!("{instance}.json"))
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn hint_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "it is on a read-only file system; choose another one",
        io::ErrorKind::PermissionDenied => "give yourself write permission, or choose another one",
        io::ErrorKind::StorageFull => "the disk is full; make room",
        _ => "choose another one",
    }
}

/// Replaces a file in one step, so that a reader never sees half of it; durable when it returns.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_parent(path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

/// Makes the names in a file's folder durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDir::create(&folder.path().join("a/b")).expect("usable");
        let mode = fs::metadata(state.path()).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_named_with_its_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = StateDir::create(&folder.path().join("x".repeat(120))).expect_err("too long");
        assert!(error.to_string().contains("too long for a socket"), "{error}");
        assert!(error.to_string().contains("hint:"), "{error}");
    }
}
