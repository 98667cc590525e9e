//! Memories with words that are spelt like those that nothing has as they are written.

use std::collections::HashMap;

use uuid::Uuid;

use super::Vocabularies;
use super::text::{likeness, words};
use super::wording::best_first;
use crate::store::{Candidate, Filter, Look, StoreError};

/// Two words that share less are not the same word misspelt.
const ALIKE: f64 = 0.5;
/// Memories that may have a word misspelt: each of them is read.
const SPELT: u32 = 120;

/// Best first; of equals the newer.
pub(super) async fn spelt_alike(
    look: &mut dyn Look,
    vocabularies: &Vocabularies,
    filter: &Filter,
    misspelt: &[&str],
) -> Result<Vec<(f64, Candidate)>, StoreError> {
    let mut pairs: Vec<[i32; 2]> = Vec::new();
    for (word, vocabulary) in misspelt
        .iter()
        .flat_map(|word| vocabularies.all().map(move |vocabulary| (word, vocabulary)))
    {
        // One mistake leaves most pairs of grams three apart whole, at least one of them.
        let grams = vocabulary.grams(word);
        for (first, second) in grams.iter().zip(grams.iter().skip(2)) {
            pairs.push([*first, *second]);
        }
        for (first, second) in grams.iter().zip(grams.iter().skip(1)) {
            pairs.push([*first, *second]);
        }
    }
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    pairs.truncate(48);
    let candidates = look.with_grams(filter, pairs, SPELT).await?;
    let ids = candidates.iter().map(|candidate| candidate.id).collect();
    let texts: HashMap<Uuid, String> = look
        .by_ids(ids, filter.now)
        .await?
        .into_iter()
        .map(|memory| (memory.id, memory.content))
        .collect();
    let mut alike: Vec<(f64, Candidate)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let there: Vec<String> = words(texts.get(&candidate.id)?).collect();
            let total: f64 = misspelt
                .iter()
                .map(|word| there.iter().map(|other| likeness(word, other)).fold(0.0, f64::max))
                .filter(|best| *best >= ALIKE)
                .sum();
            (total > 0.0).then_some((total, candidate))
        })
        .collect();
    best_first(&mut alike);
    Ok(alike)
}
