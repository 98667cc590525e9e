//! The flags that this process knows: a question must not cost a look into the database each time, and
//! is answered while the database is away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::FlagSet;
use crate::store::{Repository, StoreError};
use crate::tenant::Tenant;

/// So long a change elsewhere may go unnoticed.
const FRESH: Duration = Duration::from_secs(1);
const MOST_TENANTS: usize = 256;

/// The flags of a tenant as a database keeps them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// Counts from 1 with each change; 0: there never were any.
    pub version: i64,
    /// The flags.
    pub flags: FlagSet,
}

/// What is known, tenant by tenant.
#[derive(Default)]
pub struct KnownFlags(Mutex<HashMap<Tenant, (Instant, Arc<Stored>)>>);

impl KnownFlags {
    /// The flags of `tenant`, at most a second old; older while the database does not answer.
    pub async fn of(
        &self,
        tenant: &Tenant,
        repository: &dyn Repository,
    ) -> Result<Arc<Stored>, StoreError> {
        let known = self.lock().get(tenant).cloned();
        if let Some((read, flags)) = &known
            && read.elapsed() < FRESH
        {
            return Ok(flags.clone());
        }
        match (repository.flags(tenant).await, known) {
            (Ok(found), _) => {
                let found = Arc::new(found);
                self.keep(tenant, &found);
                Ok(found)
            }
            (Err(StoreError::Unavailable(error)), Some((_, flags))) => {
                tracing::debug!(error, "flags are not read anew");
                Ok(flags)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn keep(&self, tenant: &Tenant, flags: &Arc<Stored>) {
        let mut all = self.lock();
        if all.len() >= MOST_TENANTS && !all.contains_key(tenant) {
            all.clear();
        }
        all.insert(tenant.clone(), (Instant::now(), flags.clone()));
    }

    /// Forgets what was changed here.
    pub fn forget(&self, tenant: &Tenant) {
        self.lock().remove(tenant);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Tenant, (Instant, Arc<Stored>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
