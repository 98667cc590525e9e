//! When the lock may be taken, as a pure function of what is seen of it.
//!
//! A holder renews every two seconds. Clocks of two machines may differ, so that a time in the lease alone
//! takes nobody's lock: whoever waits also sees for itself that nobody renews.

use std::time::Duration;

/// How long the lock is good for without being renewed.
pub const GOOD_FOR: Duration = Duration::from_secs(10);
/// Longer than the time between two renewals of a living holder.
pub const PROOF: Duration = Duration::from_millis(2_500);
/// Clocks that differ by more are not reckoned with.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// A lease as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub holder: Option<String>,
    /// The process that holds it, where it can be told from here whether it lives.
    pub process_is_gone: bool,
    /// How long ago it was renewed by the clocks of holder and looker; nothing when that is in the future.
    pub age: Option<Duration>,
    /// How long the looker has seen it unchanged.
    pub unchanged: Duration,
}

/// What is to be thought of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be taken.
    Free,
    /// Its holder is silent, but it is not certain yet that it is gone.
    Doubtful(String),
    Held(String),
}

/// Whether it may be taken.
pub fn judge(seen: &Seen) -> Verdict {
    let Some(holder) = &seen.holder else { return Verdict::Free };
    if seen.process_is_gone || seen.unchanged >= GOOD_FOR {
        return Verdict::Free;
    }
    match seen.age {
        Some(age) if age >= GOOD_FOR + CLOCKS_DIFFER => Verdict::Free,
        Some(age) if age >= GOOD_FOR && seen.unchanged >= PROOF => Verdict::Free,
        Some(age) if age >= GOOD_FOR => Verdict::Doubtful(holder.clone()),
        _ => Verdict::Held(holder.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(age: Option<u64>, unchanged_ms: u64) -> Verdict {
        judge(&Seen {
            holder: Some("ann".into()),
            process_is_gone: false,
            age: age.map(Duration::from_secs),
            unchanged: Duration::from_millis(unchanged_ms),
        })
    }

    #[test]
    fn nobody_who_renews_loses_it_whatever_the_clocks_say() {
        let ann = || "ann".to_string();
        // A renewal every two seconds: it is never seen unchanged for longer.
        for age in [Some(0), Some(2), None] {
            assert_eq!(seen(age, 2_000), Verdict::Held(ann()));
        }
        assert_eq!(seen(Some(30), 2_000), Verdict::Doubtful(ann()), "the clocks may differ");
    }

    #[test]
    fn a_dead_holder_is_succeeded_within_fifteen_seconds() {
        // Clocks agree: ten seconds after the last renewal, with the proof seen meanwhile.
        assert_eq!(seen(Some(10), 2_500), Verdict::Free);
        // They do not: ten seconds after the first look, at the latest.
        assert_eq!(seen(None, 10_000), Verdict::Free);
        assert_eq!(seen(Some(3), 9_999), Verdict::Held("ann".into()));
        // Long dead: at once.
        assert_eq!(seen(Some(70), 0), Verdict::Free);
        assert_eq!(judge(&Seen::default()), Verdict::Free);
        let gone = Seen { holder: Some("ann".into()), process_is_gone: true, ..Seen::default() };
        assert_eq!(judge(&gone), Verdict::Free);
    }
}
