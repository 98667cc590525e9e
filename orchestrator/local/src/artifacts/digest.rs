//! The digest of a tree: over sorted paths, the executable bit and contents; no times or owners.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use neuroca_deploy_core::digest::{Digest, hex};
use sha2::{Digest as _, Sha256};

use super::ArtifactError;
use crate::store::Store;

/// Remembers the digests of files that were read before.
pub trait DigestCache {
    fn known(&self, path: &Path, found: &Metadata) -> Option<String>;
    fn remember(&self, digests: &[(&Path, &Metadata, &str)]);
}

/// Reads every file.
pub struct NoCache;

impl DigestCache for NoCache {
    fn known(&self, _: &Path, _: &Metadata) -> Option<String> {
        None
    }
    fn remember(&self, _: &[(&Path, &Metadata, &str)]) {}
}

impl DigestCache for Store {
    fn known(&self, path: &Path, found: &Metadata) -> Option<String> {
        self.known_digest(path, found)
    }
    fn remember(&self, digests: &[(&Path, &Metadata, &str)]) {
        self.remember_digests(digests);
    }
}

/// One part of an artifact.
pub(super) struct Entry {
    /// Below the artifact; for a single file its name.
    pub path: PathBuf,
    pub kind: Kind,
    /// Whether the artifact is this one file.
    single: bool,
}

#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Link { target: PathBuf },
    File { executable: bool, digest: String },
}

impl Entry {
    /// Where it is, given where the artifact is.
    pub fn below(&self, source: &Path) -> PathBuf {
        if self.single { source.into() } else { source.join(&self.path) }
    }
}

/// Everything in the artifact, sorted by path.
pub(super) fn entries(source: &Path, cache: &dyn DigestCache) -> Result<Vec<Entry>, ArtifactError> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |error| ArtifactError::Read { path, error }
    };
    let mut fresh: Vec<(PathBuf, Metadata, String)> = Vec::new();
    let mut found = Vec::new();
    let top = fs::metadata(source).map_err(unreadable(source))?;
    if top.is_file() {
        let path = PathBuf::from(source.file_name().unwrap_or(source.as_os_str()));
        let kind = file(source, &top, cache, &mut fresh).map_err(unreadable(source))?;
        found.push(Entry { path, kind, single: true });
    }
    let mut folders = if top.is_dir() { vec![PathBuf::new()] } else { Vec::new() };
    while let Some(folder) = folders.pop() {
        let full = source.join(&folder);
        for entry in fs::read_dir(&full).map_err(unreadable(&full))? {
            let entry = entry.map_err(unreadable(&full))?;
            let path = folder.join(entry.file_name());
            let full = entry.path();
            let seen = fs::symlink_metadata(&full).map_err(unreadable(&full))?;
            let kind = if seen.is_dir() {
                folders.push(path.clone());
                Kind::Directory
            } else if seen.is_symlink() {
                Kind::Link { target: fs::read_link(&full).map_err(unreadable(&full))? }
            } else if seen.is_file() {
                file(&full, &seen, cache, &mut fresh).map_err(unreadable(&full))?
            } else {
                return Err(ArtifactError::Unsupported { path: full });
            };
            found.push(Entry { path, kind, single: false });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let fresh: Vec<_> = fresh.iter().map(|(p, m, d)| (p.as_path(), m, d.as_str())).collect();
    cache.remember(&fresh);
    Ok(found)
}

fn file(
    path: &Path,
    seen: &Metadata,
    cache: &dyn DigestCache,
    fresh: &mut Vec<(PathBuf, Metadata, String)>,
) -> io::Result<Kind> {
    let executable = seen.permissions().mode() & 0o111 != 0;
    if let Some(digest) = cache.known(path, seen) {
        return Ok(Kind::File { executable, digest });
    }
    let mut sha = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => sha.update(&buffer[..n]),
        }
    }
    let digest = hex(&sha.finalize());
    fresh.push((path.into(), seen.clone(), digest.clone()));
    Ok(Kind::File { executable, digest })
}

/// The digest of what was found. Every part is preceded by its length, so that no two trees give
/// the same bytes.
pub(super) fn of(found: &[Entry]) -> Digest {
    let mut bytes = b"neuroca-deploy artifact 1\n".to_vec();
    let mut put = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part);
    };
    for entry in found {
        put(entry.path.as_os_str().as_bytes());
        match &entry.kind {
            Kind::Directory => put(b"d"),
            Kind::Link { target } => {
                put(b"l");
                put(target.as_os_str().as_bytes());
            }
            Kind::File { executable, digest } => {
                put(if *executable { b"x" } else { b"f" });
                put(digest.as_bytes());
            }
        }
    }
    Digest::of_bytes(&bytes)
}
