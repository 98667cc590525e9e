//! One rollout through the production machine, on a target where everything works at once: what is
//! left is what the policy and the judge do with the traffic.
//!
//! Counts and the moment of the first split come from the caller; it knows no random numbers.

use std::collections::{BTreeMap, VecDeque};

use crate::config::model::Environment;
use crate::digest::Digest;
use crate::judge::Window;
use crate::judge::slots::TOLD_AFTER_MS;
use crate::observed::{Observed, RevisionObserved};
use crate::release::{ComponentRelease, Release};
use crate::rollout::{Event, Intent, Phase, Spec, State, assess, step};
use crate::traffic::Sent;

/// Between two looks at the machine, as a driver takes them: a fifth of a second, and a look takes a moment.
const LOOK_MS: u64 = 205;
/// No rollout that anybody waits for takes longer.
const MOST_MS: u64 = 48 * 3_600_000;

/// How a rollout went, from the first request that the new release got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    pub end: End,
    pub seconds: f64,
    /// Requests that the new release got until then.
    pub exposed: u64,
    /// The last step that was reached.
    pub step: usize,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The judge found it worse.
    Worse,
    /// All of the traffic.
    Promoted,
    /// No verdict in time; `turned_back`, when the policy says so.
    Undecided { turned_back: bool },
}

/// A release of this environment after one that differs in everything that listens.
pub(super) fn spec(environment: &Environment) -> Spec {
    let release = |artifact: &str| Release {
        project: environment.project.clone(),
        environment: String::new(),
        version: None,
        components: environment
            .components
            .iter()
            .map(|(name, component)| {
                let spec = component.clone();
                let artifact = Digest::of(&artifact);
                let secrets = BTreeMap::new();
                (name.clone(), ComponentRelease { artifact, spec, secrets, restarted: None })
            })
            .collect(),
        edge: environment.edge.clone(),
        rollout: environment.rollout.clone(),
        retention: environment.retention.clone(),
        kubernetes: None,
        manifests: Vec::new(),
        rendered: BTreeMap::new(),
    };
    Spec::new(Some(&release("old")), &release("new"), false)
}

/// Lets a rollout run whose requests are split so long after a window's beginning. `send` gives the
/// requests of the next slot of so many milliseconds, under a weight from 0 to 1; the first slot is
/// that window's.
pub(super) fn walk(
    spec: &Spec,
    split_ms: u64,
    slot_ms: u64,
    send: impl FnMut(f64) -> Sent,
) -> Walk {
    let mut world = World::new(spec);
    let mut state = State::new(spec.clone());
    let (mut now, mut began, mut at) = (split_ms, split_ms, 0);
    let mut requests = Requests::new(slot_ms, split_ms, send);
    let mut rests_until = None;
    state = step(state, &Event::Began, now).0;
    loop {
        if let Some(end) = ended(&state, now) {
            let seconds = (now - began) as f64 / 1000.0;
            return Walk { end, seconds, exposed: requests.exposed(), step: at };
        }
        if !state.outstanding.is_empty() {
            state = step(state, &Event::Done, now).0;
            continue;
        }
        if !state.is_judging() {
            rests_until = None;
        } else if rests_until.is_none_or(|until| until <= now) {
            rests_until = Some(now + spec.window_ms() / 2);
            while let Some(window) = requests.told(now) {
                state = step(state, &Event::Counted { window }, now).0;
            }
        }
        if state.is_turning_back() {
            continue;
        }
        if let Some(event) = world.says(&state, now) {
            if let (Phase::Shifting(0), Event::RouteObserved) = (state.phase, &event) {
                began = now;
            }
            state = step(state, &event, now).0;
            continue;
        }
        let weight = match state.phase {
            Phase::Holding(n) => {
                at = n;
                f64::from(spec.steps[n].weight) / 100.0
            }
            _ => 0.0,
        };
        now += LOOK_MS;
        requests.pass(now, weight);
    }
}

/// Requests as time passes, slot by slot.
struct Requests<F> {
    slot_ms: u64,
    send: F,
    now_ms: u64,
    /// In the slot that is not over: milliseconds, each by its weight.
    weighed_ms: f64,
    to_canary: u64,
    untold: VecDeque<Window>,
}

impl<F: FnMut(f64) -> Sent> Requests<F> {
    /// So long after a window's beginning, all on the old release.
    fn new(slot_ms: u64, now_ms: u64, send: F) -> Self {
        let untold = VecDeque::new();
        let mut new = Self { slot_ms, send, now_ms: 0, weighed_ms: 0.0, to_canary: 0, untold };
        new.pass(now_ms, 0.0);
        new
    }

    fn pass(&mut self, until_ms: u64, weight: f64) {
        while self.now_ms < until_ms {
            let end_ms = (self.now_ms / self.slot_ms + 1) * self.slot_ms;
            let to_ms = end_ms.min(until_ms);
            self.weighed_ms += weight * (to_ms - self.now_ms) as f64;
            self.now_ms = to_ms;
            if to_ms == end_ms {
                let window = self.sent().window;
                self.untold.extend(window);
            }
        }
    }

    fn sent(&mut self) -> Sent {
        let weight = std::mem::take(&mut self.weighed_ms) / self.slot_ms as f64;
        let sent = (self.send)(weight);
        self.to_canary += sent.to_canary;
        sent
    }

    /// The next window that can be told by then.
    fn told(&mut self, now_ms: u64) -> Option<Window> {
        self.untold.pop_front_if(|window| window.end_ms + TOLD_AFTER_MS <= now_ms)
    }

    /// What the new release has got, in the slot that is not over too.
    fn exposed(mut self) -> u64 {
        self.sent();
        self.to_canary
    }
}

fn ended(state: &State, now: u64) -> Option<End> {
    let last = state.spec.steps.len() - 1;
    if state.is_turning_back() {
        return Some(match state.judge.alarm() {
            Some(_) => End::Worse,
            None => End::Undecided { turned_back: true },
        });
    }
    if state.inconclusive.is_some() || now >= MOST_MS {
        return Some(End::Undecided { turned_back: false });
    }
    let all =
        matches!(state.phase, Phase::Holding(n) if n == last && state.spec.steps[n].weight == 100);
    let done = matches!(state.phase, Phase::Swapping | Phase::Watching);
    (all || done).then_some(End::Promoted)
}

/// A target that is always ready and does at once what it is told.
struct World {
    observed: Observed,
}

impl World {
    fn new(spec: &Spec) -> Self {
        let ready = |component: &str| RevisionObserved {
            component: component.into(),
            wanted: 1,
            alive: 1,
            ready: 1,
            ..RevisionObserved::default()
        };
        let revisions = spec.moves.iter().flat_map(|m| {
            [&m.from, &m.to].into_iter().flatten().map(|id| (id.clone(), ready(&m.component)))
        });
        Self { observed: Observed { revisions: revisions.collect(), ..Observed::default() } }
    }

    /// What happens next without time passing. Nobody keeps a gate closed.
    fn says(&mut self, state: &State, now: u64) -> Option<Event> {
        if state.waits_for_a_person(now).is_some() {
            return Some(Event::Operator { intent: Intent::Promote { full: false } });
        }
        self.observed.traffic.clone_from(&state.asked);
        assess(state, Some(&self.observed), now)
    }
}
