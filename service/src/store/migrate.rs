//! Brings a database to the newest schema that this binary knows, one process at a time.
//!
//! Carries the SQL files of `migrations/`; decides nothing about compatibility. A database that
//! is newer than this binary is left as it is: a rollback runs the old binary's `migrate` too.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{StoreError, sqlite, turn};
use crate::config::Database;
use crate::schema::SchemaState;

static SQLITE: Migrator = ignoring_newer(sqlx::migrate!("../migrations/sqlite"));
static POSTGRES: Migrator = ignoring_newer(sqlx::migrate!("../migrations/postgres"));

const fn ignoring_newer(mut migrator: Migrator) -> Migrator {
    migrator.ignore_missing = true;
    migrator
}

/// What a migration run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Schema before, 0 for none.
    pub from: i64,
    /// Schema after.
    pub to: i64,
}

/// Applies what is missing. Two at once: the second waits and finds nothing to do.
pub async fn migrate(database: &Database) -> Result<Migrated, StoreError> {
    match database {
        Database::Sqlite(path) => migrate_sqlite(path).await,
        Database::Postgres(server) => migrate_postgres(&server.primary).await,
    }
}

/// A migration that this binary carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number: the schema that it leads to.
    pub version: i64,
    /// What it is about.
    pub description: String,
    /// Whether this database has it.
    pub applied: bool,
    /// Whether it can be undone.
    pub reversible: bool,
}

/// Which migrations the database has.
pub async fn status(database: &Database) -> Result<Vec<MigrationStatus>, StoreError> {
    let (migrator, found) = match database {
        Database::Sqlite(path) if !path.exists() => (&SQLITE, None),
        Database::Sqlite(path) => {
            let mut connection = connect_sqlite(path).await?;
            let found = sqlite::schema_of(&mut connection).await?;
            connection.close().await?;
            (&SQLITE, found)
        }
        Database::Postgres(server) => {
            let mut connection = server.primary.connect().await?;
            let found = super::postgres::schema_of(&mut connection).await?;
            connection.close().await?;
            (&POSTGRES, found)
        }
    };
    let at = version(found);
    let up = migrator.iter().filter(|migration| migration.migration_type.is_up_migration());
    Ok(up
        .map(|migration| MigrationStatus {
            version: migration.version,
            description: migration.description.to_string(),
            applied: migration.version <= at,
            reversible: migration.migration_type.is_reversible(),
        })
        .collect())
}

/// Undoes the last migration, if it can be undone and this binary carries it.
pub async fn rollback(database: &Database) -> Result<Migrated, StoreError> {
    let all = status(database).await?;
    let Some(last) = all.iter().rev().find(|migration| migration.applied) else {
        return Err(StoreError::Fault("there is no migration to undo".into()));
    };
    if !last.reversible {
        return Err(StoreError::Fault(format!(
            "migration {} ({}) cannot be undone without losing data; restore a backup instead",
            last.version, last.description
        )));
    }
    let target = last.version - 1;
    match database {
        Database::Sqlite(path) => {
            let mut connection = connect_sqlite(path).await?;
            let from = version(sqlite::schema_of(&mut connection).await?);
            refuse_newer(from, last.version)?;
            let to = turn::with(&mut connection, path, turn::PATIENCE, async |on| {
                SQLITE.undo(&mut *on, target).await.map_err(migration_error)?;
                Ok(version(sqlite::schema_of(on).await?))
            })
            .await?;
            connection.close().await?;
            Ok(Migrated { from, to })
        }
        Database::Postgres(server) => {
            let mut connection = server.primary.connect().await?;
            let from = version(super::postgres::schema_of(&mut connection).await?);
            refuse_newer(from, last.version)?;
            POSTGRES.undo(&mut connection, target).await.map_err(migration_error)?;
            let to = version(super::postgres::schema_of(&mut connection).await?);
            connection.close().await?;
            Ok(Migrated { from, to })
        }
    }
}

fn refuse_newer(found: i64, known: i64) -> Result<(), StoreError> {
    if found <= known {
        return Ok(());
    }
    Err(StoreError::Fault(format!(
        "the database is at schema {found}, this binary knows up to {known}; undo it with the \
         binary that applied it"
    )))
}

async fn migrate_sqlite(path: &Path) -> Result<Migrated, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            StoreError::Fault(format!("cannot create the folder {}: {error}", folder.display()))
        })?;
    }
    let mut connection = connect_sqlite(path).await?;
    // Most often a release changes no schema, and the one before it writes all the time: asking
    // for the write lock then waits for nothing, and may wait in vain.
    let done = match applied_sqlite(&mut connection).await? {
        Some(version) => Migrated { from: version, to: version },
        None => turn::with(&mut connection, path, turn::PATIENCE, run_sqlite).await?,
    };
    connection.close().await?;
    Ok(done)
}

/// The schema of the database if it has all that this binary carries. Only reads, which takes no
/// lock that anybody waits for.
async fn applied_sqlite(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    // One snapshot: another process may be migrating.
    let mut transaction = connection.begin().await?;
    let Some(state) = sqlite::schema_of(&mut transaction).await? else { return Ok(None) };
    let table = &SQLITE.table_name;
    if transaction.dirty_version(table).await.map_err(migration_error)?.is_some() {
        return Ok(None);
    }
    let applied = transaction.list_applied_migrations(table).await.map_err(migration_error)?;
    for migration in SQLITE.iter().filter(|one| one.migration_type.is_up_migration()) {
        match applied.iter().find(|one| one.version == migration.version) {
            Some(same) if same.checksum == migration.checksum => {}
            Some(_) => {
                return Err(migration_error(MigrateError::VersionMismatch(migration.version)));
            }
            None => return Ok(None),
        }
    }
    Ok(Some(state.version))
}

async fn run_sqlite(on: &mut SqliteConnection) -> Result<Migrated, StoreError> {
    let from = version(sqlite::schema_of(on).await?);
    SQLITE.run_direct(None, on, false).await.map_err(migration_error)?;
    let to = version(sqlite::schema_of(on).await?);
    Ok(Migrated { from, to })
}

/// Switching a new file to WAL needs it alone and does not wait for it: two first migrations at
/// once would fail one of them.
async fn connect_sqlite(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = sqlite::options(path).create_if_missing(true);
    let mut tries = 0;
    loop {
        match options.connect().await {
            Err(sqlx::Error::Database(error))
                if tries < 100 && turn::is_busy(error.code().as_deref()) =>
            {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return Ok(other?),
        }
    }
}

async fn migrate_postgres(options: &PgConnectOptions) -> Result<Migrated, StoreError> {
    let mut connection = options.connect().await?;
    let from = version(super::postgres::schema_of(&mut connection).await?);
    // Holds an advisory lock from here to the end of the connection or of the run.
    POSTGRES.run_direct(None, &mut connection, false).await.map_err(migration_error)?;
    let to = version(super::postgres::schema_of(&mut connection).await?);
    connection.close().await?;
    Ok(Migrated { from, to })
}

fn version(state: Option<SchemaState>) -> i64 {
    state.map_or(0, |state| state.version)
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) => error.into(),
        MigrateError::VersionMismatch(version) => StoreError::Fault(format!(
            "migration {version} was applied to this database with other contents than this \
             binary carries; use the binary that applied it"
        )),
        other => StoreError::Fault(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SCHEMA_MAX;

    #[test]
    fn both_databases_end_at_the_schema_that_the_binary_claims() {
        for migrator in [&SQLITE, &POSTGRES] {
            assert_eq!(migrator.iter().map(|migration| migration.version).max(), Some(SCHEMA_MAX));
        }
    }
}
