//! What became of a revision's requests, by the second in which they were sent.
//!
//! A judge compares requests of the same time, and looks when their outcome is known: a request
//! counts where it was sent, however late it ends, and one that does not end is seen to be missing.
//! This knows no other revision, no window and no verdict.
//!
//! Where clients stick to a revision the units are clients and not requests: what one client sees
//! is not independent. A stream (an event source, an upgraded connection) is judged by its head.

mod clients;
mod counts;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;

use clients::Clients;
pub use counts::{SlotCounts, SlotReport};
use ring::Ring;

/// How long a slot is.
pub const SLOT_MS: u64 = 1_000;
/// Slots that are remembered: the longest bound, and time to ask.
pub const KEPT: u64 = 180;
/// What has not ended this long after its slot is left out of a judge's requests, and an error that
/// comes still later is nobody's.
pub const SETTLE_MS: u64 = 10_000;

/// Bounds of latency, in microseconds: from half a millisecond to about a minute, each 1.15 times
/// the one before. That is the latency that a judge tolerates by default, who compares one side's
/// share above a bound with the other's above the next.
pub const BOUNDS_US: [u64; 85] = {
    let mut bounds = [0; 85];
    let (mut exact, mut place) = (500.0, 0);
    while place < bounds.len() {
        bounds[place] = (exact + 0.5) as u64;
        exact *= 1.15;
        place += 1;
    }
    bounds
};

/// What a request is to a judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nothing: its revision was asked for, not drawn.
    Unsampled,
    Request,
    /// One of a client's, by the hash of its identity.
    Client(u64),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Good,
    Failed,
    /// The client went away: says nothing about the revision.
    Aborted,
}

/// A request that is counted, from when it was sent until it ends.
pub struct Sample {
    unit: Unit,
    sent_ms: u64,
    answered: bool,
    /// Of a client: which time it is new.
    cohort: u32,
}

/// One revision's slots. They take memory while the revision gets requests and a little longer.
#[derive(Default)]
pub struct Slots {
    ring: ArcSwapOption<Ring>,
    clients: Mutex<Clients>,
}

impl Slots {
    /// Counts from now on.
    pub fn open(&self) {
        if self.ring.load().is_none() {
            self.ring.store(Some(Arc::new(Ring::default())));
        }
    }

    /// The split between this revision and others changed.
    pub fn anew(&self) {
        self.clients.lock().expect("no panic while held").anew();
    }

    /// Gives memory back if there is nothing to remember.
    pub fn close(&self) {
        let oldest = (now_ms() / SLOT_MS).saturating_sub(KEPT);
        let idle = self.ring.load().as_ref().is_some_and(|ring| ring.latest() < Some(oldest));
        let mut clients = self.clients.lock().expect("no panic while held");
        if idle && clients.latest() < Some(oldest) {
            self.ring.store(None);
            *clients = Clients::default();
        }
    }

    /// Counts a request that is about to be sent.
    pub fn sent(&self, unit: Unit) -> Option<Sample> {
        let sample = |sent_ms, cohort| Some(Sample { unit, sent_ms, answered: false, cohort });
        match unit {
            Unit::Unsampled => None,
            Unit::Request => {
                let sent_ms = now_ms();
                self.ring.load().as_ref()?.sent(sent_ms / SLOT_MS);
                sample(sent_ms, 0)
            }
            Unit::Client(id) => {
                let sent_ms = now_ms();
                let mut clients = self.clients.lock().expect("no panic while held");
                sample(sent_ms, clients.sent(id, sent_ms / SLOT_MS)?)
            }
        }
    }

    /// The head of the answer came after so long; the edge's own counts, too.
    pub fn answered(&self, sample: &mut Sample, took: Duration) {
        if std::mem::replace(&mut sample.answered, true) {
            return;
        }
        let (second, bound) = (sample.second(), bound_of(took));
        match sample.unit {
            Unit::Unsampled => {}
            Unit::Request => {
                self.ring.load().iter().for_each(|ring| ring.answered(second, bound));
            }
            Unit::Client(id) => {
                let mut clients = self.clients.lock().expect("no panic while held");
                clients.answered(id, sample.cohort, second, bound);
            }
        }
    }

    /// The request is over after so long.
    pub fn ended(&self, mut sample: Sample, took: Duration, fate: Fate) {
        let unanswered = fate == Fate::Aborted && !sample.answered;
        if !unanswered {
            self.answered(&mut sample, took);
        }
        let end = End {
            second: sample.second(),
            late_ms: sample.sent_ms % SLOT_MS + took.as_millis() as u64,
            unanswered: unanswered.then(|| bound_of(took)),
            fate,
        };
        match sample.unit {
            Unit::Unsampled => {}
            Unit::Request => self.ring.load().iter().for_each(|ring| ring.ended(&end)),
            Unit::Client(id) => {
                let mut clients = self.clients.lock().expect("no panic while held");
                clients.ended(id, sample.cohort, &end);
            }
        }
    }

    /// The slots from `since` on that have anything in them.
    pub fn read(&self, since: u64) -> std::collections::BTreeMap<u64, SlotCounts> {
        let since = since.max((now_ms() / SLOT_MS).saturating_sub(KEPT - 1));
        let mut slots = std::collections::BTreeMap::new();
        self.ring.load().iter().for_each(|ring| ring.read(since, &mut slots));
        self.clients.lock().expect("no panic while held").read(since, &mut slots);
        slots
    }
}

/// The end of one request.
struct End {
    /// When it was sent.
    second: u64,
    /// Milliseconds from the beginning of that slot.
    late_ms: u64,
    /// The bound that it had reached, if there was no answer by then.
    unanswered: Option<usize>,
    fate: Fate,
}

impl End {
    fn is_settled(&self) -> bool {
        self.late_ms > SLOT_MS + SETTLE_MS
    }
}

impl Sample {
    fn second(&self) -> u64 {
        self.sent_ms / SLOT_MS
    }
}

/// The place of the first bound that is not exceeded; behind the last when all are.
fn bound_of(took: Duration) -> usize {
    let us = took.as_micros() as u64;
    BOUNDS_US.partition_point(|bound| *bound < us)
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
