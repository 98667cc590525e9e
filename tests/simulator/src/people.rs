//! Who starts drivers, buries them and goes on after them; who comes back after a pause.

use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_engine::EngineError;

use crate::check::Rule;
use crate::script::Wish;
use crate::world::{Driver, NEVER, Start, World};

/// A paused rollout is resumed by somebody after so long.
const PATIENCE_MS: u64 = 6_000;

impl World {
    pub fn is_awake(&mut self, driver: usize) -> bool {
        let now = self.now;
        let driver = &mut self.drivers[driver];
        if driver.wake_at > now || driver.stalled_until > now {
            return driver.killed;
        }
        driver.wake_at = NEVER;
        true
    }

    pub fn next_start(&mut self) -> Option<(usize, Start)> {
        let n = self.starts.iter().position(|(at, _)| *at <= self.now)?;
        let (_, start) = self.starts.remove(n);
        self.drivers.push(Driver::new(self.now));
        Some((self.drivers.len() - 1, start))
    }

    pub fn buried(&mut self, driver: usize) {
        self.drivers[driver].alive = false;
        self.tell(|w| format!("{} is dead", w.who(driver)));
    }

    /// A driver's command has returned.
    pub fn left(&mut self, driver: usize, result: &Result<Outcome, EngineError>) {
        self.drivers[driver].alive = false;
        self.tell(|w| match result {
            Ok(outcome) => format!("{} returns: {}", w.who(driver), outcome.word()),
            Err(error) => format!("{} returns: {error}", w.who(driver)),
        });
        if let Some(ms) = self.drivers[driver].successor_ms.filter(|_| self.store.journal.is_some())
        {
            self.starts.push((self.now + u64::from(ms), Start::Apply { wait_ms: 20_000 }));
        }
        let broken = match result {
            Err(EngineError::Journal(error)) => Some(error.to_string()),
            Err(EngineError::Stale { .. }) if self.store.journal.is_some() => {
                Some("an interrupted plan is called stale".into())
            }
            _ => None,
        };
        if let Some(why) = broken {
            self.violate(Rule::TheJournalIsTheState, |_| why);
        }
    }

    /// Whoever paused comes back some time; where only a person can say how it goes on, one does.
    pub fn lose_patience(&mut self) {
        let Some(journal) = &self.store.journal else { return };
        let state = journal.state();
        let wish = match (state.paused, state.waits_for_a_person(NEVER)) {
            (_, Some(_)) => self.setting.decision,
            (true, None) => Wish::Resume,
            (false, None) => {
                self.paused_ms = None;
                return;
            }
        };
        let since = *self.paused_ms.get_or_insert(self.now);
        let (intent, mut said) = (wish.intent(), self.store.wishes.iter());
        if self.now > since + PATIENCE_MS && !said.any(|left| left.intent == intent) {
            self.paused_ms = None;
            self.tell(|_| format!("an operator says {}", intent.word()));
            self.store.leave(intent, self.now);
        }
    }

    pub fn words_of_standstill(&self) -> String {
        match &self.store.journal {
            Some(journal) => {
                format!("it does not end; it waits for {}", journal.state().waits_for())
            }
            None => "drivers do not end".into(),
        }
    }
}
