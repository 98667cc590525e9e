//! Journal writes: each event needs evidence that its driver was shown, and changes the state as
//! the production machine says.

use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::rollout::{Event, Intent, Move, Phase, Spec, State, step};

use super::Rule;
use crate::catalogue::{DEADLINE_MS, DECIDE_WITHIN_MS, DRAIN_MS, MIN_REQUESTS, WATCH_MS};
use crate::store::{Facts, Journal};
use crate::world::{Look, World};

impl World {
    /// A driver that holds the lock appends to the journal.
    pub fn journal(&mut self, driver: usize, record: Record) {
        self.check_is_heard(driver);
        let Some(mut journal) = self.store.journal.take() else {
            return self.violate(Rule::RecordedOnce, |w| {
                format!("{} writes to a journal that has ended", w.who(driver))
            });
        };
        match &record {
            Record::Started { effect } => {
                self.note(3);
                if journal.state().outstanding.front() != Some(effect) {
                    self.violate(Rule::EffectsBetweenRecords, |w| {
                        format!("{} was started though it is not due", w.words_of_effect(effect))
                    });
                }
                journal.started = true;
                self.drivers[driver].answer = None;
            }
            Record::Happened { at_ms, event } => {
                if *at_ms > self.clock(driver) {
                    self.violate(Rule::EventsHaveEvidence, |_| {
                        format!("{event:?} is said to have happened at {at_ms}, in the future")
                    });
                }
                let lacks = self.lacks_evidence(driver, &journal, event, *at_ms);
                if let Some((rule, what)) = lacks {
                    self.violate(rule, |w| format!("{}: {what}", w.words_of_event(event)));
                }
                self.happen(driver, &mut journal, event, *at_ms);
            }
        }
        journal.records.push(record);
        self.store.journal = Some(journal);
    }

    fn happen(&mut self, driver: usize, journal: &mut Journal, event: &Event, at_ms: u64) {
        let state = journal.state.take().expect("put back after each step");
        let (phase, verdict) = (state.phase, state.verdict.is_some());
        let pair = self.coverage.meet(&state, event);
        self.note(1_000 + pair);
        let last_step = state.spec.steps.len() - 1;
        let facts: &mut Facts = &mut journal.facts;
        facts.ready |= phase == Phase::Starting && *event == Event::Ready;
        facts.routed |= phase == Phase::Shifting(last_step) && *event == Event::RouteObserved;
        facts.watched |= *event == Event::Watched;
        facts.promoted |= matches!(event, Event::Operator { intent: Intent::Promote { .. } });
        facts.spoken_against |= matches!(event, Event::Unhealthy { .. });
        facts.undecided |= matches!(event, Event::Inconclusive { .. });
        if let Event::Counted { window } = event
            && state.judged_ms.is_none_or(|judged| window.end_ms > judged)
        {
            facts.count(window);
        }
        facts.silent = false;
        if let Event::Operator { intent } = event {
            self.take_up(driver, intent, &state);
        }
        let counted = matches!(event, Event::Counted { .. });
        let state = step(state, event, at_ms).0;
        if state.phase != phase {
            journal.phase_seq = self.seq;
        }
        if counted && !verdict && state.verdict.is_some() {
            journal.facts.spoken_against = true;
            if journal.facts.canary_errors == 0 {
                self.violate(Rule::NoDataNoVerdict, |_| {
                    "no error of the new one was counted".into()
                });
            }
        }
        if counted && state.verdict.is_none() && journal.facts.is_worse() {
            let facts = journal.facts;
            self.violate(Rule::WorseIsTurnedBack, |_| format!("counted were {facts:?}"));
        }
        if verdict && state.verdict.is_none() {
            self.violate(Rule::WorseIsNeverDeployed, |_| {
                "a verdict against the release was forgotten".into()
            });
        }
        if matches!(event, Event::Done | Event::Refused { .. } | Event::Outdated { .. }) {
            journal.started = false;
            self.drivers[driver].answer = None;
        }
        self.tell(|w| w.words_of_turn(driver, event, phase, &state));
        journal.state = Some(state);
    }

