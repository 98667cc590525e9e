//! What a run shows while it goes on: a live block on a terminal, a line per change elsewhere,
//! or NDJSON events.
//!
//! It is told everything by the engine and decides nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::observed::{Observed, Trouble};
use neuroca_deploy_core::rollout::{Phase, State};
use neuroca_deploy_engine::{EffectPhase, Reporter};
use serde_json::json;

use super::Output;
use super::evidence;
use super::rollout::{block, describe, interesting, phase_name, takes_time, weight};
use super::table::visible;
use super::when;

/// How often a canary's counts are worth a line where lines stay.
const COUNTS_EVERY_MS: u64 = 10_000;

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
    told: BTreeMap<String, String>,
    /// The trouble whose last lines were said.
    troubles: BTreeMap<String, String>,
    /// It was said why the release is turned back.
    told_why: bool,
    /// The window that was told last, by its end.
    counted_ms: Option<u64>,
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
        if let Some(Outcome::TurnedBack { reason }) = &state.verdict
            && !inner.told_why
        {
            inner.told_why = true;
            let reason = reason.lines().next().unwrap_or_default();
            self.say(inner, &format!("{} {reason}", self.output.err.bad("turning back:")));
        }
        // A process that is just starting refuses connections, which is no trouble yet.
        let settling = when::now_ms().saturating_sub(state.phase_ms) < SETTLES_MS;
        let seen: Vec<(String, String, Option<&Trouble>)> = interesting(state, observed)
            .into_iter()
            .map(|(id, seen)| {
                let weight = weight(observed, &id).map_or(String::new(), |w| format!(", {w}%"));
                let trouble = seen.trouble.as_ref().filter(|_| !settling);
                let told = trouble.map_or(String::new(), |t| format!(": {}", t.what));
                let text = format!("{}/{} ready{weight}{told}", seen.ready, seen.wanted);
                (id.0, text, trouble)
            })
            .chain(own_workloads(observed, settling))
            .collect();
        for (id, text, trouble) in seen {
            self.say_once(inner, id, text, trouble);
        }
        let due = |end: u64| inner.counted_ms.is_none_or(|told| end >= told + COUNTS_EVERY_MS);
        let evidence = state.judge.evidence();
        if let Some(end) = evidence.end_ms.filter(|end| state.is_judging() && due(*end)) {
            inner.counted_ms = Some(end);
            self.say(inner, &evidence::sentence(&evidence));
        }
    }

    /// A line when it is another than before, and the trouble's last lines when that is another.
    fn say_once(&self, inner: &mut Inner, id: String, text: String, trouble: Option<&Trouble>) {
        if inner.told.get(&id) == Some(&text) {
            return;
        }
        let mut told = format!("{id}: {text}");
        if let Some(trouble) = trouble
            && inner.troubles.get(&id) != Some(&trouble.what)
        {
            told.extend(trouble.log_lines.iter().map(|line| format!("\n  | {line}")));
            inner.troubles.insert(id.clone(), trouble.what.clone());
        }
        self.say(inner, &told);
        inner.told.insert(id, text);
    }

    fn events(&self, inner: &mut Inner, state: &State, observed: &Observed) {
        let mut seen: BTreeMap<String, String> = interesting(state, observed)
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
                (id.0, text)
            })
            .collect();
        let workloads = observed.workloads.iter();
        seen.extend(workloads.map(|own| {
            let text =
                format!("{} {} {} {:?}", own.wanted, own.ready, own.is_hopeless, own.trouble);
            (own.id.to_string(), text)
        }));
        let evidence = state.spec.has_judge().then(|| state.judge.evidence());
        let counted_ms = evidence.as_ref().and_then(|evidence| evidence.end_ms);
        let changed = inner.phase != Some(state.phase)
            || inner.paused != state.paused
            || inner.told != seen
            || inner.counted_ms != counted_ms;
        inner.counted_ms = counted_ms;
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
                    "workloads": observed.workloads,
                    "traffic": observed.traffic,
                    "step": state.step(),
                    "blind": state.blind,
                    "evidence": evidence,
                }),
            );
            inner.told = seen;
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

/// Workloads of the user's own of which there is something to tell; there may be hundreds that just start.
fn own_workloads(
    observed: &Observed,
    settling: bool,
) -> impl Iterator<Item = (String, String, Option<&Trouble>)> {
    observed.workloads.iter().filter_map(move |own| {
        let trouble = own.trouble.as_ref().filter(|_| !settling)?;
        let text = format!("{}/{} ready: {}", own.ready, own.wanted, trouble.what);
        Some((own.id.to_string(), text, Some(trouble)))
    })
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
