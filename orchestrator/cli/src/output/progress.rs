//! What a run shows while it goes on: a live block on a terminal, a line per change elsewhere,
//! or NDJSON events.
//!
//! It is told everything by the engine and decides nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;
use neuroca_deploy_core::effect::Effect;
use neuroca_deploy_core::observed::{Observed, RevisionObserved};
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_core::rollout::{Phase, State};
use neuroca_deploy_engine::{EffectPhase, Reporter};
use serde_json::json;

use super::table::visible;
use super::when;
use super::{Output, Paint};

/// How long a new process may be unreachable before that is worth a word.
const SETTLES_MS: u64 = 2_000;

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Live,
    Lines,
    Events,
}

/// A reporter for one run.
pub struct Progress {
    output: Output,
    manner: Manner,
    term: Term,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Lines of the live block that are on the screen.
    drawn: usize,
    /// What was said last, so that only changes are said.
    phase: Option<Phase>,
    paused: bool,
    revisions: BTreeMap<RevisionId, String>,
    last_live: Vec<String>,
    /// Nothing is drawn while a question stands on the screen.
    held: bool,
}

impl Progress {
    pub fn new(output: Output) -> Self {
        let term = Term::stderr();
        let manner = match (output.json, term.is_term()) {
            (true, _) => Manner::Events,
            (false, true) => Manner::Live,
            (false, false) => Manner::Lines,
        };
        Self { output, manner, term, inner: Mutex::default() }
    }

    /// Takes the live block off the screen, for a question.
    pub fn hold(&self, held: bool) {
        let mut inner = self.inner();
        self.clear(&mut inner);
        inner.held = held;
    }

    /// Takes the live block off the screen: how it ended is told elsewhere.
    pub fn end(&self) {
        self.hold(true);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self, inner: &mut Inner) {
        let _ = self.term.clear_last_lines(inner.drawn);
        inner.drawn = 0;
        inner.last_live.clear();
    }

    fn say(&self, inner: &mut Inner, text: &str) {
        if inner.held {
            return;
        }
        self.clear(inner);
        let clock = self.output.err.dim(&when::clock(when::now_ms()));
        self.output.note(&format!("{clock} {text}"));
    }

    fn draw(&self, inner: &mut Inner, state: &State, observed: &Observed) {
        if inner.held {
            return;
        }
        let width = usize::from(self.term.size().1).max(20);
        let lines: Vec<String> = block(state, observed, self.output.err, when::now_ms())
            .into_iter()
            .map(|line| cut(line, width))
            .collect();
        if lines == inner.last_live && inner.drawn > 0 {
            return;
        }
        self.clear(inner);
        self.output.note(&lines.join("\n"));
        inner.drawn = lines.len();
        inner.last_live = lines;
    }

    fn lines(&self, inner: &mut Inner, state: &State, observed: &Observed) {
        let changed = inner.phase != Some(state.phase) || inner.paused != state.paused;
        if changed && (state.paused || takes_time(state)) {
            let name = phase_name(state.phase);
            self.say(inner, &format!("{name}: waiting for {}", state.waits_for()));
        }
        // A process that is just starting refuses connections, which is no trouble yet.
        let settling = when::now_ms().saturating_sub(state.phase_ms) < SETTLES_MS;
        let seen: Vec<(RevisionId, String)> = interesting(state, observed)
            .into_iter()
            .map(|(id, seen)| {
                let weight = weight(observed, &id).map_or(String::new(), |w| format!(", {w}%"));
                let trouble = seen.trouble.as_ref().filter(|_| !settling);
                let trouble = trouble.map_or(String::new(), |t| format!(": {}", t.what));
                let text = format!("{}/{} ready{weight}{trouble}", seen.ready, seen.wanted);
                (id, text)
            })
            .collect();
        for (id, text) in seen {
            if inner.revisions.get(&id) != Some(&text) {
                self.say(inner, &format!("{id}: {text}"));
                inner.revisions.insert(id, text);
            }
        }
    }

