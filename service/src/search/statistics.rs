//! How common words are, estimated from a sample, so that a search can begin with the rare ones.
//!
//! An estimate is enough: it decides which words are looked up in the index, and weighs the common
//! ones. How rare a rare word is, a search sees by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::vocabularies::Translation;

/// Some memories of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many memories there are in all.
    pub total: i64,
    /// The terms of some.
    pub documents: Vec<Vec<i32>>,
}

/// What a sample says.
#[derive(Debug, Default, Clone)]
pub struct Statistics {
    total: f64,
    sampled: f64,
    documents_with: HashMap<i32, u32>,
    average_length: f64,
}

impl Statistics {
    /// Counts `sample`.
    pub fn new(sample: &Sample) -> Self {
        let mut documents_with: HashMap<i32, u32> = HashMap::new();
        let mut words = 0usize;
        for document in &sample.documents {
            words += document.len();
            for term in document.iter().collect::<HashSet<_>>() {
                *documents_with.entry(*term).or_default() += 1;
            }
        }
        // One occurrence in a large sample says little and would fill the memory.
        if sample.documents.len() > 500 {
            documents_with.retain(|_, count| *count > 1);
        }
        let sampled = sample.documents.len() as f64;
        Self {
            total: (sample.total as f64).max(sampled),
            sampled,
            documents_with,
            average_length: if sampled > 0.0 { words as f64 / sampled } else { 1.0 },
        }
    }

    /// With what was counted under hashes of before counted under those of now.
    pub(super) fn translated(self: &Arc<Self>, translation: &Translation) -> Arc<Self> {
        if translation.is_empty() {
            return self.clone();
        }
        let mut all = Self::clone(self);
        for (before, now) in translation.pairs() {
            if let Some(met) = all.documents_with.remove(&before) {
                *all.documents_with.entry(now).or_default() += met;
            }
        }
        Arc::new(all)
    }

    /// How many memories there are.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Words of an average memory.
    pub fn average_length(&self) -> f64 {
        self.average_length.max(1.0)
    }

    /// In about how many memories `term` is; `None` when the sample has not met it.
    pub fn documents_with(&self, term: i32) -> Option<f64> {
        let met = f64::from(*self.documents_with.get(&term)?);
        Some(met * self.total / self.sampled.max(1.0))
    }

    /// At most about how many memories have `term`.
    pub fn at_most(&self, term: i32) -> f64 {
        let unmet =
            if self.sampled < self.total { self.total / self.sampled.max(1.0) } else { 0.0 };
        self.documents_with(term).unwrap_or(unmet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_scaled_up() {
        let documents = vec![vec![1, 1, 2], vec![1], vec![3], vec![3]];
        let statistics = Statistics::new(&Sample { total: 400, documents });
        assert_eq!(statistics.documents_with(1), Some(200.0));
        assert_eq!(statistics.documents_with(9), None);
        assert_eq!(statistics.at_most(9), 100.0);
        assert_eq!(statistics.average_length(), 1.5);
    }
}
