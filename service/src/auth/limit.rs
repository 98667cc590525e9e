//! How many requests somebody may make: a bucket each that fills by the minute. Replicas share it if
//! there is a Redis; without, or while that is away, each has its own.

mod local;
mod shared;

use std::time::Instant;

pub use shared::RedisAddress;

use super::AuthSettings;
use crate::lifecycle::Lifecycle;
use local::LocalBuckets;
use shared::SharedBuckets;

/// The buckets; with 0 a minute there is no limit.
pub struct Limiter {
    per_minute: u32,
    local: LocalBuckets,
    shared: Option<SharedBuckets>,
}

impl Limiter {
    /// At most `per_minute` in a burst, and that many a minute in the long run.
    pub fn new(settings: &AuthSettings) -> Self {
        Self {
            per_minute: settings.per_minute,
            local: LocalBuckets::new(settings.per_minute),
            shared: settings.redis.as_ref().map(SharedBuckets::new),
        }
    }

    /// Takes one for `who`; else the seconds to wait.
    pub async fn take(&self, who: &str) -> Result<(), u64> {
        if self.per_minute == 0 {
            return Ok(());
        }
        if let Some(shared) = &self.shared
            && let Some(answer) = shared.take(who, self.per_minute).await
        {
            return answer;
        }
        self.local.take(who, Instant::now())
    }

    /// Keeps what is shared within reach, until the process stops.
    pub async fn keep(&self, lifecycle: &Lifecycle) {
        if let Some(shared) = &self.shared {
            shared.keep(lifecycle).await;
        }
    }

    /// Appends the metrics; `labels` go to every sample.
    pub fn render(&self, out: &mut String, labels: &str) {
        if let Some(shared) = &self.shared {
            shared.render(out, labels);
        }
    }
}
