//! The vocabularies of one tenant: more than one while its memories are being sealed anew, since what is
//! not sealed anew yet is indexed with the hashes of before.
//!
//! A question is asked in all of them and understood in one: hashes of before are translated as soon as
//! the database gives them.

use std::collections::HashMap;

use super::text::stemmer;
use super::{Query, Vocabulary};
use crate::store::{Candidate, Look, StoreError};
use crate::tenant::Tenant;

/// The newest, and those from before that are still in use.
pub struct Vocabularies {
    current: Vocabulary,
    older: Vec<Vocabulary>,
}

/// What hashes of before mean now, of the words of one question.
#[derive(Debug, Default)]
pub(super) struct Translation(HashMap<i32, i32>);

impl Vocabularies {
    /// Those of `tenant`, whose memories are looked at.
    pub async fn of(look: &mut dyn Look, tenant: &Tenant) -> Result<Self, StoreError> {
        let mut all = look.vocabularies().await?;
        let current = if all.is_empty() { Vocabulary::new(tenant) } else { all.remove(0) };
        Ok(Self { current, older: all })
    }

    /// The one in which a question is understood.
    pub(super) fn current(&self) -> &Vocabulary {
        &self.current
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Vocabulary> {
        std::iter::once(&self.current).chain(&self.older)
    }

    pub(super) fn translation(&self, query: &Query) -> Translation {
        let stemmer = stemmer();
        let pairs = self.older.iter().flat_map(|older| {
            query.words.iter().map(|word| (older.term(&stemmer.stem(&word.text)), word.term))
        });
        Translation(pairs.collect())
    }
}

impl Translation {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each hash of before with what it means now.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (i32, i32)> {
        self.0.iter().map(|(before, now)| (*before, *now))
    }

    /// `terms`, and what they were before.
    pub(super) fn asked(&self, terms: &[i32]) -> Vec<i32> {
        let before = self.pairs().filter(|(_, now)| terms.contains(now)).map(|(before, _)| before);
        terms.iter().copied().chain(before).collect()
    }

    /// As if all had been indexed now.
    pub(super) fn understand(&self, candidates: &mut [Candidate]) {
        if self.is_empty() {
            return;
        }
        for term in candidates.iter_mut().flat_map(|candidate| &mut candidate.terms) {
            *term = self.0.get(term).copied().unwrap_or(*term);
        }
    }
}
