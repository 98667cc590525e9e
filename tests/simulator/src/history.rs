//! Lives through a script: starts drivers, lets them act and wait, starts successors, until every
//! release of the script has come to its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use neuroca_deploy_core::effect::{Outcome, Share, Traffic};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::rollout::Spec;
use neuroca_deploy_engine::ports::{Clock, Metrics, StateStore, Target, Who};
use neuroca_deploy_engine::{EngineError, Options, Ports, Reporter, apply, resume};

use crate::catalogue::{Built, Made, PARTS, built, plan};
use crate::check::{EndState, Rule, Violation};
use crate::coverage::Coverage;
use crate::mutation::{Mutated, Mutation};
use crate::ports::Port;
use crate::script::{Change, Fate, Script};
use crate::world::{Process, Split, Start, World};

pub use crate::check::EndState as End;

/// How a script is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Play {
    /// Played by a machine that is broken in this way.
    pub mutation: Option<Mutation>,
    /// Whether the story and the journals are kept.
    pub tell: bool,
}

/// What came of it.
pub struct Played {
    pub violation: Option<Violation>,
    pub end: EndState,
    pub coverage: Coverage,
    /// Equal for histories in which the same happened at the same times, or in the same order.
    pub trace: u64,
    pub shape: u64,
    pub boundaries: u32,
    pub struck: u32,
    /// The longest that a release took, in simulated milliseconds.
    pub longest_ms: u64,
    pub story: Vec<String>,
    /// What was planned, and what was written about it.
    pub journals: Vec<(Spec, Vec<Record>)>,
}

type Run = Pin<Box<dyn Future<Output = Result<Outcome, EngineError>>>>;

/// More drivers than any run may need.
const DRIVERS_MAX: usize = 40;
/// Longer than any release may take, in simulated milliseconds.
const RUN_MAX_MS: u64 = 600_000;

/// Plays a script to its end, or to the first violation.
pub fn play(script: &Script, how: Play) -> Played {
    let world = Arc::new(Mutex::new(World::new(script, how.tell)));
    world.lock().expect("one thread").journals = how.tell.then(Vec::new);
    let stage =
        Stage { world: world.clone(), mutation: how.mutation, runs: Vec::new(), before: None };
    stage.play(script);
    let mut world = world.lock().expect("one thread");
    Played {
        end: world.end_state(),
        violation: world.violation.take(),
        coverage: std::mem::take(&mut world.coverage),
        trace: world.trace,
        shape: world.shape,
        boundaries: world.boundary,
        struck: world.struck,
        longest_ms: world.longest_ms,
        story: world.story.take().unwrap_or_default(),
        journals: world.journals.take().unwrap_or_default(),
    }
}

struct Stage {
    world: Arc<Mutex<World>>,
    mutation: Option<Mutation>,
    runs: Vec<(usize, Run)>,
    /// The plan of the release before.
    before: Option<Arc<Plan>>,
}

