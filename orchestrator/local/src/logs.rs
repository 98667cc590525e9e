//! The components' log files: where they are, their last lines, and what is added to them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use neuroca_deploy_core::release::RevisionId;

use crate::layout::StateDir;

/// Most that is read from the end of a file to find its last lines.
const TAIL_MAX: u64 = 256 * 1024;

/// A replica's log file.
pub fn file(state: &StateDir, revision: &RevisionId, replica: u32) -> PathBuf {
    state.logs().join(&revision.0).join(format!("{replica}.log"))
}

/// One log of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    pub component: String,
    pub revision: RevisionId,
    /// A replica's number, or the name of a hook.
    pub name: String,
    pub file: PathBuf,
}

/// The logs that there are, by component, the ones written last at the end.
pub fn sources(state: &StateDir, component: Option<&str>) -> io::Result<Vec<LogSource>> {
    let mut found = Vec::new();
    for folder in fs::read_dir(state.logs())?.flatten().filter(|e| e.path().is_dir()) {
        let revision = folder.file_name().to_string_lossy().into_owned();
        // A revision is the component's name, a dash and a digest.
        let Some((name, _)) = revision.rsplit_once('-') else { continue };
        if component.is_some_and(|wanted| wanted != name) {
            continue;
        }
        for entry in fs::read_dir(folder.path())?.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some(log) = file.strip_suffix(".log") else { continue };
            let source = LogSource {
                component: name.into(),
                revision: RevisionId(revision.clone()),
                name: log.into(),
                file: entry.path(),
            };
            found.push((entry.metadata()?.modified()?, source));
        }
    }
    found.sort_by(|(at, a), (bt, b)| (&a.component, at, &a.file).cmp(&(&b.component, bt, &b.file)));
    Ok(found.into_iter().map(|(_, source)| source).collect())
}

/// Removes the logs of revisions that are not among `needed`.
pub(crate) fn remove_unneeded(state: &StateDir, needed: &BTreeSet<RevisionId>) {
    let Ok(listing) = fs::read_dir(state.logs()) else { return };
    for folder in listing.flatten().filter(|e| e.path().is_dir()) {
        let revision = RevisionId(folder.file_name().to_string_lossy().into_owned());
        if !needed.contains(&revision)
            && let Err(error) = fs::remove_dir_all(folder.path())
        {
            tracing::warn!(%error, %revision, "its logs were not removed");
        }
    }
}

/// The last `count` lines, from the rotated file as well when the present one has too few.
pub fn tail(file: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut lines = last_lines(file, count)?;
    if lines.len() < count {
        let mut rotated = file.as_os_str().to_owned();
        rotated.push(".1");
        if let Ok(mut earlier) = last_lines(Path::new(&rotated), count - lines.len()) {
            earlier.append(&mut lines);
            lines = earlier;
        }
    }
    Ok(lines)
}

fn last_lines(file: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(file)?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(TAIL_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text.lines().rev().take(count).map(str::to_string).collect();
    lines.reverse();
    Ok(lines)
}

/// Reads what is added to a log, across rotations. Ask again from time to time.
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    inode: u64,
    rest: Vec<u8>,
}

impl Follower {
    /// From the end of the file as it is now, or from its beginning.
    pub fn new(path: &Path, from_end: bool) -> io::Result<Self> {
        let mut follower = Self { path: path.into(), file: None, inode: 0, rest: Vec::new() };
        follower.reopen()?;
        if let Some(file) = follower.file.as_mut().filter(|_| from_end) {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(follower)
    }

    /// The whole lines that were added since the last call.
    pub fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.read(&mut lines)?;
        let rotated = fs::metadata(&self.path).is_ok_and(|now| now.ino() != self.inode);
        if rotated || self.file.is_none() {
            // What was written before the rotation has been read by now, or is read here.
            self.read(&mut lines)?;
            self.reopen()?;
            self.read(&mut lines)?;
        }
        Ok(lines)
    }

    fn reopen(&mut self) -> io::Result<()> {
        match File::open(&self.path) {
            Ok(file) => {
                self.inode = file.metadata()?.ino();
                self.file = Some(file);
            }
            // Between two names while it is rotated, or not written yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.file = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.read_to_end(&mut self.rest)?;
        if let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') {
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            lines.extend(String::from_utf8_lossy(&whole).lines().map(str::to_string));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_come_from_the_rotated_file_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("0.log");
        fs::write(folder.path().join("0.log.1"), "1\n2\n3\n").expect("written");
        fs::write(&file, "4\n5\n").expect("written");
        assert_eq!(tail(&file, 3).expect("read"), ["3", "4", "5"]);
        assert_eq!(tail(&file, 1).expect("read"), ["5"]);
    }

    #[test]
    fn following_goes_on_after_a_rotation_and_gives_whole_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("0.log");
        fs::write(&file, "old\n").expect("written");
        let mut follower = Follower::new(&file, true).expect("opened");
        let append = |text: &str| {
            use std::io::Write;
            let mut f = File::options().append(true).create(true).open(&file).expect("opened");
            f.write_all(text.as_bytes()).expect("written");
        };
        append("a\nb");
        assert_eq!(follower.lines().expect("read"), ["a"]);
        append("c\n");
        fs::rename(&file, folder.path().join("0.log.1")).expect("rotated");
        append("d\n");
        assert_eq!(follower.lines().expect("read"), ["bc", "d"]);
    }
}
