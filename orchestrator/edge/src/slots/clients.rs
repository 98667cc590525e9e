//! Slots of clients that stick to a revision. A client counts in each slot in which it sends
//! something, until it first fails; and for each bound of latency until it is first slower.
//!
//! That they failed before is forgotten on both sides whenever the split changes. Else the old side
//! would be left with the clients that never fail, and the new one would look worse for getting all
//! sorts of them.
//!
//! Memory is bounded: past a number of clients only every second one is watched, then every fourth,
//! chosen by a hash that has no part in the split, so that what is seen stays a random sample.

use std::collections::{BTreeMap, HashMap};

use super::counts::SlotCounts;
use super::{BOUNDS_US, End, Fate, KEPT, SLOT_MS};

/// Clients that are watched at most, and slots of theirs.
const MOST_CLIENTS: usize = 32 * 1024;
const MOST_VISITS: usize = 4 * MOST_CLIENTS;
/// A client that was not seen for so many slots is a new one when it comes back.
const FORGOTTEN: u64 = 3600;
/// Slower than every bound.
const SLOWEST: u8 = BOUNDS_US.len() as u8;

#[derive(Default)]
pub struct Clients {
    known: HashMap<u64, Client>,
    /// Over all clients.
    visits: usize,
    /// One of `2^rarity` clients is watched.
    rarity: u32,
    latest: Option<u64>,
    /// Grows with each change of the split.
    cohort: u32,
}

#[derive(Default)]
struct Client {
    /// The cohort in which it failed last.
    failed: Option<u32>,
    /// It was slower than all bounds before this place, in slots that are not remembered.
    slow: u8,
    cohort: u32,
    last: u64,
    /// Oldest first.
    visits: Vec<Visit>,
}

/// What a client did in one slot.
#[derive(Default)]
struct Visit {
    second: u64,
    cohort: u32,
    /// Requests that have not ended, and those that have no answer yet.
    open: u32,
    unanswered: u32,
    last_end_ms: u16,
    /// Slower than all bounds before this place: what was answered, and what was given up.
    slow: u8,
    given_up: u8,
    answered: bool,
    /// Something ended that was not given up.
    ended: bool,
    failed: bool,
    /// The client had failed before this, or elsewhere before it failed here.
    void: bool,
}

impl Clients {
    pub fn latest(&self) -> Option<u64> {
        self.latest
    }

    /// The split changed: all clients are as new.
    pub fn anew(&mut self) {
        self.cohort += 1;
    }

    /// The cohort of a client that is watched.
    pub fn sent(&mut self, id: u64, second: u64) -> Option<u32> {
        if self.known.len() >= MOST_CLIENTS || self.visits >= MOST_VISITS {
            self.make_room(second);
        }
        if !is_watched(id, self.rarity) {
            return None;
        }
        let cohort = self.cohort;
        self.latest = self.latest.max(Some(second));
        let client = self.known.entry(id).or_default();
        client.last = second;
        if client.visits.last().is_none_or(|visit| !visit.is_of(second, cohort)) {
            self.visits -= client.fold(second.saturating_sub(KEPT));
            let void = client.failed == Some(cohort);
            client.visits.push(Visit { second, cohort, void, ..Visit::default() });
            self.visits += 1;
        }
        if let Some(visit) = client.visits.last_mut() {
            visit.open += 1;
            visit.unanswered += 1;
        }
        Some(cohort)
    }

    pub fn answered(&mut self, id: u64, cohort: u32, second: u64, bound: usize) {
        let Some((visit, _)) = self.visit(id, cohort, second) else { return };
        visit.unanswered = visit.unanswered.saturating_sub(1);
        visit.answered = true;
        visit.slow = visit.slow.max(bound as u8);
    }

    pub fn ended(&mut self, id: u64, cohort: u32, end: &End) {
        let Some((visit, client_failed)) = self.visit(id, cohort, end.second) else { return };
        if let Some(bound) = end.unanswered {
            visit.unanswered = visit.unanswered.saturating_sub(1);
            visit.given_up = visit.given_up.max(bound as u8);
        }
        if end.is_settled() {
            return;
        }
        visit.open = visit.open.saturating_sub(1);
        if end.late_ms > SLOT_MS {
            visit.last_end_ms = visit.last_end_ms.max(end.late_ms as u16);
        }
        visit.ended |= end.fate != Fate::Aborted;
        if end.fate == Fate::Failed {
            let first = *client_failed < Some(cohort);
            *client_failed = (*client_failed).max(Some(cohort));
            visit.failed |= first;
            visit.void |= !visit.failed;
        }
    }