impl Stage {
    fn world<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.world.lock().expect("one thread"))
    }

    fn play(mut self, script: &Script) {
        let first = Made::first(&script.setting);
        let mut before: Option<Arc<Built>> = None;
        let mut current = first;
        if script.setting.installed {
            before = Some(self.world(|w| w.install(built(first))));
        }
        for (n, run) in script.runs.iter().enumerate() {
            let label = n as u8 + 1;
            let in_force = self.world(|w| w.store.current().map(|(_, b)| b.clone()));
            let from = in_force.as_ref().map_or(current, |b| b.made);
            let back = before.clone().filter(|b| run.change == Change::Back && b.made != from);
            let to = match (&in_force, &back) {
                (_, Some(back)) => back.clone(),
                (Some(_), None) => built(from.next(run.change, label)),
                (None, None) => built(Made { label, ..first }),
            };
            current = to.made;
            let (plan, began_ms) = self.world(|w| {
                w.run = run.clone();
                w.know(&to, run.fate);
                let left = w.store.stranded();
                let plan = plan(w.store.base(), in_force.as_deref(), &left, &to, back.is_some());
                (plan, w.now)
            });
            if plan.is_noop() {
                continue;
            }
            if in_force.as_ref().is_some_and(|b| Some(&b.id) != before.as_ref().map(|b| &b.id)) {
                before = in_force;
            }
            let plan = Arc::new(plan);
            self.drive(plan.clone());
            self.before = Some(plan);
            let broken = self.world(|w| {
                let last = w.store.history.last().map(|(_, outcome)| outcome.word());
                w.ended.extend(last);
                w.longest_ms = w.longest_ms.max(w.now - began_ms);
                w.violation.is_some()
            });
            if broken {
                return;
            }
        }
        self.world(World::check_end);
    }

    /// Drives until the plan's journal has ended and nobody is busy any more.
    fn drive(&mut self, plan: Arc<Plan>) {
        let began = self.world(|w| {
            w.starts.push((w.now, Start::Apply { wait_ms: 1_000 }));
            (w.now, w.drivers.len(), w.store.journals)
        });
        let mut context = Context::from_waker(Waker::noop());
        loop {
            self.start_due(&plan);
            let mut runs = std::mem::take(&mut self.runs);
            runs.retain_mut(|(driver, run)| {
                if !self.world(|w| w.is_awake(*driver)) {
                    return true;
                }
                let done = run.as_mut().poll(&mut context);
                if self.world(|w| w.drivers[*driver].killed) {
                    self.world(|w| w.buried(*driver));
                    return false;
                }
                let Poll::Ready(result) = done else { return true };
                self.world(|w| w.left(*driver, &result));
                false
            });
            self.runs = runs;
            let over = self.world(|w| {
                if w.violation.is_some() {
                    return true;
                }
                if w.now > began.0 + RUN_MAX_MS || w.drivers.len() > began.1 + DRIVERS_MAX {
                    w.violate(Rule::ItEnds, |w| w.words_of_standstill());
                    return true;
                }
                if self.runs.is_empty() && w.starts.is_empty() {
                    if w.store.journals == began.2 {
                        // Nothing came of it, not even a beginning.
                        w.starts.push((w.now + 1_000, Start::Apply { wait_ms: 20_000 }));
                    } else if w.store.journal.is_some() {
                        w.starts.push((w.now + 1_000, Start::Resume { wait_ms: 20_000 }));
                    } else if w.requests.is_empty() {
                        return true;
                    }
                }
                w.lose_patience();
                if w.drivers.iter().any(|d| d.alive && d.wake_at.max(d.stalled_until) <= w.now) {
                    return false;
                }
                !w.advance() && w.starts.is_empty()
            });
            if over {
                return;
            }
        }
    }

    fn start_due(&mut self, plan: &Arc<Plan>) {
        while let Some((driver, start)) = self.world(World::next_start) {
            let plan = match start {
                Start::OldPlan => self.before.as_ref().unwrap_or(plan),
                Start::Apply { .. } | Start::Resume { .. } => plan,
            };
            let port = Port { world: self.world.clone(), driver };
            let (stop, leaves) = self.world(|w| (w.drivers[driver].stop.clone(), w.setting.leaves));
            let run = match self.mutation {
                None => drive(port, leaves, start, plan.clone(), stop),
                Some(mutation) => {
                    drive(Mutated::new(port, mutation), leaves, start, plan.clone(), stop)
                }
            };
            self.runs.push((driver, run));
        }
    }
}

fn drive<P: Target + StateStore + Clock + Metrics + Reporter + 'static>(
    port: P,
    leaves: bool,
    start: Start,
    plan: Arc<Plan>,
    stop: Arc<std::sync::atomic::AtomicBool>,
) -> Run {
    Box::pin(async move {
        let wait_ms = match start {
            Start::Apply { wait_ms } | Start::Resume { wait_ms } => wait_ms,
            Start::OldPlan => 500,
        };
        let options = Options {
            holder: "a driver".into(),
            lock_wait: Duration::from_millis(wait_ms.into()),
            timeout: None,
            leave_to_a_person: leaves,
            stop: &stop,
        };
        let ports = Ports { target: &port, store: &port, clock: &port, metrics: &port };
        match start {
            Start::Apply { .. } | Start::OldPlan => {
                apply(ports, &plan, &Who::default(), &options, &port).await
            }
            Start::Resume { .. } => resume(ports, &options, &port).await,
        }
    })
}

impl World {
    /// A release that serves, without its history.
    fn install(&mut self, built: Arc<Built>) -> Arc<Built> {
        self.know(&built, Fate::Well);
        let now = self.now;
        for n in 0..self.revisions.len() {
            let replicas = if self.revisions[n].part == 0 { built.made.replicas } else { 1 };
            let mut process = Process::new(replicas.into(), 0, false);
            process.full_since_ms = Some(now);
            self.revisions[n].process = Some(process);
            self.revisions[n].seen_ready = true;
        }
        let traffic = Traffic {
            mirror: 0,
            header_routes: Vec::new(),
            settings: built.id.clone(),
            shares: (0..2)
                .filter_map(|part| {
                    let revision = built.revisions[part].clone()?;
                    let share = Share { revision, weight: 100, canary: false };
                    Some((PARTS[part].to_string(), vec![share]))
                })
                .collect(),
        };
        let split: Split = self.split(&traffic);
        self.router.in_force = Some(Arc::new(split));
        self.store.history.push((built.clone(), Outcome::Deployed));
        built
    }
}
