//! The memories that may say the same as a given one: cheap, since every new memory is compared.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Query, Searcher, Vocabularies};
use crate::memory::{Memory, Moment, Tier};
use crate::store::{Filter, Repository, StoreError, Wanted};
use crate::tenant::Tenant;

/// Words of the given one that are looked up, the rarest: what shares none of them is another thing.
const LOOKED_UP: usize = 4;
const MOST: u32 = 200;
/// Of those, the ones that are read.
const READ: usize = 10;

impl Searcher {
    /// Long-term memories about the same subject that share rare words with `memory`, likeliest first.
    pub async fn like(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        memory: &Memory,
        now: Moment,
    ) -> Result<Vec<Memory>, StoreError> {
        let mut look = repository.look(tenant);
        let vocabularies = Vocabularies::of(&mut *look, tenant).await?;
        let query = Query::new(&memory.content, vocabularies.current());
        let translation = vocabularies.translation(&query);
        let version = vocabularies.current().version();
        let statistics =
            self.counts.of(&mut *look, tenant, version).await?.translated(&translation);
        // Numbers have to agree, so that a text with numbers is found by them.
        let has_number = |text: &str| text.chars().any(char::is_numeric);
        let numbers = query.words.iter().any(|word| has_number(&word.text));
        let mut terms: Vec<(f64, i32)> = query
            .words
            .iter()
            .filter(|word| !numbers || has_number(&word.text))
            .map(|word| (statistics.at_most(word.term), word.term))
            .collect();
        terms.sort_by(|one, other| one.0.total_cmp(&other.0));
        let rarest: Vec<i32> = terms
            .into_iter()
            .map(|(_, term)| term)
            .take(if numbers { 1 } else { LOOKED_UP })
            .collect();
        if rarest.is_empty() {
            return Ok(Vec::new());
        }
        let filter = Filter { subject: memory.subject.clone(), tier: Some(Tier::LongTerm), now };
        let wanted = Wanted { terms: translation.asked(&rarest), also: Vec::new() };
        let mut candidates = look.with_terms(&filter, wanted, MOST).await?;
        translation.understand(&mut candidates);
        let wanted: HashSet<i32> = query.words.iter().map(|word| word.term).collect();
        let mut likely: Vec<(f64, Uuid)> = candidates
            .into_iter()
            .filter(|other| other.id != memory.id && other.subject == memory.subject)
            .map(|other| {
                let theirs: HashSet<i32> = other.terms.into_iter().collect();
                let common = wanted.intersection(&theirs).count() as f64;
                (common / (wanted.len() + theirs.len()) as f64, other.id)
            })
            .collect();
        likely.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(a.cmp(b)));
        let ids: Vec<Uuid> = likely.into_iter().take(READ).map(|(_, id)| id).collect();
        let mut found: HashMap<Uuid, Memory> = look
            .by_ids(ids.clone(), now)
            .await?
            .into_iter()
            .map(|memory| (memory.id, memory))
            .collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}
