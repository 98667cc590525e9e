//! Waiting for the one write lock of a SQLite file that others write to without a pause.
//!
//! SQLite's own busy handler is not fair: it asks ever more seldom, and a process that writes
//! 2,500 times a second can keep it waiting for as long as it waits. Asking every few milliseconds
//! gets a turn. Knows nothing of what is done then.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, SqliteConnection};

use super::StoreError;

/// Longer than any request or checkpoint holds the lock; shorter than a release's own patience.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(3);

/// Does `work` in a transaction that has the file to itself, all or nothing.
pub(super) async fn with<T>(
    connection: &mut SqliteConnection,
    path: &Path,
    patience: Duration,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let until = Instant::now() + patience;
    connection.execute("PRAGMA busy_timeout = 0").await?;
    let mut transaction = loop {
        match connection.begin_with("BEGIN EXCLUSIVE").await {
            Ok(transaction) => break transaction,
            Err(sqlx::Error::Database(error)) if is_busy(error.code().as_deref()) => {
                if Instant::now() >= until {
                    return Err(StoreError::Unavailable(held(path, patience)));
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let done = work(&mut transaction).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Whether SQLite says that somebody else has the lock, in any of its ways.
pub(super) fn is_busy(code: Option<&str>) -> bool {
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

fn held(path: &Path, patience: Duration) -> String {
    let who = match writer_of(path) {
        Some(pid) => format!("process {pid} ({}) holds it now", name_of(pid)),
        None => "nobody holds it at this moment, so it goes from hand to hand".to_owned(),
    };
    format!(
        "no turn to write to {} within {} s: {who}; a `neuroca serve` or `neuroca worker` of \
         another release, another `neuroca migrate`, a backup or a sqlite3 shell may hold it: let \
         it pause or end, then run this again",
        path.display(),
        patience.as_secs(),
    )
}

/// Who holds the write lock of the WAL, as far as the kernel tells. The file itself is not opened
/// for that: closing it again would drop the locks that this process has on it.
fn writer_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    let inode = std::fs::metadata(index).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| holder(line, inode))
}

/// A line of /proc/locks: `1: POSIX ADVISORY WRITE 4711 fd:01:1234 120 120`.
fn holder(line: &str, inode: u64) -> Option<u32> {
    /// Of the WAL index: SQLite's WAL_WRITE_LOCK.
    const WRITE_LOCK: &str = "120";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "POSIX", _, "WRITE", pid, file, WRITE_LOCK, ..] = fields[..] else { return None };
    (file.rsplit(':').next()? == inode.to_string()).then(|| pid.parse().ok())?
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "of another user".into(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;

    use super::*;
    use crate::store::sqlite;

    async fn two(path: &Path) -> (SqliteConnection, SqliteConnection) {
        let options = sqlite::options(path).create_if_missing(true);
        let one = options.connect().await.expect("connects");
        (one, options.connect().await.expect("connects"))
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_is_told_who_may_hold_the_lock() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("neuroca.db");
        let (mut holding, mut waiting) = two(&path).await;
        holding.execute("BEGIN IMMEDIATE").await.expect("begins");
        let work = async |_: &mut SqliteConnection| -> Result<(), StoreError> {
            unreachable!("it has no turn")
        };
        let error = with(&mut waiting, &path, Duration::from_millis(1), work).await;
        let text = error.expect_err("no turn").to_string();
        assert!(text.contains("no turn to write to"), "{text}");
        assert!(text.contains("`neuroca serve`") && text.contains("run this again"), "{text}");
        if cfg!(target_os = "linux") {
            let myself = format!("process {} (", std::process::id());
            assert!(text.contains(&myself), "{text}");
        }
        holding.execute("COMMIT").await.expect("commits");
    }

    async fn make_table(on: &mut SqliteConnection) -> Result<(), StoreError> {
        Ok(on.execute("CREATE TABLE t (x)").await.map(drop)?)
    }

    #[tokio::test]
    async fn it_gets_its_turn_when_the_lock_is_let_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("neuroca.db");
        let (mut holding, mut waiting) = two(&path).await;
        holding.execute("BEGIN IMMEDIATE").await.expect("begins");
        let waits = with(&mut waiting, &path, PATIENCE, make_table);
        let frees = async { holding.execute("COMMIT").await.expect("commits") };
        let (done, _) = tokio::join!(waits, frees);
        done.expect("a turn");
        holding.execute("SELECT x FROM t").await.expect("the table is there");
    }

    #[test]
    fn only_the_write_lock_of_this_file_counts() {
        let line = "3: POSIX  ADVISORY  WRITE 4711 fd:01:1234 120 120";
        assert_eq!(holder(line, 1234), Some(4711));
        assert_eq!(holder(line, 123), None);
        assert_eq!(holder(&line.replace("WRITE", "READ"), 1234), None);
        assert_eq!(holder(&line.replace(" 120", " 128"), 1234), None);
        assert_eq!(holder("", 1234), None);
    }
}
