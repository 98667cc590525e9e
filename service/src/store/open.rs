//! Opening a database, and making sure that this binary works on it.

use std::sync::Arc;

use super::{Repository, StoreError, postgres, sqlite};
use crate::config::Database;
use crate::schema::Incompatible;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached: worth another try.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be used by this binary.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// It would not keep tenants apart, or does not let us work.
    #[error("{0}")]
    Unsafe(String),
}

/// Opens the database and makes sure that this binary works on its schema.
pub async fn open(database: &Database) -> Result<Arc<dyn Repository>, OpenError> {
    let repository: Arc<dyn Repository> = match database {
        Database::Sqlite(path) => {
            if !path.exists() {
                return Err(Incompatible::Empty.into());
            }
            Arc::new(sqlite::open(path).await?)
        }
        Database::Postgres(server) => Arc::new(postgres::open(server).await?),
    };
    let checked = match repository.schema().await {
        Ok(state) => crate::schema::check(state).map_err(OpenError::from),
        Err(error) => Err(error.into()),
    };
    match checked {
        Ok(_) => Ok(repository),
        Err(error) => {
            repository.close().await;
            Err(error)
        }
    }
}