    fn events(&self, inner: &mut Inner, state: &State, observed: &Observed) {
        let revisions: BTreeMap<RevisionId, String> = interesting(state, observed)
            .into_iter()
            .map(|(id, r)| {
                let text = format!(
                    "{} {} {} {:?} {:?}",
                    r.wanted,
                    r.ready,
                    r.crash_loop,
                    r.trouble,
                    weight(observed, &id)
                );
                (id, text)
            })
            .collect();
        let changed = inner.phase != Some(state.phase)
            || inner.paused != state.paused
            || inner.revisions != revisions;
        if changed {
            self.output.event(
                "state",
                json!({
                    "at_ms": when::now_ms(),
                    "release": state.spec.release,
                    "phase": state.phase,
                    "paused": state.paused,
                    "turning_back": state.is_turning_back(),
                    "waits_for": state.waits_for(),
                    "revisions": observed.revisions,
                    "traffic": observed.traffic,
                }),
            );
            inner.revisions = revisions;
        }
    }
}

impl Reporter for Progress {
    fn state(&self, state: &State, observed: &Observed) {
        let inner = &mut *self.inner();
        match self.manner {
            Manner::Live => self.draw(inner, state, observed),
            Manner::Lines => self.lines(inner, state, observed),
            Manner::Events => self.events(inner, state, observed),
        }
        inner.phase = Some(state.phase);
        inner.paused = state.paused;
    }

    fn effect(&self, effect: &Effect, phase: &EffectPhase) {
        let word = match phase {
            EffectPhase::Started => "started",
            EffectPhase::Done => "done",
            EffectPhase::Refused(_) => "refused",
            EffectPhase::Due | EffectPhase::Journaled => return,
        };
        if self.manner == Manner::Events {
            let reason = match phase {
                EffectPhase::Refused(reason) => Some(reason),
                _ => None,
            };
            let body = json!({ "at_ms": when::now_ms(), "effect": effect, "phase": word, "reason": reason });
            self.output.event("effect", body);
            return;
        }
        let paint = self.output.err;
        let text = match phase {
            EffectPhase::Done => format!("{} {}", paint.good("✓"), describe(effect)),
            EffectPhase::Refused(reason) => {
                format!("{} {}: {reason}", paint.bad("✗"), describe(effect))
            }
            _ => return,
        };
        self.say(&mut self.inner(), &text);
    }

    fn note(&self, text: &str) {
        if self.manner == Manner::Events {
            self.output.event("note", json!({ "at_ms": when::now_ms(), "text": text }));
        } else {
            self.say(&mut self.inner(), text);
        }
    }
}

/// What an effect did, in the past tense.
pub fn describe(effect: &Effect) -> String {
    match effect {
        Effect::StoreArtifact { component, .. } => format!("{component}: artifact stored"),
        Effect::SealSecrets { .. } => "secrets sealed".into(),
        Effect::RunHook { component, hook, .. } => format!("{component}: hook {} ran", hook.name()),
        Effect::Migrate { component, .. } => format!("{component}: database migrated"),
        Effect::StartRevision { revision, .. } => format!("{revision}: started"),
        Effect::Route { traffic } => {
            let parts: Vec<String> = traffic
                .shares
                .values()
                .flatten()
                .map(|share| format!("{} {}%", share.revision, share.weight))
                .collect();
            match parts.is_empty() {
                true => "traffic routed to nothing".into(),
                false => format!("traffic routed: {}", parts.join(", ")),
            }
        }
        Effect::EndStreams { revision, .. } => {
            format!("{revision}: drain limit reached, what was left was ended")
        }
        Effect::KeepWarm { revision, for_ms, .. } => {
            format!("{revision}: kept warm for {}", when::span(*for_ms))
        }
        Effect::StopRevision { revision, .. } => format!("{revision}: stopped"),
        Effect::Record { release, outcome } => format!("{release} recorded: {}", outcome.word()),
    }
}

/// Whether a phase is worth a line of its own: its effects speak for themselves.
fn takes_time(state: &State) -> bool {
    let starts = |port| state.spec.starting(port).next().is_some();
    state.outstanding.is_empty()
        && match state.phase {
            Phase::Starting => starts(true),
            Phase::Swapping => starts(false),
            Phase::Holding(_) => true,
            Phase::Watching => state.spec.watch_ms > 0,
            Phase::Draining | Phase::ClearingDrain | Phase::BackDraining => true,
            Phase::BackStarting => true,
            _ => false,
        }
}

