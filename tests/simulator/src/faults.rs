//! Faults: when they strike, and what they do to the world. A moment is a boundary that a driver
//! reaches, or so long after one.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::script::{Side, What};
use crate::world::{Start, World, hash_of};

/// What strikes whoever calls next, or lasts until a time.
#[derive(Default)]
pub struct Weather {
    pub requests: VecDeque<What>,
    pub store_fails: Option<bool>,
    pub look_late: Option<u32>,
    pub blind_until: u64,
    pub silent_until: u64,
    pub stale_until: u64,
    pub lag_until: u64,
    pub flap_until: [u64; 2],
    pub counts: Counts,
    pub clock_skew: i64,
}

/// What is the matter with the counts, and until when.
#[derive(Default)]
pub struct Counts {
    pub gone_until: u64,
    pub empty_until: u64,
    pub late_ms: Option<u32>,
    pub again_until: u64,
    pub absurd_until: u64,
    pub both_err_until: u64,
}

impl World {
    /// A moment at which a driver may be struck; true when it has to wait.
    pub fn reach_boundary(&mut self, driver: usize) -> bool {
        self.boundary += 1;
        while let Some(fault) = self.faults.pop_front_if(|f| f.place.boundary <= self.boundary) {
            match fault.place.later_ms {
                0 => self.strike(fault.what, Some(driver)),
                ms => self.due.push((self.now + u64::from(ms), fault.what)),
            }
        }
        self.check_always();
        if self.drivers.iter().filter(|d| d.alive).count() > 1 {
            // Two who act at once take turns.
            let turn = self.now + 1;
            let stalled = &mut self.drivers[driver].stalled_until;
            *stalled = turn.max(*stalled);
        }
        self.drivers[driver].killed || self.drivers[driver].stalled_until > self.now
    }

    pub fn strike(&mut self, what: What, driver: Option<usize>) {
        self.struck += 1;
        self.note(hash_of(&what));
        self.tell(|w| format!("! {}", w.words_of_fault(what)));
        let holder = self.store.holder.map(|h| h.driver).filter(|d| self.drivers[*d].alive);
        let victim = driver.or(holder);
        let until = |ms: u32| self.now + u64::from(ms);
        match what {
            What::Crash { successor_ms } => {
                if let Some(driver) = victim {
                    self.drivers[driver].killed = true;
                    self.starts.push((until(successor_ms), Start::Apply { wait_ms: 20_000 }));
                }
            }
            What::Stall { ms } => {
                if let Some(driver) = victim {
                    let stalled = &mut self.drivers[driver].stalled_until;
                    *stalled = (*stalled).max(self.now + u64::from(ms));
                }
            }
            What::TakeOver => {
                self.store.break_lock();
                self.starts.push((self.now, Start::Resume { wait_ms: 0 }));
            }
            What::OldPlan => self.starts.push((self.now, Start::OldPlan)),
            What::Second { wait_ms } => self.starts.push((self.now, Start::Apply { wait_ms })),
            What::Interrupt { successor_ms } => {
                if let Some(driver) = victim {
                    self.drivers[driver].stop.store(true, Ordering::SeqCst);
                    self.drivers[driver].successor_ms = Some(successor_ms);
                }
            }
            What::RequestLost
            | What::AnswerLost
            | What::RequestTwice
            | What::RequestLate { .. }
            | What::AnswerLate { .. } => self.weather.requests.push_back(what),
            What::StoreFails { written } => self.weather.store_fails = Some(written),
            What::Blind { ms } => self.weather.blind_until = until(ms),
            What::LookLate { ms } => self.weather.look_late = Some(ms),
            What::RouterSilent { ms } => self.weather.silent_until = until(ms),
            What::RouterStale { ms } => self.weather.stale_until = until(ms),
            What::RouterLags { ms } => self.weather.lag_until = until(ms),
            What::RouterForgets => self.forget_split(),
            What::CountsGone { ms } => self.weather.counts.gone_until = until(ms),
            What::CountsEmpty { ms } => self.weather.counts.empty_until = until(ms),
            What::CountsLate { ms } => self.weather.counts.late_ms = Some(ms),
            What::CountsAgain { ms } => self.weather.counts.again_until = until(ms),
            What::CountsAbsurd { ms } => self.weather.counts.absurd_until = until(ms),
            What::BothErr { ms } => self.weather.counts.both_err_until = until(ms),
            What::Flap { side, ms } => {
                self.weather.flap_until[usize::from(side == Side::New)] = until(ms);
            }
            What::ClockJumps { ms } => self.weather.clock_skew += i64::from(ms),
            What::Operator(wish) => self.store.leave(wish.intent(), self.now),
        }
    }
}
