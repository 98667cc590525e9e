//! An experiment: a flag whose rule draws lots, under a name of its own, with a beginning and an end.
//! While it runs, metrics count who got what.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::memory::Moment;

const LONGEST_KEY: usize = 64;
const LONGEST_DESCRIPTION: usize = 1000;
const MOST: usize = 50;

/// Something that is being tried, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Experiment {
    /// The flag that draws lots.
    pub flag: String,
    /// What is to be found out.
    pub description: String,
    /// Whether it is counted who got what.
    pub running: bool,
    /// When it began to run, the last time.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

/// The experiments of a tenant by their keys.
pub type Experiments = BTreeMap<String, Experiment>;

impl Experiment {
    /// What becomes of `before` when `flag`, `description` and `running` are wanted.
    pub fn following(
        before: Option<&Self>,
        flag: String,
        description: String,
        running: bool,
        now: Moment,
    ) -> Self {
        let was_running = before.is_some_and(|one| one.running);
        let started_at = match running && !was_running {
            true => Some(now),
            false => before.and_then(|one| one.started_at),
        };
        let ended_at = match (was_running, running) {
            (_, true) => None,
            (true, false) => Some(now),
            (false, false) => before.and_then(|one| one.ended_at),
        };
        Self { flag, description, running, started_at, ended_at }
    }
}

/// Whether `experiments` can be `document`'s.
pub(super) fn check(experiments: &Experiments, document: &Document) -> Result<(), String> {
    if experiments.len() > MOST {
        return Err(format!("there are more than {MOST} experiments; delete some that have ended"));
    }
    let mut tried = BTreeMap::new();
    for (key, one) in experiments {
        check_one(key, one)?;
        if !one.running {
            continue;
        }
        let flag = document.flags.get(&one.flag).ok_or_else(|| {
            format!("experiment {key:?} is running and its flag {:?} does not exist", one.flag)
        })?;
        if !flag.splits(document) {
            return Err(format!(
                "experiment {key:?} is running and the rule of its flag {:?} has no fractional",
                one.flag
            ));
        }
        if let Some(other) = tried.insert(&one.flag, key) {
            return Err(format!("{other:?} and {key:?} are both running with {:?}", one.flag));
        }
    }
    Ok(())
}

fn check_one(key: &str, one: &Experiment) -> Result<(), String> {
    // It becomes a label of a metric.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=LONGEST_KEY).contains(&key.len()) || !key.bytes().all(allowed) {
        return Err(format!(
            "the key of an experiment is not 1 to {LONGEST_KEY} of A-Z a-z 0-9 . _ -"
        ));
    }
    if one.description.len() > LONGEST_DESCRIPTION || one.description.contains('\0') {
        return Err(format!(
            "description is more than {LONGEST_DESCRIPTION} bytes or holds U+0000"
        ));
    }
    Ok(())
}
