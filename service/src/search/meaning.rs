//! Search by meaning, beside the search by words: the vector of the question, and what is near it.
//!
//! A helper: whatever goes wrong here costs a search its help and nothing else.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use uuid::Uuid;

use super::shelf::{Near, Shelf, Table};
use crate::embedding::{Embedder, EmbeddingSettings};
use crate::lifecycle::Lifecycle;
use crate::store::{Candidate, Filter, Look, Repository, StoreError};
use crate::tenant::Tenant;

/// Reading a model's weights from a cold disk.
const WARM_UP: Duration = Duration::from_secs(60);
/// Memories that are near enough to be looked at.
const NEAREST: usize = 100;
/// Of all tiers, when only one of them is wanted.
const NEAREST_OF_ALL: usize = 400;
/// Of the best score by words, to the nearest memory. Less or more of it found less of what answers the
/// questions of four conversations (`tests/prove/service/3-recall.py`, the part that may be looked at).
const SHARE: f64 = 1.0;

/// What search by meaning works with.
pub struct Meaning {
    embedder: Embedder,
    shelf: Shelf,
    patience: Duration,
    degraded: AtomicU64,
}

/// A question as a vector, and the vectors it is compared with.
pub(super) struct Asked {
    vector: Vec<f32>,
    table: Arc<RwLock<Table>>,
}

impl Meaning {
    /// What `settings` name. The error says what is wrong with them.
    pub fn new(settings: &EmbeddingSettings) -> Result<Self, String> {
        Ok(Self {
            embedder: Embedder::new(settings)?,
            shelf: Shelf::new(settings.cache_bytes),
            patience: settings.timeout,
            degraded: AtomicU64::new(0),
        })
    }

    /// Where the vectors come from, for people.
    pub fn source(&self) -> &'static str {
        self.embedder.source()
    }

    /// Keeps the vectors of those who search at hand, until the process stops.
    pub async fn keep(&self, repository: &dyn Repository, lifecycle: &Lifecycle) {
        // The first question is not to wait for the model's weights.
        if let Err(failure) = self.embedder.embed(vec!["hello".into()], WARM_UP).await {
            tracing::warn!(%failure, "no embeddings for now; search goes by words");
        }
        self.shelf.keep(repository, self.embedder.model(), lifecycle).await;
    }

    /// Appends the metrics; `labels` go to every sample.
    pub fn render(&self, out: &mut String, labels: &str) {
        self.embedder.render(out, labels);
        let name = "neuroca_searches_degraded_total";
        out.push_str(&format!(
            "# HELP {name} Searches that had to do without embeddings.\n# TYPE {name} counter\n\
             {name}{{{labels}}} {}\n",
            self.degraded.load(Ordering::Relaxed)
        ));
    }

    /// The question as a vector; `None` if there is none in time.
    pub(super) async fn ask(&self, tenant: &Tenant, question: &str) -> Option<Asked> {
        let vector = async {
            let asked = self.embedder.embed(vec![question.to_owned()], self.patience);
            tokio::time::timeout(self.patience, asked).await.ok()?.ok()?.pop()
        };
        match tokio::join!(vector, self.shelf.of(tenant, self.patience)) {
            (Some(vector), Some(table)) => Some(Asked { vector, table }),
            _ => {
                self.degraded.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

impl Asked {
    /// Blends what is near into what the words found, and says what is near, nearest first.
    pub(super) async fn help(
        self,
        look: &mut dyn Look,
        filter: &Filter,
        scored: &mut Vec<(f64, Uuid)>,
        facts: &mut Vec<Candidate>,
    ) -> Result<Vec<Uuid>, StoreError> {
        let known: HashSet<Uuid> = scored.iter().map(|(_, id)| *id).collect();
        let mut near = self.nearest(filter, known.clone()).await;
        let new = near.iter().map(|near| near.id).filter(|id| !known.contains(id)).collect();
        // What the filter keeps out, or is gone, has no facts.
        let found = look.facts(filter, new).await?;
        let there: HashSet<Uuid> = found.iter().map(|fact| fact.id).chain(known).collect();
        near.retain(|near| there.contains(&near.id));
        *scored = blend(scored, &near);
        facts.extend(found);
        Ok(near.into_iter().map(|near| near.id).take(NEAREST).collect())
    }

    async fn nearest(self, filter: &Filter, also: HashSet<Uuid>) -> Vec<Near> {
        let subject = filter.subject.clone();
        let most = if filter.tier.is_some() { NEAREST_OF_ALL } else { NEAREST };
        // A scan of many takes longer than other requests are to wait.
        let scan = move || {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.nearest(&self.vector, subject.as_deref(), &also, most)
        };
        tokio::task::spawn_blocking(scan).await.unwrap_or_default()
    }
}

/// One order by words and meaning: the best score by words counts 1, and the nearest memory `SHARE`.
fn blend(by_words: &[(f64, Uuid)], near: &[Near]) -> Vec<(f64, Uuid)> {
    let best = by_words.iter().map(|(score, _)| *score).fold(0.0, f64::max);
    let of_words = |score: f64| if best > 0.0 { score / best } else { 0.0 };
    let mut blended: Vec<(f64, Uuid)> =
        by_words.iter().map(|(score, id)| (of_words(*score), *id)).collect();
    let places: HashMap<Uuid, usize> =
        blended.iter().enumerate().map(|(place, (_, id))| (*id, place)).collect();
    for Near { id, share } in near {
        match places.get(id) {
            Some(place) => blended[*place].0 += SHARE * share,
            None => blended.push((SHARE * share, *id)),
        }
    }
    blended.sort_by(|(x, a), (y, b)| y.total_cmp(x).then(b.cmp(a)));
    blended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_meaning_count_together() {
        let id = Uuid::from_u128;
        let by_words = [(8.0, id(1)), (6.0, id(2)), (1.0, id(3))];
        let near = [(2, 1.0), (3, 0.6), (4, 0.5), (1, 0.2)];
        let near = near.map(|(number, share)| Near { id: id(number), share });
        let order: Vec<Uuid> = blend(&by_words, &near).into_iter().map(|(_, id)| id).collect();
        assert_eq!(order, [2, 1, 3, 4].map(id));
        let order: Vec<Uuid> = blend(&by_words, &[]).into_iter().map(|(_, id)| id).collect();
        assert_eq!(order, [1, 2, 3].map(id));
        assert_eq!(blend(&[], &near[..1]), [(SHARE, id(2))]);
    }
}
