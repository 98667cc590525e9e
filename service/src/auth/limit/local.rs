//! Buckets in this process: what each replica has for itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const MOST: usize = 10_000;

struct Bucket {
    left: f64,
    at: Instant,
}

pub(super) struct LocalBuckets {
    per_minute: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl LocalBuckets {
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute: f64::from(per_minute), buckets: Mutex::default() }
    }

    /// Takes one for `who`; else the seconds to wait.
    pub(super) fn take(&self, who: &str, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            // A bucket that has filled up again is like none.
            let full = 60.0;
            buckets.retain(|_, bucket| now.duration_since(bucket.at).as_secs_f64() < full);
        }
        let bucket =
            buckets.entry(who.to_owned()).or_insert(Bucket { left: self.per_minute, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * self.per_minute / 60.0).min(self.per_minute);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(((1.0 - bucket.left) * 60.0 / self.per_minute).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let buckets = LocalBuckets::new(6);
        let begin = Instant::now();
        for _ in 0..6 {
            assert_eq!(buckets.take("ann", begin), Ok(()));
        }
        assert_eq!(buckets.take("ann", begin), Err(10));
        assert_eq!(buckets.take("bob", begin), Ok(()));
        assert_eq!(buckets.take("ann", begin + Duration::from_secs(10)), Ok(()));
        assert_eq!(buckets.take("ann", begin + Duration::from_secs(11)), Err(9));
    }
}
