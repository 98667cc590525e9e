//! What there is besides the code under test: processes, a router, a store, a clock that moves
//! only when everybody waits, and the faults that strike. Nothing here decides about rollouts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::judge::Window;
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_core::rollout::Spec;

use crate::catalogue::{Built, PARTS};
use crate::check::Violation;
use crate::coverage::Coverage;
use crate::faults::Weather;
use crate::metrics::Interval;
use crate::script::{Fate, Fault, Run, Script, Setting, What};
use crate::store::Store;
use crate::target::Request;

/// No time that comes.
pub const NEVER: u64 = u64::MAX;

pub struct World {
    /// Milliseconds; the true time, that no clock needs to show.
    pub now: u64,
    /// Grows with every event, so that it can be told what was seen before what.
    pub seq: u64,
    pub setting: Setting,
    pub revisions: Vec<Revision>,
    pub router: Router,
    pub requests: VecDeque<Request>,
    /// What was counted, oldest first; when the next interval ends.
    pub intervals: VecDeque<Interval>,
    pub next_window_ms: u64,
    pub store: Store,
    pub drivers: Vec<Driver>,
    pub weather: Weather,
    pub run: Run,
    pub releases: Vec<Arc<Built>>,
    /// How each release ended.
    pub ended: Vec<&'static str>,
    pub longest_ms: u64,
    /// Journals that have ended, if they are kept.
    pub journals: Option<Vec<(Spec, Vec<Record>)>>,
    /// Since when the rollout is paused.
    pub paused_ms: Option<u64>,
    /// Drivers that will start: when, and how.
    pub starts: Vec<(u64, Start)>,
    pub faults: VecDeque<Fault>,
    pub due: Vec<(u64, What)>,
    pub boundary: u32,
    pub struck: u32,
    pub coverage: Coverage,
    /// Of everything that happened, with and without its times.
    pub trace: u64,
    pub shape: u64,
    pub story: Option<Vec<String>>,
    pub violation: Option<Violation>,
}

/// A revision of a component, with its processes if there are any.
pub struct Revision {
    pub id: RevisionId,
    pub part: usize,
    pub version: u8,
    pub fate: Fate,
    pub process: Option<Process>,
    /// Whether any driver saw it ready since it was started.
    pub seen_ready: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    pub wanted: u32,
    pub started_ms: u64,
    pub never_ready: bool,
    pub died: bool,
    pub full_since_ms: Option<u64>,
    /// Set while it is kept without traffic.
    pub warm_until_ms: Option<u64>,
    pub unrouted_ms: Option<u64>,
    pub streams_ended: bool,
}

/// A split, with its weights by revision.
pub struct Split {
    pub traffic: Traffic,
    pub weights: Vec<(usize, u32)>,
}

#[derive(Default)]
pub struct Router {
    pub in_force: Option<Arc<Split>>,
    pub before: Option<Arc<Split>>,
    /// What it was told and will do, in order.
    pub coming: VecDeque<(u64, Arc<Split>)>,
}

/// How a driver starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The same command again.
    Apply { wait_ms: u32 },
    /// The command of the release before, in another terminal.
    OldPlan,
    /// Whatever was interrupted.
    Resume { wait_ms: u32 },
}

/// One process that drives, or wants to.
pub struct Driver {
    pub epoch: u64,
    pub alive: bool,
    pub killed: bool,
    /// Was told that another one drives.
    pub fenced: bool,
    pub stalled_until: u64,
    pub wake_at: u64,
    pub clock_ms: u64,
    pub busy: bool,
    pub asked_wishes_ms: u64,
    pub look: Option<Look>,
    /// The windows that it was given last, and what it was told instead.
    pub windows: Vec<Window>,
    pub no_counts: Option<String>,
    pub answer: Option<bool>,
    pub stop: Arc<AtomicBool>,
    pub successor_ms: Option<u32>,
}

/// What a driver was last shown: sets of revisions as bits.
#[derive(Clone)]
pub struct Look {
    pub seq: u64,
    pub there: u32,
    pub ready: u32,
    pub busy: u32,
    pub crashing: u32,
    pub split: Option<Arc<Split>>,
    /// Whether the rollout waited for what is seen; else somebody holds it amid its effects.
    pub awaited: bool,
}

