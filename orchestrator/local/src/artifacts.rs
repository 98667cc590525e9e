//! Artifacts: files and directories, stored by digest so that a release can be started again
//! after its source is gone. Knows nothing of releases.

mod digest;
mod program;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use neuroca_deploy_core::digest::Digest;

pub use digest::{DigestCache, NoCache};
pub use program::{check_program, environment_for_programs};

use crate::layout::{StateDir, sync_parent};
use crate::process_id::ProcessId;
use digest::{Entry, Kind, entries};

/// The artifact that comes with this tool, and the name of its program.
pub const BUNDLED: &str = "bundled";
const BUNDLED_PROGRAM: &str = "neuroca";

/// Why an artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("the artifact {path} is not there\n  hint: build it first, or correct `artifact:`")]
    Missing { path: PathBuf },
    #[error(
        "the bundled service is not there: no {path}\n  hint: install the `neuroca` binary beside \
         `neuroca-deploy`, or give an artifact of your own"
    )]
    NoBundled { path: PathBuf },
    #[error("the program {path} is not in the artifact\n  hint: correct `command:` or build it")]
    NoProgram { path: PathBuf },
    #[error("the program {path} is not executable\n  hint: chmod +x {path}")]
    NotExecutable { path: PathBuf },
    #[error(
        "the program {path} is built for {found}, this machine is {here}\n  hint: build it for {here}"
    )]
    Architecture { path: PathBuf, found: String, here: &'static str },
    #[error(
        "the artifact {path} has changed since the plan was made: its digest is {found}, the plan says \
         {planned}\n  hint: make a new plan"
    )]
    Changed { path: PathBuf, found: String, planned: String },
    #[error(
        "{path} is neither a file, a directory nor a link\n  hint: leave it out of the artifact"
    )]
    Unsupported { path: PathBuf },
    #[error("cannot read {path}: {error}\n  hint: make it readable for this user")]
    Read { path: PathBuf, error: io::Error },
    #[error("cannot store the artifact in {path}: {error}\n  hint: make room or make it writable")]
    Store { path: PathBuf, error: io::Error },
}

/// Where the artifact is: below the project, or beside the running program if it is the bundled one.
pub fn source(project: &Path, artifact: &str, exe: &Path) -> Result<PathBuf, ArtifactError> {
    if artifact == BUNDLED {
        let path = exe.parent().unwrap_or(Path::new("/")).join(BUNDLED_PROGRAM);
        return if path.is_file() { Ok(path) } else { Err(ArtifactError::NoBundled { path }) };
    }
    let path = project.join(artifact);
    if path.exists() { Ok(path) } else { Err(ArtifactError::Missing { path }) }
}

/// The digest that the artifact has now.
pub fn digest_artifact(
    project: &Path,
    artifact: &str,
    exe: &Path,
    cache: &dyn DigestCache,
) -> Result<Digest, ArtifactError> {
    Ok(digest::of(&entries(&source(project, artifact, exe)?, cache)?))
}

/// The folder of a stored artifact; commands run inside it.
pub fn stored(state: &StateDir, digest: &Digest) -> PathBuf {
    state.artifacts().join(&digest.0)
}

/// Stores the artifact under the digest that it has to have. What is stored already is left alone,
/// so that a release can be started again after its source is gone.
pub fn store(
    state: &StateDir,
    source: impl FnOnce() -> Result<PathBuf, ArtifactError>,
    planned: &Digest,
    cache: &dyn DigestCache,
) -> Result<(), ArtifactError> {
    let place = stored(state, planned);
    if place.is_dir() {
        return Ok(());
    }
    remove_half_stored(state);
    let source = source()?;
    let found = entries(&source, cache)?;
    refuse_changed(&source, &digest::of(&found), planned)?;
    let failed = |error| ArtifactError::Store { path: place.clone(), error };
    let new = state.artifacts().join(format!(".new.{}", std::process::id()));
    remove_tree(&new).map_err(failed)?;
    let copied = copy(&source, &found, &new).map_err(failed).and_then(|()| {
        // The source may have changed while it was copied; the copy is what counts.
        refuse_changed(&source, &digest::of(&entries(&new, &NoCache)?), planned)
    });
    let kept = copied.and_then(|()| {
        match fs::rename(&new, &place) {
            // Another command stored the same content first.
            Err(_) if place.is_dir() => remove_tree(&new),
            result => result.and_then(|()| sync_parent(&place)),
        }
        .map_err(failed)
    });
    if kept.is_err() {
        let _ = remove_tree(&new);
    }
    kept
}

/// Removes what commands that were killed while they stored something left behind.
fn remove_half_stored(state: &StateDir) {
    let Ok(listing) = fs::read_dir(state.artifacts()) else { return };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(".new.").and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| ProcessId::of(pid).is_none()) {
            let _ = remove_tree(&entry.path());
        }
    }
}

fn refuse_changed(path: &Path, found: &Digest, planned: &Digest) -> Result<(), ArtifactError> {
    if found == planned {
        return Ok(());
    }
    Err(ArtifactError::Changed {
        path: path.into(),
        found: found.short(12).into(),
        planned: planned.short(12).into(),
    })
}

/// Copies what was found. The copy is not writable: components share it.
fn copy(source: &Path, found: &[Entry], to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in found {
        let (from, to) = (entry.below(source), to.join(&entry.path));
        match &entry.kind {
            Kind::Directory => fs::create_dir_all(&to)?,
            Kind::Link { target } => symlink(target, &to)?,
            Kind::File { executable, .. } => {
                fs::copy(&from, &to)?;
                let mode = if *executable { 0o555 } else { 0o444 };
                fs::set_permissions(&to, Permissions::from_mode(mode))?;
                File::open(&to)?.sync_all()?;
            }
        }
    }
    for entry in found.iter().rev().filter(|e| e.kind == Kind::Directory) {
        let path = to.join(&entry.path);
        File::open(&path)?.sync_all()?;
        fs::set_permissions(&path, Permissions::from_mode(0o555))?;
    }
    // The topmost one stays writable for its owner: a folder that is not cannot be renamed.
    File::open(to)?.sync_all()
}

/// Removes artifacts that nothing needs, the ones stored longest ago first, until those left over
/// have at most `spare` bytes together. Returns how many went.
pub fn remove_unneeded(state: &StateDir, needed: &BTreeSet<Digest>, spare: u64) -> usize {
    let Ok(listing) = fs::read_dir(state.artifacts()) else { return 0 };
    let mut spares: Vec<(std::time::SystemTime, u64, PathBuf)> = listing
        .flatten()
        .filter(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            !name.starts_with('.') && !needed.contains(&Digest(name))
        })
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, size_of(&e.path()), e.path())))
        .collect();
    spares.sort();
    let mut total: u64 = spares.iter().map(|(_, size, _)| size).sum();
    let mut removed = 0;
    for (_, size, path) in spares {
        if total <= spare {
            break;
        }
        match remove_tree(&path) {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!(%error, path = %path.display(), "artifact not removed"),
        }
        total -= size;
    }
    removed
}

fn size_of(path: &Path) -> u64 {
    let Ok(found) = fs::symlink_metadata(path) else { return 0 };
    if !found.is_dir() {
        return found.len();
    }
    let listing = fs::read_dir(path).map(|l| l.flatten().collect::<Vec<_>>()).unwrap_or_default();
    listing.iter().map(|e| size_of(&e.path())).sum()
}

/// Removes a folder whose parts may not be writable.
fn remove_tree(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests;
