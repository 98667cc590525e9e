//! What a tenant may use of the model on a day: taken before it is asked, corrected afterwards.
//!
//! The database counts, so that all replicas spend from one purse and a restart does not fill it.

use std::sync::Arc;

use crate::memory::Moment;
use crate::store::{Repository, StoreError};
use crate::tenant::Tenant;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Tokens of a tenant and day.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// At most so many; no limit without it.
    pub per_day: Option<u64>,
}

/// Why there is nothing to spend.
#[derive(Debug)]
pub enum Overspent {
    /// The day's tokens would not be enough; seconds until the next day.
    Until(u64),
    /// The database did not answer.
    Store(StoreError),
}

impl Budget {
    /// Takes `tokens` for a question, as many as it can cost.
    pub async fn claim(
        &self,
        repository: &Arc<dyn Repository>,
        tenant: &Tenant,
        tokens: u64,
        now: Moment,
    ) -> Result<Claim, Overspent> {
        let day = day(now);
        match repository.spend(tenant, day, tokens, self.per_day).await {
            Ok(true) => Ok(Claim {
                repository: repository.clone(),
                tenant: tenant.clone(),
                day,
                taken: tokens,
                used: 0,
            }),
            Ok(false) => {
                let left = (day + 1) * DAY - now.0;
                Err(Overspent::Until(u64::try_from(left).unwrap_or(0).div_ceil(1000)))
            }
            Err(error) => Err(Overspent::Store(error)),
        }
    }

    /// What was taken of the day so far.
    pub async fn spent(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        now: Moment,
    ) -> Result<u64, StoreError> {
        repository.spent(tenant, day(now)).await
    }
}

fn day(now: Moment) -> i64 {
    now.0.div_euclid(DAY)
}

/// Tokens that were taken. Gives back what was not used when it is dropped, also when whoever asked
/// went away in the middle.
pub struct Claim {
    repository: Arc<dyn Repository>,
    tenant: Tenant,
    day: i64,
    taken: u64,
    used: u64,
}

impl Claim {
    /// So many were used so far, all together.
    pub fn used(&mut self, tokens: u64) {
        self.used = tokens;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let by = signed(self.used) - signed(self.taken);
        if by == 0 {
            return;
        }
        // Without a runtime the process is ending; what is not given back was spent.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (repository, tenant, day) = (self.repository.clone(), self.tenant.clone(), self.day);
        runtime.spawn(async move {
            if let Err(error) = repository.correct(&tenant, day, by).await {
                tracing::warn!(%error, "tokens that were not used could not be given back");
            }
        });
    }
}