impl World {
    pub fn new(script: &Script, tell: bool) -> Self {
        let mut faults = script.faults.clone();
        faults.sort_by_key(|fault| fault.place);
        Self {
            now: 1_000_000,
            seq: 0,
            setting: script.setting.clone(),
            revisions: Vec::new(),
            router: Router::default(),
            requests: VecDeque::new(),
            intervals: VecDeque::new(),
            next_window_ms: 0,
            store: Store::default(),
            drivers: Vec::new(),
            weather: Weather::default(),
            run: script.runs[0].clone(),
            releases: Vec::new(),
            ended: Vec::new(),
            longest_ms: 0,
            journals: None,
            paused_ms: None,
            starts: Vec::new(),
            faults: faults.into(),
            due: Vec::new(),
            boundary: 0,
            struck: 0,
            coverage: Coverage::default(),
            trace: 0,
            shape: 0,
            story: tell.then(Vec::new),
            violation: None,
        }
    }

    /// Makes a release and its revisions known.
    pub fn know(&mut self, built: &Arc<Built>, fate: Fate) {
        if self.releases.iter().any(|known| known.id == built.id) {
            return;
        }
        self.releases.push(built.clone());
        let unknown = |id: &RevisionId| self.find(id).is_none();
        let new = PARTS.map(|name| built.release.revision(name).filter(unknown));
        let fated = [0, 2, 1].into_iter().find(|part| new[*part].is_some());
        for (part, id) in new.into_iter().enumerate() {
            let Some(id) = id else { continue };
            let fate = if fated == Some(part) { fate } else { Fate::Well };
            let version = built.made.versions[part];
            let process = None;
            self.revisions.push(Revision { id, part, version, fate, process, seen_ready: false });
        }
    }

    pub fn find(&self, id: &RevisionId) -> Option<usize> {
        self.revisions.iter().position(|r| r.id == *id)
    }

    pub fn index(&self, id: &RevisionId) -> usize {
        self.find(id).expect("only known revisions are named")
    }

    /// Something happened: part of what makes this history this one.
    pub fn note(&mut self, what: u64) {
        const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
        self.seq += 1;
        self.shape = (self.shape ^ what).wrapping_mul(PRIME).rotate_left(23);
        self.trace = (self.trace ^ what ^ (self.now << 8)).wrapping_mul(PRIME).rotate_left(23);
    }

    pub fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        let Some(mut story) = self.story.take() else { return };
        let at = (self.now - 1_000_000) as f64 / 1_000.0;
        story.push(format!("{at:9.3} s  {}", line(self)));
        self.story = Some(story);
    }

    /// Lets the time pass until something can happen; false when nothing ever will.
    pub fn advance(&mut self) -> bool {
        let drivers = self.drivers.iter().filter(|d| d.alive);
        let next = drivers
            .map(|d| d.wake_at.max(d.stalled_until))
            .chain(self.due.iter().map(|(at, _)| *at))
            .chain(self.starts.iter().map(|(at, _)| *at))
            .chain(self.next_in_target())
            .chain(self.next_count())
            .min()
            .unwrap_or(NEVER);
        if next == NEVER {
            return false;
        }
        if next > self.now {
            self.now = next;
        }
        while let Some(n) = self.due.iter().position(|(at, _)| *at <= self.now) {
            let (_, what) = self.due.remove(n);
            self.strike(what, None);
        }
        self.settle();
        self.check_always();
        true
    }

    /// What the clock of the driver's machine shows; within one process it never goes back.
    pub fn clock(&mut self, driver: usize) -> u64 {
        let shows = self.now.saturating_add_signed(self.weather.clock_skew);
        let last = &mut self.drivers[driver].clock_ms;
        *last = shows.max(*last);
        *last
    }

    pub fn weight(&self, revision: usize) -> u32 {
        self.router.in_force.as_ref().map_or(0, |split| split.weight(revision))
    }

    pub fn split(&self, traffic: &Traffic) -> Split {
        let shares = traffic.shares.values().flatten();
        let weights = shares.map(|s| (self.index(&s.revision), s.weight)).collect();
        Split { traffic: traffic.clone(), weights }
    }
}

impl Split {
    pub fn weight(&self, revision: usize) -> u32 {
        self.weights.iter().filter(|(r, _)| *r == revision).map(|(_, weight)| weight).sum()
    }
}

impl Driver {
    pub fn new(now: u64) -> Self {
        Self {
            epoch: 0,
            alive: true,
            killed: false,
            fenced: false,
            stalled_until: 0,
            wake_at: now,
            clock_ms: 0,
            busy: false,
            asked_wishes_ms: NEVER,
            look: None,
            windows: Vec::new(),
            no_counts: None,
            answer: None,
            stop: Arc::default(),
            successor_ms: None,
        }
    }
}

/// A number for a value, the same in every run of this build.
pub fn hash_of(value: &impl std::hash::Hash) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}
