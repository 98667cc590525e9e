//! The state of one environment in SQLite: releases, journal, history, lock, wanted processes.
//!
//! One connection, used from one process at a time; several processes may have one each. It knows
//! no plan's meaning: it keeps and finds.

mod digests;
mod history;
mod intents;
mod journal;
mod lock;
mod port;
mod retention;
mod schema;
mod sealed;
mod wanted;

use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use neuroca_deploy_engine::ports::StoreError;
use rusqlite::{Connection, ErrorCode};

use crate::layout::StateDir;

pub use retention::Pruned;
pub use wanted::{Wanted, Warm};

/// How long a statement waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// The database of one environment.
pub struct Store {
    connection: Mutex<Connection>,
    state: StateDir,
}

impl Store {
    /// Opens the database, making or upgrading it if need be.
    pub fn open(state: &StateDir) -> Result<Self, StoreError> {
        let path = state.database();
        let new = !path.exists();
        let failed = |e: &io::Error| StoreError::Failed(format!("{}: {e}", path.display()));
        let open = || {
            let mut connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY)?;
            if new {
                private(&path).map_err(|e| failed(&e))?;
            }
            schema::prepare(&mut connection, state)?;
            Ok(connection)
        };
        let connection = with_room(state, open).map_err(|error| error.told(state))?;
        Ok(Self { connection: Mutex::new(connection), state: state.clone() })
    }

    /// Tries whether the database can be written.
    pub fn try_writing(&self) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute("UPDATE lock SET epoch = epoch", [])?;
            Ok(())
        })
    }

    pub fn state(&self) -> &StateDir {
        &self.state
    }

    fn db(&self) -> MutexGuard<'_, Connection> {
        // A panic while it was held cannot have left half a transaction: those roll back.
        self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads with one connection and explains what goes wrong.
    fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        query(&self.db()).map_err(|e| explain(&self.state, e))
    }

    /// Writes in one transaction that has the write lock from its beginning, so that what it
    /// reads is what it writes upon.
    fn write<T>(
        &self,
        change: impl Fn(&rusqlite::Transaction<'_>) -> Result<T, WriteError>,
    ) -> Result<T, StoreError> {
        let attempt = || {
            let mut db = self.db();
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = change(&tx)?;
            tx.commit()?;
            Ok(value)
        };
        with_room(&self.state, attempt).map_err(|error| error.told(&self.state))
    }
}

/// Does it, and once more when the disk is full and there was room set aside for that.
fn with_room<T>(
    state: &StateDir,
    attempt: impl Fn() -> Result<T, WriteError>,
) -> Result<T, WriteError> {
    match attempt() {
        Err(WriteError::Sql(error)) if is_full(&error) && state.give_up_reserve() => attempt(),
        result => result,
    }
}

/// What SQLite says of a full disk depends on the file that could not grow.
fn is_full(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure | CannotOpen))
}

/// Why a transaction was not done.
enum WriteError {
    Refused(StoreError),
    Sql(rusqlite::Error),
}

impl WriteError {
    fn told(self, state: &StateDir) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) => explain(state, error),
        }
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

fn private(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// What went wrong, on what, and what to do.
fn explain(state: &StateDir, error: rusqlite::Error) -> StoreError {
    let path = state.database();
    let path = path.display();
    let failed = |hint: &str| {
        StoreError::Failed(format!("cannot use the state database {path}: {error}\n  hint: {hint}"))
    };
    let code = match error.sqlite_error().map(|e| e.extended_code) {
        // A file that is shorter than its own header says was cut off.
        Some(rusqlite::ffi::SQLITE_IOERR_SHORT_READ) => Some(ErrorCode::DatabaseCorrupt),
        _ => error.sqlite_error_code(),
    };
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Unusable(format!(
                "the state database {path} is damaged: {error}\n  hint: what runs goes on; \
                 stop it (neuroca-deploy local stop ENV), put a copy in place of the file and start it \
                 again, or move the file away and apply"
            ))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            failed("make the state directory writable for this user, or choose another one")
        }
        Some(ErrorCode::DiskFull) => {
            failed("the disk is full; make room and run the command again")
        }
        Some(ErrorCode::SystemIoFailure) => {
            failed("look at the disk: it may be full or failing; then run the command again")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            failed("another process kept it locked; run the command again")
        }
        _ => failed("if it stays so, this is a defect worth a report"),
    }
}

/// A value that is stored as JSON.
fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain values have a JSON form")
}

/// A value that was stored as JSON, by this version or an older one.
fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| {
        StoreError::Unusable(format!(
            "the state database holds a {what} that this version cannot read: {e}\n  hint: use the \
             version that wrote it"
        ))
    })
}

#[cfg(test)]
mod tests;
