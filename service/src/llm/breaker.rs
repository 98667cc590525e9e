//! Leaves a provider alone that keeps failing: whoever asks meanwhile is told at once.
//!
//! Knows no clock; the time comes in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

struct State {
    failures: u32,
    pause: Duration,
    /// Left alone until then; the first one after that tries for all.
    until: Option<Instant>,
    trying: bool,
}

/// The breaker of one provider.
#[derive(Clone)]
pub(crate) struct Breaker(Arc<Mutex<State>>);

impl Default for Breaker {
    fn default() -> Self {
        let state = State { failures: 0, pause: FIRST_PAUSE, until: None, trying: false };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl Breaker {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leave to ask, or how long there is none.
    pub(crate) fn admit(&self, now: Instant) -> Result<Pass, Duration> {
        self.change(|state| {
            if let Some(until) = state.until {
                let left = until.saturating_duration_since(now);
                if !left.is_zero() {
                    return Err(left);
                }
                if state.trying {
                    return Err(Duration::from_secs(1));
                }
                state.trying = true;
                return Ok(true);
            }
            Ok(false)
        })
        .map(|trying| Pass { breaker: self.clone(), trying })
    }

    /// Whether it is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.change(|state| state.until.is_some())
    }
}

/// Leave to ask once. One that is dropped without a word says nothing about the provider.
pub(crate) struct Pass {
    breaker: Breaker,
    trying: bool,
}

impl Pass {
    pub(crate) fn worked(self) {
        self.breaker.change(|state| {
            *state = State { failures: 0, pause: FIRST_PAUSE, until: None, trying: state.trying };
        });
    }

    pub(crate) fn failed(self, now: Instant) {
        let tried = self.trying;
        self.breaker.change(|state| {
            state.failures += 1;
            if tried || state.failures >= FAILURES {
                // Others that were on their way do not make it longer.
                if tried || state.until.is_none() {
                    state.until = Some(now + state.pause);
                    state.pause = (state.pause * 2).min(LONGEST_PAUSE);
                }
            }
        });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.trying {
            self.breaker.change(|state| state.trying = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.admit(now).map(|pass| pass.failed(now)).expect("is admitted");
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES - 1 {
            fail(&breaker, now);
        }
        breaker.admit(now).expect("is admitted").worked();
        for _ in 0..FAILURES - 1 {
            fail(&breaker, now);
        }
        assert!(!breaker.is_open());
        fail(&breaker, now);
        assert!(breaker.is_open());
        assert_eq!(breaker.admit(now).map(drop), Err(FIRST_PAUSE));
    }

    #[test]
    fn one_tries_and_decides_for_all() {
        let (breaker, begin) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            fail(&breaker, begin);
        }
        let later = begin + FIRST_PAUSE;
        let trying = breaker.admit(later).expect("one tries");
        assert!(breaker.admit(later).is_err(), "the others wait");
        trying.failed(later);
        assert_eq!(breaker.admit(later).map(drop), Err(FIRST_PAUSE * 2));
        let later = later + FIRST_PAUSE * 2;
        // Whoever asked went away before there was an answer: the next one tries.
        drop(breaker.admit(later).expect("one tries"));
        breaker.admit(later).expect("the next one tries").worked();
        assert!(!breaker.is_open());
        let (_one, _two) = (breaker.admit(later).expect("all"), breaker.admit(later).expect("all"));
    }
}
