//! What administrators did: entries that can only be added, each with the hash of the one before it,
//! so that a changed or missing one shows.
//!
//! Pure values; the repository appends. An entry never holds what a deletion is there to remove: a
//! subject stands in it as a hash.

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::memory::{Moment, hex};
use crate::tenant::Tenant;

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub actor: String,
    /// What, in a word or two with a dot.
    pub action: &'static str,
    /// On what.
    pub target: String,
    /// When.
    pub at: Moment,
}

/// An act in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// Counts from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: Moment,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub target: String,
    /// The hash of the entry before.
    pub previous: String,
    /// SHA-256 over all of this.
    pub hash: String,
}

impl Entry {
    /// The entry that `act` becomes behind `last`.
    pub fn following(last: Option<(i64, String)>, act: &Act) -> Self {
        let (seq, previous) = last.map_or((1, String::new()), |(seq, hash)| (seq + 1, hash));
        let mut entry = Self {
            seq,
            at: act.at,
            actor: act.actor.clone(),
            action: act.action.to_owned(),
            target: act.target.clone(),
            previous,
            hash: String::new(),
        };
        entry.hash = entry.computed();
        entry
    }

    /// The hash as the database keeps it.
    pub fn hash_bytes(&self) -> Vec<u8> {
        self.digest()
    }

    fn computed(&self) -> String {
        hex(&self.digest())
    }

    fn digest(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        let (seq, at) = (self.seq.to_string(), self.at.0.to_string());
        for field in [&self.previous, &seq, &at, &self.actor, &self.action, &self.target] {
            // With its length, so that no two lists of fields run into the same bytes.
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.finalize().to_vec()
    }
}

/// The first entry that is not as it was written, or that does not follow the one before it.
/// `entries` begin with the first one.
pub fn broken(entries: &[Entry]) -> Option<i64> {
    let mut last: Option<&Entry> = None;
    for entry in entries {
        let (seq, previous) = last.map_or((1, ""), |last| (last.seq + 1, last.hash.as_str()));
        if entry.seq != seq || entry.previous != previous || entry.hash != entry.computed() {
            return Some(seq);
        }
        last = Some(entry);
    }
    None
}

/// What stands for a subject.
pub fn subject(tenant: &Tenant, subject: &str) -> String {
    let hash = Sha256::new().chain_update(tenant.name()).chain_update([0]).chain_update(subject);
    format!("subject:{}", hex(&hash.finalize()[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_a_gap_show() {
        let mut entries: Vec<Entry> = Vec::new();
        for number in 0..4 {
            let last = entries.last().map(|entry| (entry.seq, entry.hash.clone()));
            let act = Act {
                actor: "ann".into(),
                action: "key.create",
                target: format!("key:{number}"),
                at: Moment(number),
            };
            entries.push(Entry::following(last, &act));
        }
        assert_eq!(broken(&entries), None);
        let mut changed = entries.clone();
        changed[1].actor = "bob".into();
        assert_eq!(broken(&changed), Some(2));
        let mut missing = entries.clone();
        missing.remove(2);
        assert_eq!(broken(&missing), Some(3));
    }
}
