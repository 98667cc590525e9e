//! Which memories were looked at, counted for a moment before it is written: a read must not wait
//! for a write.
//!
//! What was not written when the process is killed is lost, and so is what comes when too many have
//! been looked at: an access more or less changes no answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::lifecycle::{Lifecycle, Phase};
use crate::maintenance::Maintenance;
use crate::memory::Moment;
use crate::store::{Access, Repository};
use crate::tenant::Tenant;

const PERIOD: Duration = Duration::from_secs(1);
/// Memories of one period; more would make reads cost as much as writes.
const MOST: usize = 128;

/// What was looked at since the last writing.
#[derive(Default)]
pub struct Accesses(Mutex<HashMap<(Tenant, Uuid), Access>>);

impl Accesses {
    /// Counts one access of each of `ids`.
    pub fn note(&self, tenant: &Tenant, ids: impl IntoIterator<Item = Uuid>, at: Moment) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            let key = (tenant.clone(), id);
            if let Some(access) = all.get_mut(&key) {
                access.times += 1;
                access.at = access.at.max(at);
            } else if all.len() < MOST {
                all.insert(key, Access { id, times: 1, at });
            }
        }
    }

    /// Writes what was noted, until the process stops; then once more.
    pub async fn write(
        &self,
        repository: &dyn Repository,
        maintenance: &Maintenance,
        lifecycle: &Lifecycle,
    ) {
        loop {
            let last = tokio::select! {
                () = lifecycle.reached(Phase::Stopping) => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            self.write_once(repository, maintenance).await;
            if last {
                return;
            }
        }
    }

    /// Writes what was noted, but not of those of whom nothing changes for a while.
    pub async fn write_once(&self, repository: &dyn Repository, maintenance: &Maintenance) {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let notices = maintenance.notices();
        let mut of: HashMap<Tenant, Vec<Access>> = HashMap::new();
        for ((tenant, _), access) in noted {
            if notices.of(&tenant).is_none() {
                of.entry(tenant).or_default().push(access);
            }
        }
        for (tenant, accesses) in of {
            if let Err(error) = repository.touch(&tenant, accesses).await {
                tracing::debug!(%error, "accesses are not counted");
            }
        }
    }
}
