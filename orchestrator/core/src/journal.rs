//! The journal: what a run did, durable before and after each effect.
//!
//! A run is the fold of its events over the rollout machine; `Started` marks that an effect may
//! have happened. Replaying a journal that was cut anywhere gives the state to go on from: the
//! first outstanding effect is done again, which changes nothing if it had been done.

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::rollout::{Event, Spec, State, step};

/// One durable entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The effect is about to be done.
    Started { effect: Effect },
    /// Something happened, at a time in milliseconds since the Unix epoch.
    Happened { at_ms: u64, event: Event },
}

/// A journal that no run of this machine can have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {position}: {what}")]
pub struct JournalError {
    pub position: usize,
    pub what: String,
}

/// The state after `records`.
pub fn replay(spec: Spec, records: &[Record]) -> Result<State, JournalError> {
    let mut state = State::new(spec);
    let mut started: Option<&Effect> = None;
    for (position, record) in records.iter().enumerate() {
        let refuse = |what: String| Err(JournalError { position, what });
        match (record, started) {
            (Record::Started { effect }, _) if state.outstanding.front() != Some(effect) => {
                return refuse(format!("{} was not due", effect.kind()));
            }
            // Started twice: a driver died in the middle and its successor did it again.
            (Record::Started { effect }, _) => started = Some(effect),
            (
                Record::Happened {
                    event: Event::Done | Event::Refused { .. } | Event::Outdated { .. },
                    ..
                },
                None,
            ) => {
                return refuse("an effect ended that was never started".into());
            }
            (Record::Happened { at_ms, event }, _) => {
                state = step(state, event, *at_ms).0;
                started = None;
            }
        }
    }
    Ok(state)
}
