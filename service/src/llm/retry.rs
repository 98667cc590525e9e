//! Whether a request to a model is sent again, and when.
//!
//! Only what cost nothing and showed nothing is repeated: no connection, a 429 that says when, a 5xx
//! instead of an answer. A silence is not: the model may be at work, and the tokens are paid for.

use std::time::Duration;

use super::Failure;

/// How often one question is sent.
const MOST: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Who wants to be left alone for longer is not waited for: the client is told to come again.
const LONGEST_WISH: Duration = Duration::from_secs(10);

/// How long to wait before the next attempt, after `attempts` of them; `None` to give up. `random`
/// is from 0 to 1.
pub(super) fn pause(failure: &Failure, attempts: u32, random: f64) -> Option<Duration> {
    if attempts >= MOST {
        return None;
    }
    // Anywhere between nothing and the limit, so that those who failed together do not come
    // together again.
    let limit = (FIRST_PAUSE * 2u32.saturating_pow(attempts - 1)).min(LONGEST_PAUSE);
    let jitter = limit.mul_f64(random.clamp(0.0, 1.0));
    match failure {
        Failure::Unreachable | Failure::Failed(_) => Some(jitter),
        Failure::Busy(Some(wish)) if *wish <= LONGEST_WISH => Some(*wish + jitter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cost_nothing_is_repeated() {
        let wish = Duration::from_secs(2);
        for failure in [Failure::Unreachable, Failure::Failed(503), Failure::Busy(Some(wish))] {
            assert!(pause(&failure, 1, 0.5).is_some(), "{failure:?}");
            assert_eq!(pause(&failure, MOST, 0.5), None, "{failure:?}");
        }
        for failure in [
            Failure::LeftAlone(wish),
            Failure::Silent(wish),
            Failure::Busy(None),
            Failure::Busy(Some(LONGEST_WISH * 2)),
            Failure::Refused(400, String::new()),
            Failure::Garbled(""),
            Failure::Cut,
        ] {
            assert_eq!(pause(&failure, 1, 0.5), None, "{failure:?}");
        }
    }

    #[test]
    fn the_pause_grows_and_is_spread_from_nothing_on() {
        let of = |attempts, random| pause(&Failure::Unreachable, attempts, random).expect("again");
        assert_eq!((of(1, 0.0), of(2, 0.0)), (Duration::ZERO, Duration::ZERO));
        assert_eq!((of(1, 1.0), of(2, 1.0)), (FIRST_PAUSE, FIRST_PAUSE * 2));
        let wish = Duration::from_secs(3);
        assert!(pause(&Failure::Busy(Some(wish)), 1, 0.0) >= Some(wish));
    }
}
