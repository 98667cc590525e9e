//! What can be seen of the target: processes that are ready or not, requests in flight, the split
//! as the router tells it.

use std::sync::Arc;

use neuroca_deploy_core::observed::{Observed, RevisionObserved};

use crate::catalogue::PARTS;
use crate::script::Fate;
use crate::world::{Look, Split, World};

impl World {
    /// What a look shows now, and the same in a form that is quick to check.
    pub fn look(&mut self) -> (Observed, Look) {
        self.settle();
        let split = match () {
            () if self.now < self.weather.silent_until => None,
            () if self.now < self.weather.stale_until => self.stale_split(),
            () => self.reported_split(),
        };
        let traffic = split.as_ref().map(|s| s.traffic.clone());
        let journal = self.store.journal.as_ref();
        let awaited = journal.is_some_and(|j| j.state().outstanding.is_empty());
        let mut look =
            Look { seq: self.seq, there: 0, ready: 0, busy: 0, crashing: 0, split, awaited };
        let mut observed = Observed { version: self.seq, traffic, ..Default::default() };
        for (n, revision) in self.revisions.iter().enumerate() {
            let Some(process) = &revision.process else { continue };
            let (ready, busy) = (self.is_ready(n), self.in_flight(n));
            let crashing = revision.fate == Fate::CrashLoop && self.now > process.started_ms;
            let bit = 1 << n;
            look.there |= bit;
            look.ready |= if ready { bit } else { 0 };
            look.busy |= if busy { bit } else { 0 };
            look.crashing |= if crashing { bit } else { 0 };
            let seen = RevisionObserved {
                component: PARTS[revision.part].into(),
                wanted: process.wanted,
                alive: process.wanted,
                ready: if ready { process.wanted } else { 0 },
                crash_loop: crashing,
                in_flight: u64::from(busy && !self.setting.streams),
                streams: u64::from(busy && self.setting.streams),
                warm_until_ms: process.warm_until_ms,
                ..Default::default()
            };
            observed.revisions.insert(revision.id.clone(), seen);
        }
        (observed, look)
    }

    /// What is in force. A router that has yet to do something else before it does what it was asked
    /// for last does not say that it has done it: adapters see to that.
    fn reported_split(&self) -> Option<Arc<Split>> {
        let asked = self.router.coming.back().map(|(_, split)| &split.traffic);
        let now = self.router.in_force.as_ref();
        now.filter(|now| asked != Some(&now.traffic)).cloned()
    }

    /// What was in force before. A lie that says exactly what was asked for cannot be seen through.
    fn stale_split(&self) -> Option<Arc<Split>> {
        let asked = self.router.coming.back().map(|(_, split)| split);
        let asked = asked.or(self.router.in_force.as_ref());
        let same = |before: &Arc<Split>| asked.is_some_and(|a| a.traffic == before.traffic);
        let before = self.router.before.as_ref().filter(|before| !same(before));
        before.cloned().or_else(|| self.reported_split())
    }

    pub fn is_ready(&self, n: usize) -> bool {
        let revision = &self.revisions[n];
        let Some(process) = &revision.process else { return false };
        let new = !self.is_old(n);
        let fit = match revision.fate {
            Fate::NeverReady | Fate::CrashLoop => false,
            Fate::Well | Fate::Errs { .. } => true,
            Fate::DiesUnderTraffic { .. } => !process.died_by(revision.fate, self.now),
        };
        fit && !process.died
            && !process.never_ready
            && self.now >= process.started_ms + u64::from(self.setting.ready_ms)
            && self.now >= self.weather.flap_until[usize::from(new)]
    }

    /// Whether requests or streams have not ended.
    pub fn in_flight(&self, n: usize) -> bool {
        let Some(process) = &self.revisions[n].process else { return false };
        let last = u64::from(self.setting.request_ms);
        let ending = process.unrouted_ms.is_some_and(|t| self.now < t + last);
        self.weight(n) > 0 || (ending && !process.streams_ended)
    }

    /// Whether the revision belongs to the release in force.
    pub fn is_old(&self, n: usize) -> bool {
        let current = self.store.current();
        let id = &self.revisions[n].id;
        current.is_some_and(|(_, built)| built.revisions.iter().flatten().any(|r| r == id))
    }
}
