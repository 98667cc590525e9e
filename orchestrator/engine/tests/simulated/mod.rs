//! A world in memory behind the engine's ports: processes, a router, a store and a clock that
//! moves only when everybody waits. A crash drops the driver at a chosen boundary.

#![allow(dead_code)] // each test binary uses its own part

mod ports;
pub mod releases;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use neuroca_deploy_core::effect::{Effect, Outcome, Traffic};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::{Base, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId, RevisionId};
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{JournalId, Who};
use neuroca_deploy_engine::{EngineError, Options, Ports, Quiet, apply};

/// One process group.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    pub component: String,
    pub wanted: u32,
    pub started_ms: u64,
    pub warm: bool,
    /// When it last lost its traffic, and how long its last request takes from then on.
    pub unrouted_ms: Option<u64>,
}

/// What may go wrong, by chance per call in percent.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub unreachable: u8,
    pub blind: u8,
    pub router_lag_ms: u64,
    pub flapping: u8,
}

#[derive(Default)]
pub struct World {
    pub now: u64,
    pub timers: Vec<u64>,
    pub random: fastrand::Rng,
    pub faults: Faults,
    pub processes: BTreeMap<RevisionId, Process>,
    pub in_force: Option<Traffic>,
    pub asked: Option<(Traffic, u64)>,
    /// Revisions that never become ready, that crash under traffic, hooks that fail.
    pub never_ready: Vec<RevisionId>,
    pub crash_at: Vec<RevisionId>,
    pub failing: Vec<&'static str>,
    pub last_request_ms: u64,
    pub epoch: u64,
    pub locked: bool,
    pub journal: Option<(i64, Plan, Vec<Record>)>,
    pub history: Vec<(ReleaseId, Outcome)>,
    pub releases: BTreeMap<ReleaseId, Release>,
    pub intents: Vec<(u64, Intent)>,
    /// Intents that arrive at a boundary.
    pub intents_at: BTreeMap<u64, Intent>,
    pub boundary: u64,
    pub crash_at_boundary: Option<u64>,
    pub crashed: bool,
    pub effects: Vec<Effect>,
    pub violations: Vec<String>,
}

/// The world as everybody shares it.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<Mutex<World>>);

/// What has to be the same whether or not a run was interrupted.
#[derive(Debug, Clone, PartialEq)]
pub struct EndState {
    pub running: Vec<(RevisionId, u32, bool)>,
    pub traffic: Option<Traffic>,
    pub history: Vec<(ReleaseId, Outcome)>,
}

impl Shared {
    pub fn world<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.0.lock().expect("one thread"))
    }

    /// The plan towards `release` from what is in force.
    pub fn plan(&self, release: &Release, rollback: bool) -> Plan {
        self.world(|w| {
            let current = w.current();
            let base = Base::from(current.clone());
            let old = current.and_then(|(_, id)| w.releases.get(&id).cloned());
            Plan::new(base, old.as_ref(), release.clone(), rollback, &|_| None)
        })
    }

    /// Runs the plan; `None` when the driver was killed.
    pub fn apply(&self, plan: &Plan) -> Option<Result<Outcome, EngineError>> {
        let stop = AtomicBool::new(false);
        let options = Options {
            holder: "test".into(),
            lock_wait: Duration::from_secs(30),
            timeout: None,
            leave_to_a_person: false,
            stop: &stop,
        };
        let ports = Ports { target: self, store: self, clock: self, metrics: self };
        let who = Who::default();
        let mut run = pin!(apply(ports, plan, &who, &options, &Quiet));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match run.as_mut().poll(&mut context) {
                Poll::Ready(result) => return Some(result),
                Poll::Pending if self.world(|w| w.crashed) => {
                    self.world(World::after_crash);
                    return None;
                }
                Poll::Pending => self.world(World::advance),
            }
        }
    }

    /// Runs the plan again and again until a driver lives to see its end.
    pub fn apply_until_done(&self, plan: &Plan) -> Result<Outcome, EngineError> {
        loop {
            if let Some(result) = self.apply(plan) {
                return result;
            }
        }
    }

    pub fn end_state(&self) -> EndState {
        self.world(|w| EndState {
            running: w.processes.iter().map(|(r, p)| (r.clone(), p.wanted, p.warm)).collect(),
            traffic: w.in_force.clone(),
            history: w.history.clone(),
        })
    }
}

impl World {
    pub fn current(&self) -> Option<(u64, ReleaseId)> {
        let (n, (id, _)) = self
            .history
            .iter()
            .enumerate()
            .rev()
            .find(|(_, (_, outcome))| *outcome == Outcome::Deployed)?;
        Some((n as u64 + 1, id.clone()))
    }

    fn advance(&mut self) {
        let next = self.timers.iter().copied().filter(|t| *t > self.now).min();
        self.now = next.unwrap_or(self.now + 50);
        let now = self.now;
        self.timers.retain(|t| *t > now);
        assert!(self.now < 100_000_000, "the run never ends: {:?}", self.effects.last());
    }

    fn after_crash(&mut self) {
        self.crashed = false;
        self.crash_at_boundary = None;
        // The lock of a dead holder expires.
        self.now += 15_000;
        self.locked = false;
        self.timers.clear();
    }

    /// Counts a boundary; true when the driver dies here.
    pub fn reach_boundary(&mut self) -> bool {
        self.boundary += 1;
        if let Some(intent) = self.intents_at.remove(&self.boundary) {
            self.intents.push((self.boundary, intent));
        }
        self.crashed |= self.crash_at_boundary == Some(self.boundary);
        self.crashed
    }

    pub fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.random.u8(0..100) < percent
    }

    /// The split that requests meet now: the router may lag behind what it was told.
    pub fn settle_router(&mut self) {
        let lag = self.faults.router_lag_ms;
        let due = self.asked.as_ref().is_some_and(|(_, since)| self.now >= since + lag);
        if let Some((traffic, _)) = self.asked.take_if(|_| due) {
            let now = self.now;
            for (revision, process) in &mut self.processes {
                let routed = weight(&Some(traffic.clone()), revision) > 0;
                let was = weight(&self.in_force, revision) > 0;
                if was && !routed {
                    process.unrouted_ms = Some(now);
                }
                if routed {
                    process.unrouted_ms = None;
                    process.warm = false;
                }
            }
            self.in_force = Some(traffic);
        }
    }

    pub fn in_flight(&self, revision: &RevisionId) -> u64 {
        let Some(process) = self.processes.get(revision) else { return 0 };
        let ending = process.unrouted_ms.is_some_and(|t| self.now < t + self.last_request_ms);
        u64::from(weight(&self.in_force, revision) > 0 || ending)
    }

    pub fn is_ready(&self, revision: &RevisionId) -> bool {
        self.processes.get(revision).is_some_and(|p| self.now >= p.started_ms + 500)
            && !self.never_ready.contains(revision)
            && !(self.crash_at.contains(revision) && weight(&self.in_force, revision) == 100)
    }
}

/// Percent of its component's requests that a revision gets.
pub fn weight(traffic: &Option<Traffic>, revision: &RevisionId) -> u32 {
    let shares = traffic.iter().flat_map(|t| t.shares.values().flatten());
    shares.filter(|s| s.revision == *revision).map(|s| s.weight).sum()
}

/// The open journal's number, for the store.
pub fn journal_id(n: i64) -> JournalId {
    JournalId(n)
}
