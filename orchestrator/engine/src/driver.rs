//! The loop: effects that are due, then what operators want, then what can be observed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, select};
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::judge::Window;
use neuroca_deploy_core::observed::Observed;
use neuroca_deploy_core::rollout::{Event, Phase, State, assess, step};

use crate::error::EngineError;
use crate::ports::{Epoch, JournalId, MetricsError, Ports, StoreError, TargetError};
use crate::report::{EffectPhase, Reporter};

/// Most time between two looks at intents and timers; an observation that changes comes sooner.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// First pause before an unanswered effect is tried again; doubled up to `LOOK_EVERY` x 5.
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// How long a target may stay silent before the run is left to a successor.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// How a run behaves.
pub struct Options<'a> {
    /// Who holds the lock, for the error that others see.
    pub holder: String,
    pub lock_wait: Duration,
    /// Most time for the whole run; the rollout's own deadline counts as well.
    pub timeout: Option<Duration>,
    /// Stop when only a person can say how it goes on, instead of waiting for that.
    pub leave_to_a_person: bool,
    /// Set from outside to stop after the effect in hand.
    pub stop: &'a AtomicBool,
}

pub(crate) struct Driver<'a> {
    pub ports: Ports<'a>,
    pub epoch: Epoch,
    pub journal: JournalId,
    pub reporter: &'a dyn Reporter,
    pub options: &'a Options<'a>,
    pub since_ms: u64,
}

/// Counts that were asked for and have not come yet.
type Asked<'a> = BoxFuture<'a, Result<Vec<Window>, MetricsError>>;

/// Where the driver is with the source of counts.
enum Counts<'a> {
    Asked(Asked<'a>),
    Came(Result<Vec<Window>, MetricsError>),
    /// Until this time, milliseconds since the Unix epoch.
    Rests(u64),
}

impl<'a> Driver<'a> {
    /// Drives until the rollout has ended.
    pub async fn drive(&self, mut state: State) -> Result<Outcome, EngineError> {
        let mut seen = Observed::default();
        let mut counts = None;
        if state.phase == Phase::New {
            self.happened(&mut state, Event::Began).await?;
        }
        loop {
            self.reporter.state(&state, &seen);
            if let Some(outcome) = state.outcome() {
                return Ok(outcome);
            }
            self.check_limits(&state)?;
            if self.count(&mut state, &mut counts).await? {
                continue;
            }
            if self.take_intents(&mut state).await? {
                continue;
            }
            // After the intents: the person may have answered already.
            if let Some(reason) = state.waits_for_a_person(self.ports.clock.now_ms())
                && self.options.leave_to_a_person
            {
                return Err(EngineError::Undecided { reason });
            }
            if let Some(effect) = state.outstanding.front().filter(|_| !state.paused).cloned() {
                self.perform(&mut state, effect).await?;
                continue;
            }
            // What is seen was so when it was asked for or later: a look that arrives late must not
            // be held against what has come up meanwhile.
            let asked_ms = self.ports.clock.now_ms();
            let looked = match self.ports.target.observe().await {
                Ok(observed) => {
                    seen = observed;
                    Some(&seen)
                }
                Err(TargetError::Fenced(_)) => return Err(EngineError::Fenced),
                Err(error) => {
                    self.reporter.note(&format!("cannot look at the target: {error}"));
                    self.ports.clock.sleep(LOOK_EVERY).await;
                    None
                }
            };
            match assess(&state, looked, asked_ms) {
                Some(event) => self.happened(&mut state, event).await?,
                None => {
                    let changed = self.ports.target.changed(seen.version, LOOK_EVERY);
                    match &mut counts {
                        Some(Counts::Asked(asked)) => {
                            // Whichever comes first; what comes is kept for the next turn.
                            if let Either::Left((answer, _)) = select(asked, changed).await {
                                counts = Some(Counts::Came(answer));
                            }
                        }
                        _ => changed.await,
                    }
                }
            }
        }
    }

    /// Asks for counts when a look is due, and lets the machine take in those that came. True when
    /// something happened. Never waits: a slow source must not keep an operator waiting.
    async fn count(
        &self,
        state: &mut State,
        counts: &mut Option<Counts<'a>>,
    ) -> Result<bool, EngineError> {
        if !state.is_judging() {
            *counts = None;
            return Ok(false);
        }
        if !state.outstanding.is_empty() {
            // Effects that are due come first; what was counted meanwhile is told afterwards.
            return Ok(false);
        }
        match counts.take() {
            Some(Counts::Asked(mut asked)) => {
                *counts = Some(match (&mut asked).now_or_never() {
                    Some(answer) => Counts::Came(answer),
                    None => Counts::Asked(asked),
                });
                Ok(false)
            }
            Some(Counts::Came(answer)) => {
                let again_ms = self.ports.clock.now_ms() + state.spec.window_ms() / 2;
                *counts = Some(Counts::Rests(again_ms));
                self.came(state, answer).await
            }
            Some(Counts::Rests(until_ms)) if self.ports.clock.now_ms() < until_ms => {
                *counts = Some(Counts::Rests(until_ms));
                Ok(false)
            }
            _ => {
                let (metrics, compared) = (self.ports.metrics, state.spec.compared());
                let after = state.judged_ms.unwrap_or_default();
                let asked = async move { metrics.windows(&compared, after).await };
                *counts = Some(Counts::Asked(asked.boxed()));
                Ok(false)
            }
        }
    }

