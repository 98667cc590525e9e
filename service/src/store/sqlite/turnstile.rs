//! Turns at writing, for processes that share a SQLite file.
//!
//! SQLite's own busy handler is not fair: it asks ever more seldom, and a process that writes without a pause, as the
//! old release does while the new one takes over, keeps it waiting for seconds. Here whoever wants to write takes the
//! one place in the queue, keeps it until it has the turn, and only then lets the next one ask: two writers alternate.
//!
//! It orders, and protects nothing: that is SQLite's lock. Who waits too long (the holder is stopped, not dead) goes
//! on without a turn, and then waits for that lock as before.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::StoreError;

/// Longer than any transaction of this service.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);

/// Two locks on files beside the database. The kernel lets go of them when the process ends.
pub(super) struct Turnstile {
    queue: File,
    turn: File,
}

/// Locked until it is dropped.
pub(super) struct Held<'a>(&'a File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Turnstile {
    pub(super) fn beside(database: &Path) -> Result<Self, StoreError> {
        let open = |suffix: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            OpenOptions::new().create(true).append(true).open(&path).map_err(|error| {
                let path = Path::new(&path).display();
                StoreError::Fault(format!("cannot open {path}: {error}"))
            })
        };
        Ok(Self { queue: open("-queue")?, turn: open("-turn")? })
    }

    /// Waits for the turn, which lasts until what is given back is dropped; nothing when it did not come in time.
    pub(super) async fn pass(&self) -> Option<Held<'_>> {
        let until = Instant::now() + PATIENCE;
        let _place = locked(&self.queue, until).await?;
        locked(&self.turn, until).await
    }
}

async fn locked(file: &File, until: Instant) -> Option<Held<'_>> {
    loop {
        match file.try_lock() {
            Ok(()) => return Some(Held(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            // A file system without locks has no order, and still works.
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    /// Takes turns without a pause until told to stop; counts them.
    async fn write_on(turnstile: &Turnstile, turns: &AtomicU32, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let turn = turnstile.pass().await.expect("a turn");
            turns.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            drop(turn);
        }
    }

    #[tokio::test]
    async fn a_writer_without_a_pause_lets_the_other_one_in_after_its_transaction() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("neuroca.db");
        let busy = Turnstile::beside(&path).expect("opens");
        let other = Turnstile::beside(&path).expect("opens");
        let (turns, stop) = (AtomicU32::new(0), AtomicBool::new(false));
        let comes = async {
            let mut waited = Vec::new();
            for _ in 0..30 {
                let before = turns.load(Ordering::SeqCst);
                let turn = other.pass().await.expect("a turn");
                waited.push(turns.load(Ordering::SeqCst) - before);
                drop(turn);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            stop.store(true, Ordering::SeqCst);
            waited
        };
        let (waited, ()) = tokio::join!(comes, write_on(&busy, &turns, &stop));
        // One that was just beginning when it asked, and one that had the place in the queue already.
        assert!(waited.iter().all(|turns| *turns <= 2), "{waited:?}");
    }

    #[tokio::test]
    async fn whoever_is_stopped_with_the_turn_does_not_stop_the_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("neuroca.db");
        let stopped = Turnstile::beside(&path).expect("opens");
        let other = Turnstile::beside(&path).expect("opens");
        let turn = stopped.pass().await.expect("a turn");
        assert!(other.pass().await.is_none(), "it goes on without");
        drop(turn);
        assert!(other.pass().await.is_some(), "it is let in again");
    }
}
