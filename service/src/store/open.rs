//! Opening a database, and making sure that this binary works on it.

use std::sync::Arc;

use super::{Repository, StoreError, postgres, sqlite};
use crate::config::Database;
use crate::schema::Incompatible;
use crate::sealing::{Keyring, SealError, SealingSettings};

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached: worth another try.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be used by this binary.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// It is encrypted, and not with the key that is given.
    #[error("{0}")]
    Key(SealError),
    /// It would not keep tenants apart, or does not let us work.
    #[error("{0}")]
    Unsafe(String),
}

/// Opens a database that is not encrypted.
pub async fn open(database: &Database) -> Result<Arc<dyn Repository>, OpenError> {
    open_with(database, None).await
}

/// Opens the database and makes sure that this binary works on its schema, and that the key is the right one.
pub async fn open_with(
    database: &Database,
    sealing: Option<&SealingSettings>,
) -> Result<Arc<dyn Repository>, OpenError> {
    let keyring = Arc::new(Keyring::new(sealing));
    let repository: Arc<dyn Repository> = match database {
        Database::Sqlite(path) => {
            if !path.exists() {
                return Err(Incompatible::Empty.into());
            }
            Arc::new(sqlite::open(path, keyring.clone()).await?)
        }
        Database::Postgres(server) => Arc::new(postgres::open(server, keyring.clone()).await?),
    };
    match check(&*repository, &keyring).await {
        Ok(()) => Ok(repository),
        Err(error) => {
            repository.close().await;
            Err(error)
        }
    }
}

async fn check(repository: &dyn Repository, keyring: &Keyring) -> Result<(), OpenError> {
    crate::schema::check(repository.schema().await?)?;
    let Some(lock) = repository.lock().await? else {
        if keyring.current().is_some() {
            tracing::warn!(
                "memory content is not encrypted, though there is a key: run `neuroca keys rekey` once every \
                 replica runs this version"
            );
        }
        return Ok(());
    };
    match keyring.check(&lock.proof, &lock.wrapped_by).await {
        Ok(()) => Ok(()),
        Err(SealError::Away(text)) => Err(StoreError::Keys(text).into()),
        Err(error) => Err(OpenError::Key(error)),
    }
}