    async fn came(
        &self,
        state: &mut State,
        answer: Result<Vec<Window>, MetricsError>,
    ) -> Result<bool, EngineError> {
        match answer {
            Ok(windows) => {
                let some = !windows.is_empty();
                for window in windows {
                    self.happened(state, Event::Counted { window }).await?;
                }
                Ok(some)
            }
            Err(MetricsError(reason)) => {
                let news = state.blind.as_ref() != Some(&reason);
                if news {
                    self.reporter.note(&format!("inconclusive: no counts of requests: {reason}"));
                    self.happened(state, Event::Blind { reason }).await?;
                }
                Ok(news)
            }
        }
    }

    fn check_limits(&self, state: &State) -> Result<(), EngineError> {
        if self.options.stop.load(Ordering::SeqCst) {
            return Err(EngineError::Interrupted { waits_for: state.waits_for() });
        }
        let spent = self.ports.clock.now_ms().saturating_sub(self.since_ms);
        match self.options.timeout {
            Some(limit) if u128::from(spent) >= limit.as_millis() => {
                Err(EngineError::TimedOut { waits_for: state.waits_for() })
            }
            _ => Ok(()),
        }
    }

    /// Takes up what operators left; true when there was anything.
    async fn take_intents(&self, state: &mut State) -> Result<bool, EngineError> {
        let intents = self.ports.store.intents().await.map_err(fenced)?;
        for (id, intent) in &intents {
            self.reporter.note(&format!("an operator says {}", intent.word()));
            // Journaled first: an intent that was taken up and then forgotten would be lost.
            self.happened(state, Event::Operator { intent: intent.clone() }).await?;
            self.ports.store.take_intent(self.epoch, *id).await.map_err(fenced)?;
        }
        Ok(!intents.is_empty())
    }

    /// One effect between its two journal records.
    async fn perform(&self, state: &mut State, effect: Effect) -> Result<(), EngineError> {
        self.reporter.effect(&effect, &EffectPhase::Due);
        self.append(&Record::Started { effect: effect.clone() }).await?;
        self.reporter.effect(&effect, &EffectPhase::Started);
        if let Effect::Record { outcome, .. } = &effect {
            self.ports.store.finish(self.epoch, self.journal, outcome).await.map_err(fenced)?;
            self.reporter.effect(&effect, &EffectPhase::Done);
            // The journal has ended with the history entry; there is nothing to append to.
            *state = step(state.clone(), &Event::Done, self.ports.clock.now_ms()).0;
            return Ok(());
        }
        let event = match self.until_answered(&effect).await? {
            Ok(()) => {
                self.reporter.effect(&effect, &EffectPhase::Done);
                Event::Done
            }
            Err(event) => {
                let (Event::Refused { reason } | Event::Outdated { reason }) = &event else {
                    unreachable!("an effect that was not done was refused or outdated")
                };
                self.reporter.effect(&effect, &EffectPhase::Refused(reason.clone()));
                event
            }
        };
        self.happened(state, event).await?;
        self.reporter.effect(&effect, &EffectPhase::Journaled);
        Ok(())
    }

    /// Tries until the target says yes or no: silence is neither.
    async fn until_answered(&self, effect: &Effect) -> Result<Result<(), Event>, EngineError> {
        let started = self.ports.clock.now_ms();
        let mut pause = RETRY_FIRST;
        loop {
            match self.ports.target.perform(self.epoch, effect).await {
                Ok(()) => return Ok(Ok(())),
                Err(TargetError::Refused(reason)) => return Ok(Err(Event::Refused { reason })),
                Err(TargetError::Outdated(reason)) => return Ok(Err(Event::Outdated { reason })),
                Err(TargetError::Fenced(_)) => return Err(EngineError::Fenced),
                Err(TargetError::Unreachable(why)) => {
                    let silent = self.ports.clock.now_ms().saturating_sub(started);
                    if u128::from(silent) >= SILENT_FOR.as_millis() {
                        return Err(EngineError::Unreachable(why));
                    }
                    tracing::debug!(kind = effect.kind(), %why, "trying again");
                    self.ports.clock.sleep(pause).await;
                    pause = (pause * 2).min(LOOK_EVERY * 5);
                }
            }
        }
    }

    /// Journals the event, then lets the machine act on it.
    async fn happened(&self, state: &mut State, event: Event) -> Result<(), EngineError> {
        let at_ms = self.ports.clock.now_ms();
        self.append(&Record::Happened { at_ms, event: event.clone() }).await?;
        *state = step(state.clone(), &event, at_ms).0;
        Ok(())
    }

    async fn append(&self, record: &Record) -> Result<(), EngineError> {
        self.ports.store.append(self.epoch, self.journal, record).await.map_err(fenced)
    }
}

fn fenced(error: StoreError) -> EngineError {
    match error {
        StoreError::Fenced => EngineError::Fenced,
        other => EngineError::Store(other),
    }
}
