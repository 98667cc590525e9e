//! The tables, and the way from one version of them to the next.

use neuroca_deploy_engine::ports::StoreError;
use rusqlite::Connection;

use super::WriteError;
use crate::layout::StateDir;

/// The version of the tables that this build reads and writes.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE lock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    -- Nobody holds it when this is null.
    holder TEXT, pid INTEGER, pid_start INTEGER,
    boot TEXT, deadline_ms INTEGER
);
INSERT INTO lock (one, epoch) VALUES (1, 0);

CREATE TABLE releases (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;

-- The history: one row per run, written when it begins.
CREATE TABLE journals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    release TEXT NOT NULL, version TEXT, rollback INTEGER NOT NULL,
    user TEXT NOT NULL, reason TEXT,
    started_ms INTEGER NOT NULL, ended_ms INTEGER,
    outcome TEXT, deployed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX journals_open ON journals (id) WHERE ended_ms IS NULL;
CREATE INDEX journals_deployed ON journals (id) WHERE deployed = 1;

-- What only an unfinished run needs; kept apart so that the history stays quick to read.
CREATE TABLE plans (journal INTEGER PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE records (
    journal INTEGER NOT NULL, position INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (journal, position)
) WITHOUT ROWID;

CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    intent TEXT NOT NULL, user TEXT NOT NULL, reason TEXT, left_ms INTEGER NOT NULL
);

-- The processes that are to run, and what the edge is to do.
CREATE TABLE wanted (
    revision TEXT PRIMARY KEY, component TEXT NOT NULL, release TEXT NOT NULL,
    replicas INTEGER NOT NULL,
    warm_until_ms INTEGER, warm_boot TEXT, warm_until_boot_ms INTEGER
) WITHOUT ROWID;
-- Which split a generation of the edge's table stood for; the last one is to be in force.
CREATE TABLE routing (generation INTEGER PRIMARY KEY, traffic TEXT NOT NULL);

CREATE TABLE sealed (release TEXT PRIMARY KEY, versions TEXT NOT NULL, secrets BLOB NOT NULL);

-- Digests of files by what changes when their content does.
CREATE TABLE digests (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, inode INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// Brings the tables to this version, or says why that cannot be.
pub(super) fn prepare(db: &mut Connection, state: &StateDir) -> Result<(), WriteError> {
    let found: i64 = db.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if found > VERSION {
        return Err(StoreError::Unusable(format!(
            "the state database {} has version {found}, this neuroca-deploy reads up to {VERSION}\n  hint: \
             use the neuroca-deploy that wrote it, or a newer one",
            state.database().display()
        ))
        .into());
    }
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
    if found == VERSION {
        return Ok(());
    }
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have made them while this one waited for the write lock.
    let found: i64 = tx.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if found < 1 {
        tx.execute_batch(TABLES)?;
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}
