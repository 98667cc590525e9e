//! Slots of requests: touched by every request on every thread, hence atomics and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::counts::SlotCounts;
use super::{BOUNDS_US, End, Fate, KEPT, SLOT_MS};

const UNUSED: u64 = u64::MAX;
const CLEARING: u64 = u64::MAX - 1;

pub struct Ring(Box<[Slot]>);

struct Slot {
    second: AtomicU64,
    sent: AtomicU32,
    ended: AtomicU32,
    errors: AtomicU32,
    aborted: AtomicU32,
    last_end_ms: AtomicU32,
    within: [AtomicU32; BOUNDS_US.len()],
    out: [AtomicU32; BOUNDS_US.len()],
}

impl Default for Ring {
    fn default() -> Self {
        Self((0..KEPT).map(|_| Slot::new()).collect())
    }
}

impl Ring {
    pub fn sent(&self, second: u64) {
        self.begun(second).sent.fetch_add(1, Relaxed);
    }

    pub fn answered(&self, second: u64, bound: usize) {
        if let Some(slot) = self.of(second)
            && let Some(within) = slot.within.get(bound)
        {
            within.fetch_add(1, Relaxed);
        }
    }

    pub fn ended(&self, end: &End) {
        let Some(slot) = self.of(end.second) else { return };
        if let Some(out) = end.unanswered.and_then(|bound| slot.out.get(bound)) {
            out.fetch_add(1, Relaxed);
        }
        if end.is_settled() {
            return;
        }
        if end.late_ms > SLOT_MS {
            slot.last_end_ms.fetch_max(end.late_ms as u32, Relaxed);
        }
        // Last, so that who sees that all have ended sees how.
        match end.fate {
            Fate::Aborted => slot.aborted.fetch_add(1, Release),
            Fate::Good => slot.ended.fetch_add(1, Release),
            Fate::Failed => {
                slot.errors.fetch_add(1, Relaxed);
                slot.ended.fetch_add(1, Release)
            }
        };
    }

    pub fn latest(&self) -> Option<u64> {
        self.0.iter().map(|slot| slot.second.load(Acquire)).filter(|n| *n < CLEARING).max()
    }

    pub fn read(&self, since: u64, into: &mut BTreeMap<u64, SlotCounts>) {
        for slot in &self.0 {
            let second = slot.second.load(Acquire);
            if (since..CLEARING).contains(&second) {
                let counts = slot.read();
                if slot.second.load(Acquire) == second && counts.sent > 0 {
                    into.insert(second, counts);
                }
            }
        }
    }

    fn place(&self, second: u64) -> &Slot {
        &self.0[(second % KEPT) as usize]
    }

    /// The slot, unless its place was given to another. Nobody comes back to a slot when it is as
    /// old as the ring, so none is cleared under somebody's hands.
    fn of(&self, second: u64) -> Option<&Slot> {
        let slot = self.place(second);
        (slot.second.load(Acquire) == second).then_some(slot)
    }

    /// The slot, cleared by the first who comes to it.
    fn begun(&self, second: u64) -> &Slot {
        let slot = self.place(second);
        loop {
            match slot.second.load(Acquire) {
                now if now == second => return slot,
                CLEARING => std::thread::yield_now(),
                old => {
                    let mine = slot.second.compare_exchange(old, CLEARING, AcqRel, Relaxed);
                    if mine.is_ok() {
                        slot.clear();
                        slot.second.store(second, Release);
                    }
                }
            }
        }
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            second: AtomicU64::new(UNUSED),
            sent: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            aborted: AtomicU32::new(0),
            last_end_ms: AtomicU32::new(0),
            within: [const { AtomicU32::new(0) }; BOUNDS_US.len()],
            out: [const { AtomicU32::new(0) }; BOUNDS_US.len()],
        }
    }

    fn clear(&self) {
        let single = [&self.sent, &self.ended, &self.errors, &self.aborted, &self.last_end_ms];
        for count in single.into_iter().chain(&self.within).chain(&self.out) {
            count.store(0, Relaxed);
        }
    }

    fn read(&self) -> SlotCounts {
        let count = |of: &AtomicU32| u64::from(of.load(Relaxed));
        let used = |all: &[AtomicU32]| -> Vec<(usize, i64)> {
            let counts = all.iter().map(|n| i64::from(n.load(Relaxed))).enumerate();
            counts.filter(|(_, n)| *n > 0).collect()
        };
        // Ends before what they are ends of.
        let (ended, aborted) =
            (u64::from(self.ended.load(Acquire)), u64::from(self.aborted.load(Acquire)));
        let (within, out) = (used(&self.within), used(&self.out));
        let sent = count(&self.sent);
        SlotCounts {
            sent,
            ended,
            errors: count(&self.errors).min(ended),
            aborted,
            last_end_ms: count(&self.last_end_ms),
            timed: sent,
            within,
            out,
        }
    }
}