    /// An operator's word is journaled: once, or again by a successor who cannot know better.
    fn take_up(&mut self, driver: usize, intent: &Intent, state: &State) {
        let mut wishes = self.store.wishes.iter_mut();
        let word = intent.word();
        match wishes.find(|l| l.intent == *intent && l.journaled != Some(driver)) {
            Some(left) if left.journaled.is_none() => {
                left.journaled = Some(driver);
                return;
            }
            Some(left) => left.journaled = Some(driver),
            None => self.violate(Rule::WishesAreTakenUp, |_| format!("nobody said `{word}`")),
        }
        // Said once, it must not count twice.
        let repeated = Event::Operator { intent: intent.clone() };
        let after = step(state.clone(), &repeated, state.phase_ms).0;
        if (after.phase, &after.verdict) != (state.phase, &state.verdict) {
            self.violate(Rule::WishesAreTakenUp, |_| {
                format!("`{word}` was said once, and counts twice")
            });
        }
    }

    /// The rule that `event` breaks if it is journaled now, and what is missing.
    fn lacks_evidence(
        &mut self,
        driver: usize,
        journal: &Journal,
        event: &Event,
        at_ms: u64,
    ) -> Option<(Rule, String)> {
        let (state, evidence) = (journal.state(), Rule::EventsHaveEvidence);
        if journal.facts.silent && *event != Event::TookOver {
            return Some((Rule::SilenceGivesBack, "nobody drove for a while".into()));
        }
        let waited = at_ms.saturating_sub(state.phase_ms);
        let answer = self.drivers[driver].answer;
        let look = self.drivers[driver].look.clone();
        // A look from before the phase began says nothing about it.
        let look = look.filter(|look| look.seq >= journal.phase_seq);
        let what = match event {
            Event::Began => (state.phase != Phase::New).then(|| "it has begun before".into()),
            Event::Done if !journal.started => Some("it was never started".into()),
            Event::Done => (answer != Some(true)).then(|| "the target did not say so".into()),
            Event::Refused { .. } | Event::Outdated { .. } => {
                (answer != Some(false)).then(|| "the target did not say so".into())
            }
            Event::Operator { .. } => None,
            Event::TookOver => {
                (!journal.facts.silent).then(|| "somebody drove all the time".into())
            }
            Event::Counted { window } => {
                let given = self.drivers[driver].windows.contains(window);
                return (!given).then(|| (Rule::NoDataNoVerdict, "nobody counted that".into()));
            }
            Event::Blind { reason } => {
                let told = self.drivers[driver].no_counts.as_ref() == Some(reason);
                (!told).then(|| "nobody said so".into())
            }
            Event::Inconclusive { .. } => {
                let late = at_ms.saturating_sub(state.began_ms) >= DEADLINE_MS;
                (!late && waited < DECIDE_WITHIN_MS)
                    .then(|| format!("only {waited} ms have passed"))
            }
            Event::StepPassed => return self.lacks_for_step(look.as_ref(), journal, waited),
            Event::RouteLost => {
                let split = look.as_ref().and_then(|look| look.split.as_ref());
                let kept = split.is_none_or(|split| Some(&split.traffic) == state.asked.as_ref());
                kept.then(|| "the router did not say so".into())
            }
            Event::Unhealthy { .. } => {
                let late = at_ms.saturating_sub(state.began_ms) >= DEADLINE_MS;
                return (!late && !look.is_some_and(|look| self.shows_trouble(&look, state))).then(
                    || (Rule::NoDataNoVerdict, "nothing that was seen speaks against it".into()),
                );
            }
            Event::Watched if waited < WATCH_MS => Some(format!("it was watched for {waited} ms")),
            Event::DrainLimit => {
                (waited < DRAIN_MS).then(|| format!("only {waited} ms have passed"))
            }
            Event::Ready | Event::Watched | Event::RouteObserved | Event::Drained => {
                let Some(look) = look else {
                    return Some((evidence, "nothing was seen since the phase began".into()));
                };
                self.lacks_in(&look, state, event)
            }
        };
        what.map(|what| (evidence, what))
    }

