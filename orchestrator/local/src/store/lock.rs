//! The lock with its epoch: whoever takes it makes every earlier holder powerless.

use std::time::Duration;

use neuroca_deploy_engine::ports::{Epoch, StoreError};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, WriteError};
use crate::process_id::{ProcessId, boot_id, boot_ms};

/// How long the lock is good for without being renewed.
const GOOD_FOR: Duration = Duration::from_secs(10);

impl Store {
    /// Takes the lock if it is free, expired, or held by a process that is gone.
    pub(super) fn try_lock(&self, holder: &str) -> Result<Epoch, StoreError> {
        let own = ProcessId::own();
        let (boot, now) = (boot_id(), boot_ms());
        self.write(|tx| {
            if let Some(holder) = held_by(tx, &boot, now)? {
                return Err(StoreError::Held { holder }.into());
            }
            let epoch = tx.query_row(
                "UPDATE lock SET epoch = epoch + 1, holder = ?1, pid = ?2, pid_start = ?3, boot = ?4, \
                 deadline_ms = ?5 RETURNING epoch",
                params![holder, own.pid, own.start, boot, deadline(now)],
                |row| row.get(0),
            )?;
            Ok(Epoch(epoch))
        })
    }

    pub(super) fn renew_lock(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.write(|tx| {
            check(tx, epoch)?;
            tx.execute("UPDATE lock SET deadline_ms = ?1", [deadline(boot_ms())])?;
            Ok(())
        })
    }

    pub(super) fn give_lock_back(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.write(|tx| {
            check(tx, epoch)?;
            // The time stays: it tells how long nobody has held the lock.
            let sql = "UPDATE lock SET holder = NULL, pid = NULL, deadline_ms = ?1";
            tx.execute(sql, [deadline(boot_ms())])?;
            Ok(())
        })
    }

    /// Takes the lock from whoever holds it; its holder is refused from now on.
    pub fn break_lock(&self) -> Result<Option<String>, StoreError> {
        self.write(|tx| {
            let holder = held_by(tx, &boot_id(), boot_ms())?;
            let sql = "UPDATE lock SET epoch = epoch + 1, holder = NULL, deadline_ms = ?1";
            tx.execute(sql, [deadline(boot_ms())])?;
            Ok(holder)
        })
    }

    pub(super) fn lock_holder(&self) -> Result<Option<String>, StoreError> {
        self.read(|db| held_by(db, &boot_id(), boot_ms()))
    }

    /// How long nobody has shown that they hold the lock: since it was last renewed, or given back.
    /// What was before the machine went down is longer ago than anybody waits.
    pub fn silent_for(&self) -> Result<Option<Duration>, StoreError> {
        let found = self.read(|db| {
            let sql = "SELECT boot, deadline_ms FROM lock WHERE deadline_ms IS NOT NULL";
            let row =
                |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?));
            db.query_row(sql, [], row).optional()
        })?;
        Ok(found.map(|(boot, until)| match boot == boot_id() {
            true => Duration::from_millis(deadline(boot_ms()).saturating_sub(until)),
            false => Duration::MAX,
        }))
    }

    /// The highest epoch that was given out; what comes with a lower one is refused.
    pub fn epoch(&self) -> Result<Epoch, StoreError> {
        self.read(|db| db.query_row("SELECT epoch FROM lock", [], |row| row.get(0)).map(Epoch))
    }
}

/// Fails when the epoch is not that of the lock as it is held now. An expired lock that nobody
/// took is still its holder's.
pub(super) fn check(tx: &Transaction<'_>, epoch: Epoch) -> Result<(), WriteError> {
    let held: Option<u64> = tx
        .query_row("SELECT epoch FROM lock WHERE holder IS NOT NULL", [], |row| row.get(0))
        .optional()?;
    if held == Some(epoch.0) { Ok(()) } else { Err(StoreError::Fenced.into()) }
}

fn held_by(db: &rusqlite::Connection, boot: &str, now: u64) -> rusqlite::Result<Option<String>> {
    let held = db
        .query_row(
            "SELECT holder, pid, pid_start FROM lock \
             WHERE holder IS NOT NULL AND boot = ?1 AND deadline_ms > ?2",
            params![boot, now],
            |row| {
                let id = ProcessId { pid: row.get(1)?, start: row.get(2)? };
                Ok((row.get::<_, String>(0)?, id))
            },
        )
        .optional()?;
    Ok(held.filter(|(_, id)| id.is_alive()).map(|(holder, _)| holder))
}

fn deadline(now: u64) -> u64 {
    now + GOOD_FOR.as_millis() as u64
}