/// A word for each phase.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::New => "beginning",
        Phase::Preparing => "preparing",
        Phase::Clearing | Phase::ClearingDrain | Phase::ClearingStop => "stopping the old",
        Phase::Starting => "starting",
        Phase::Previewing => "previewing",
        Phase::Testing => "testing",
        Phase::Shifting(_) => "shifting",
        Phase::Holding(_) => "canary",
        Phase::Regaining(_) => "nobody drove: the old takes all",
        Phase::Swapping => "swapping",
        Phase::Watching => "watching",
        Phase::Finishing => "finishing",
        Phase::Draining => "draining",
        Phase::Retiring => "retiring",
        Phase::Recording => "recording",
        Phase::BackStarting => "turning back: starting the old",
        Phase::BackShifting => "turning back: shifting",
        Phase::BackDraining => "turning back: draining",
        Phase::BackStopping => "turning back: stopping the new",
        Phase::Finished => "ended",
    }
}

/// The weight of a revision as the edge reports it.
pub fn weight(observed: &Observed, id: &RevisionId) -> Option<u32> {
    let traffic = observed.traffic.as_ref()?;
    traffic.shares.values().flatten().find(|s| s.revision == *id).map(|s| s.weight)
}

/// The revisions that a rollout is about, the new one of each component first.
fn interesting<'a>(
    state: &State,
    observed: &'a Observed,
) -> Vec<(RevisionId, &'a RevisionObserved)> {
    let mut found: Vec<(RevisionId, &RevisionObserved)> = Vec::new();
    for m in &state.spec.moves {
        for id in [&m.to, &m.from].into_iter().flatten() {
            if let Some(seen) = observed.revisions.get(id)
                && !found.iter().any(|(known, _)| known == id)
            {
                found.push((id.clone(), seen));
            }
        }
    }
    found
}

/// The live block.
pub fn block(state: &State, observed: &Observed, paint: Paint, now_ms: u64) -> Vec<String> {
    let name = phase_name(state.phase);
    let name = match state.is_turning_back() {
        true => paint.bad(name),
        false => paint.strong(name),
    };
    let spent = when::span(now_ms.saturating_sub(state.began_ms) / 1000 * 1000);
    let mut lines = vec![format!("  {name}  {}  {spent}", paint.name(&state.spec.release.0))];
    let seen = interesting(state, observed);
    let width = seen.iter().map(|(id, _)| id.0.len()).max().unwrap_or(0);
    for (id, r) in &seen {
        let ready = format!("{}/{} ready", r.ready, r.wanted);
        let ready = if r.is_ready() { paint.good(&ready) } else { paint.attention(&ready) };
        let weight = weight(observed, id).map_or("   -".into(), |w| format!("{w:>3}%"));
        let mut line = format!("    {:width$}  {ready}  {weight}", id.0);
        if r.requests > 0 {
            let rate = r.errors as f64 * 100.0 / r.requests as f64;
            line.push_str(&format!("  {} requests, {rate:.1}% errors", r.requests));
        }
        if r.in_flight + r.streams > 0 {
            line.push_str(&format!("  {} in flight", r.in_flight + r.streams));
        }
        if let Some(trouble) = &r.trouble {
            line.push_str(&format!("  {}", paint.bad(&trouble.what)));
        }
        lines.push(line);
    }
    let idle = state.outstanding.is_empty() && !state.paused;
    let head = if idle { paint.dim("waits for ") } else { String::new() };
    lines.push(format!("    {head}{}", state.waits_for()));
    lines
}

/// A line that wraps would be cleared only in part.
fn cut(line: String, width: usize) -> String {
    if visible(&line) < width {
        return line;
    }
    let mut kept = 0;
    let mut in_code = false;
    let mut out = String::new();
    for c in line.chars() {
        match (in_code, c) {
            (false, '\x1b') => in_code = true,
            (true, 'm') => in_code = false,
            (true, _) => {}
            (false, _) => kept += 1,
        }
        if kept >= width && !in_code {
            break;
        }
        out.push(c);
    }
    if out.contains('\x1b') { out + "\x1b[0m" } else { out }
}
