//! One rollout through the production machine, on a target where everything works at once: what is
//! left is what the policy and the judge do with the traffic.
//!
//! Counts come from the caller; it knows no random numbers.

use std::collections::{BTreeMap, VecDeque};

use crate::config::model::Environment;
use crate::digest::Digest;
use crate::judge::Window;
use crate::observed::{Observed, RevisionObserved};
use crate::release::{ComponentRelease, Release};
use crate::rollout::{Event, Intent, Phase, Spec, State, assess, step};

/// Between two looks at the machine.
pub(super) const TICK_MS: u64 = 500;
/// From the end of a window until its counts are final and have been asked for.
const LAG_MS: u64 = 1_000;
/// No rollout that anybody waits for takes longer.
const MOST_MS: u64 = 48 * 3_600_000;

/// How a rollout went, from the first request that the new release got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    pub end: End,
    pub seconds: f64,
    /// Requests that the new release answered until then.
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
        rendered: BTreeMap::new(),
    };
    Spec::new(Some(&release("old")), &release("new"), false)
}

/// Lets a rollout run. `counts` gives the window that ends at a time, under a weight in percent.
pub(super) fn walk(spec: &Spec, mut counts: impl FnMut(u32, u64) -> Window) -> Walk {
    let interval = spec.window_ms().max(TICK_MS);
    let mut world = World::new(spec);
    let mut state = State::new(spec.clone());
    let (mut now, mut began, mut exposed) = (0, 0, 0);
    let (mut last_window, mut at) = (0, 0);
    let mut on_the_way: VecDeque<Window> = VecDeque::new();
    state = step(state, &Event::Began, now).0;
    loop {
        if let Some(end) = ended(&state, now) {
            let seconds = (now - began) as f64 / 1000.0;
            return Walk { end, seconds, exposed, step: at };
        }
        if !state.outstanding.is_empty() {
            state = step(state, &Event::Done, now).0;
            continue;
        }
        while on_the_way.front().is_some_and(|window| window.end_ms + LAG_MS <= now) {
            let Some(window) = on_the_way.pop_front() else { break };
            if state.is_judging() {
                state = step(state, &Event::Counted { window }, now).0;
            }
        }
        if state.is_turning_back() {
            continue;
        }
        if let Some(event) = world.says(&state, now) {
            if let (Phase::Shifting(0), Event::RouteObserved) = (state.phase, &event) {
                (began, last_window) = (now, now);
            }
            state = step(state, &event, now).0;
            continue;
        }
        now += TICK_MS;
        let Phase::Holding(n) = state.phase else { continue };
        at = n;
        if now >= last_window + interval {
            last_window = now;
            let window = counts(u32::from(spec.steps[n].weight), now);
            exposed += window.components.values().map(|sides| sides.canary.requests).sum::<u64>();
            on_the_way.push_back(window);
        }
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