    pub fn read(&self, since: u64, into: &mut BTreeMap<u64, SlotCounts>) {
        let mut latencies: BTreeMap<u64, Latencies> = BTreeMap::new();
        for client in self.known.values() {
            let (mut slow, mut cohort) = (client.slow, client.cohort);
            for visit in &client.visits {
                if std::mem::replace(&mut cohort, visit.cohort) != visit.cohort {
                    slow = 0;
                }
                if visit.second >= since {
                    visit.count(into.entry(visit.second).or_default());
                    latencies.entry(visit.second).or_default().add(visit, slow);
                }
                slow = slow.max(visit.slower_than());
            }
        }
        for (second, latencies) in latencies {
            latencies.give(into.entry(second).or_default());
        }
    }

    fn visit(
        &mut self,
        id: u64,
        cohort: u32,
        second: u64,
    ) -> Option<(&mut Visit, &mut Option<u32>)> {
        let client = self.known.get_mut(&id)?;
        let visit = client.visits.iter_mut().rev().find(|visit| visit.is_of(second, cohort))?;
        Some((visit, &mut client.failed))
    }

    /// Forgets what is old; if that is not much, watches half of the clients from now on.
    fn make_room(&mut self, second: u64) {
        let (oldest, forgotten) = (second.saturating_sub(KEPT), second.saturating_sub(FORGOTTEN));
        self.known.retain(|_, client| {
            client.fold(oldest);
            client.last >= forgotten
        });
        let visits = |known: &HashMap<u64, Client>| known.values().map(|c| c.visits.len()).sum();
        self.visits = visits(&self.known);
        if self.known.len() > MOST_CLIENTS / 2 || self.visits > MOST_VISITS / 2 {
            self.rarity += 1;
            self.known.retain(|id, _| is_watched(*id, self.rarity));
            self.visits = visits(&self.known);
        }
    }
}

/// Clients are split by the high bits of their hash.
fn is_watched(id: u64, rarity: u32) -> bool {
    let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 16).trailing_zeros() >= rarity
}

impl Client {
    /// Keeps of visits before `oldest` what matters later; returns how many those were.
    fn fold(&mut self, oldest: u64) -> usize {
        let old = self.visits.iter().take_while(|visit| visit.second < oldest).count();
        for visit in self.visits.drain(..old) {
            let before = if visit.cohort == self.cohort { self.slow } else { 0 };
            (self.slow, self.cohort) = (before.max(visit.slower_than()), visit.cohort);
        }
        old
    }
}

impl Visit {
    fn is_of(&self, second: u64, cohort: u32) -> bool {
        (self.second, self.cohort) == (second, cohort)
    }

    /// The place of the first bound that the visit did not exceed, as far as is known.
    fn slower_than(&self) -> u8 {
        let waits = if self.unanswered > 0 { SLOWEST } else { self.slow };
        waits.max(self.given_up)
    }

    fn count(&self, into: &mut SlotCounts) {
        if self.void {
            return;
        }
        into.sent += 1;
        into.last_end_ms = into.last_end_ms.max(self.last_end_ms.into());
        if self.failed {
            into.errors += 1;
            into.ended += 1;
        } else if self.open == 0 && self.ended {
            into.ended += 1;
        } else if self.open == 0 {
            into.aborted += 1;
        }
    }
}

/// How the clients of one slot did, by bound.
#[derive(Default)]
struct Latencies {
    timed: u64,
    within: BTreeMap<usize, i64>,
    out: BTreeMap<usize, i64>,
}

impl Latencies {
    /// `before`: the client was slower than all bounds before this place.
    fn add(&mut self, visit: &Visit, before: u8) {
        self.timed += 1;
        if before > 0 {
            *self.out.entry(0).or_default() += 1;
            *self.out.entry(before.into()).or_default() -= 1;
        }
        let from = usize::from(before.max(visit.slower_than()));
        let known = visit.answered || visit.unanswered > 0;
        *(if known { &mut self.within } else { &mut self.out }).entry(from).or_default() += 1;
    }

    fn give(self, into: &mut SlotCounts) {
        into.timed += self.timed;
        merge(&mut into.within, self.within);
        merge(&mut into.out, self.out);
    }
}

fn merge(into: &mut Vec<(usize, i64)>, mut more: BTreeMap<usize, i64>) {
    for (place, n) in into.drain(..) {
        *more.entry(place).or_default() += n;
    }
    into.extend(more.into_iter().filter(|(place, n)| *n != 0 && *place < BOUNDS_US.len()));
}