    /// A step is left when its time has passed, the new release was seen well, and either a person
    /// said so or the judge had enough to go by.
    fn lacks_for_step(
        &self,
        look: Option<&Look>,
        journal: &Journal,
        waited: u64,
    ) -> Option<(Rule, String)> {
        let state = journal.state();
        let n = state.step()?;
        let rule = Rule::NoPromotionWithoutEvidence;
        let Some(look) = look else { return Some((rule, "nothing was seen".into())) };
        let serving = state.spec.moves.iter().filter(|m| m.port && m.is_new()).map(|m| (m, true));
        if self.bits(serving) & !look.ready != 0 {
            return Some((rule, "not everything was seen ready".into()));
        }
        let step = &state.spec.steps[n];
        if state.promoted {
            return None;
        }
        if waited < step.pause.0 || step.gate {
            return Some((rule, format!("after {waited} ms, gate: {}", step.gate)));
        }
        let facts = &journal.facts;
        let exposed = facts.canary_requests >= MIN_REQUESTS;
        let worse = facts.is_worse();
        let asked = look.split.as_ref().is_none_or(|s| Some(&s.traffic) == state.asked.as_ref());
        if !asked {
            return Some((rule, "the router reports another split".into()));
        }
        (state.spec.is_judged(n) && (!exposed || worse))
            .then(|| (rule, format!("counted were {facts:?}")))
    }

    fn lacks_in(&self, look: &Look, state: &State, event: &Event) -> Option<String> {
        match event {
            Event::Ready | Event::Watched => {
                let unready = self.bits(needed(&state.spec, state.phase)) & !look.ready;
                (unready != 0).then(|| "not everything was seen ready".into())
            }
            Event::RouteObserved => {
                let reported = look.split.as_ref().map(|split| &split.traffic);
                (reported != state.asked.as_ref())
                    .then(|| "the router did not report what was asked for".into())
            }
            Event::Drained => {
                let losing = self.bits(losing(&state.spec, state.is_turning_back()));
                let split = look.split.as_deref();
                let routed = split.is_some_and(|split| {
                    split.weights.iter().any(|(n, weight)| losing & (1 << n) != 0 && *weight > 0)
                });
                (look.busy & losing != 0 || routed).then(|| "it is still in use".into())
            }
            _ => None,
        }
    }

    fn shows_trouble(&self, look: &Look, state: &State) -> bool {
        let needed = self.bits(needed(&state.spec, state.phase));
        needed & (look.crashing | !look.ready) != 0
    }

    fn bits<'a>(&self, moves: impl Iterator<Item = (&'a Move, bool)>) -> u32 {
        moves
            .filter_map(|(m, new)| if new { m.to.as_ref() } else { m.from.as_ref() })
            .filter_map(|id| self.find(id))
            .fold(0, |bits, n| bits | 1 << n)
    }
}

/// The moves of a phase that waits for readiness, and which side of them.
fn needed(spec: &Spec, phase: Phase) -> impl Iterator<Item = (&Move, bool)> {
    // After a run that was left half-way nobody knows that what does not change is there.
    let anew = spec.stranded.is_some();
    spec.moves.iter().filter_map(move |m| match phase {
        Phase::BackStarting if anew => m.from.is_some().then_some((m, false)),
        Phase::BackStarting => m.leaving().is_some().then_some((m, false)),
        Phase::Swapping if anew => (!m.port && m.to.is_some()).then_some((m, true)),
        Phase::Swapping => (!m.port && m.is_new()).then_some((m, true)),
        Phase::Starting if anew => (m.port && m.to.is_some()).then_some((m, true)),
        Phase::Starting => (m.port && m.is_new() || m.is_scaled()).then_some((m, true)),
        Phase::Holding(_) => (m.port && m.is_new()).then_some((m, true)),
        _ => (m.is_new() || m.is_scaled()).then_some((m, true)),
    })
}

/// The moves whose side has just lost its traffic.
fn losing(spec: &Spec, turning_back: bool) -> impl Iterator<Item = (&Move, bool)> {
    spec.moves.iter().filter(|m| m.port && m.from != m.to).map(move |m| (m, turning_back))
}
