//! How common words are in the memories of each tenant that searches, kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Statistics;
use crate::store::{Look, StoreError};
use crate::tenant::Tenant;

const SAMPLE: u32 = 2000;
const SAMPLE_LIFE: Duration = Duration::from_secs(60);
const SMALL_SAMPLE_LIFE: Duration = Duration::from_secs(1);
const MOST_TENANTS: usize = 256;

/// What was counted lately.
#[derive(Default)]
pub(super) struct Counts(Mutex<HashMap<Tenant, Counted>>);

#[derive(Clone)]
struct Counted {
    made: Instant,
    /// Of the vocabulary that was the current one then: another one has other hashes.
    version: i64,
    statistics: Arc<Statistics>,
}

impl Counts {
    /// Of `tenant`, whose memories are looked at, under this version of its vocabulary.
    pub(super) async fn of(
        &self,
        look: &mut dyn Look,
        tenant: &Tenant,
        version: i64,
    ) -> Result<Arc<Statistics>, StoreError> {
        let known = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(tenant).cloned()
        };
        if let Some(Counted { made, statistics, .. }) =
            known.filter(|known| known.version == version)
        {
            // A few memories are soon twice as many.
            let few = statistics.total() < f64::from(SAMPLE);
            if made.elapsed() < if few { SMALL_SAMPLE_LIFE } else { SAMPLE_LIFE } {
                return Ok(statistics);
            }
        }
        let statistics = Arc::new(Statistics::new(&look.sample(SAMPLE).await?));
        let counted = Counted { made: Instant::now(), version, statistics: statistics.clone() };
        self.keep(tenant, counted);
        Ok(statistics)
    }

    fn keep(&self, tenant: &Tenant, counted: Counted) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_TENANTS
            && let Some(oldest) =
                all.iter().min_by_key(|(_, known)| known.made).map(|(tenant, _)| tenant.clone())
        {
            all.remove(&oldest);
        }
        all.insert(tenant.clone(), counted);
    }
}
