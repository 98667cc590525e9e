//! Gives vectors to the memories that have none: the worker's, so that no write waits for a model.
//!
//! Knows the ports of the repository and the embedder, no database and no model.

use std::time::{Duration, Instant};

use crate::embedding::Embedder;
use crate::llm::Failure;
use crate::memory::{Memory, Moment};
use crate::store::{NewVector, Repository, StoreError};
use crate::tenant::Tenant;

/// Texts of one request to the embedder.
const BATCH: u32 = 32;
/// With a server: nobody waits for this one.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Embedded {
    /// Memories that got a vector, or the note that the model refuses them.
    pub done: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedder.
    #[error("no embeddings: {0}")]
    Embedder(#[from] Failure),
}

/// Embeds what has no vector, the newest of a tenant first, for about as long as `time`.
pub async fn embed(
    repository: &dyn Repository,
    embedder: &Embedder,
    time: Duration,
) -> Result<Embedded, EmbedError> {
    let begun = Instant::now();
    let mut round = Embedded::default();
    for (tenant, missing) in repository.without_vectors(embedder.model()).await? {
        let (mut missing, mut before) = (missing, None);
        while missing > 0 {
            if begun.elapsed() > time {
                round.more = true;
                return Ok(round);
            }
            // No more than are missing: looking for another one would read all the others.
            let batch = u32::try_from(missing).unwrap_or(BATCH).min(BATCH);
            let memories = repository.to_embed(&tenant, embedder.model(), before, batch).await?;
            let Some(last) = memories.last() else { break };
            before = Some(last.id);
            missing -= memories.len() as i64;
            round.done += memories.len() as u64;
            some(repository, embedder, &tenant, memories).await?;
        }
    }
    Ok(round)
}

async fn some(
    repository: &dyn Repository,
    embedder: &Embedder,
    tenant: &Tenant,
    memories: Vec<Memory>,
) -> Result<(), EmbedError> {
    let texts = memories.iter().map(|memory| memory.content.clone()).collect();
    let vectors = match embedder.embed(texts, PATIENCE).await {
        Err(Failure::Refused(..)) => one_by_one(embedder, &memories).await?,
        vectors => vectors?,
    };
    let new = |(memory, components): (Memory, Vec<f32>)| NewVector {
        memory: memory.id,
        version: memory.version,
        components,
    };
    let vectors = memories.into_iter().zip(vectors).map(new).collect();
    repository.save_vectors(tenant, embedder.model(), vectors, Moment::now()).await?;
    Ok(())
}

/// One text that the model refuses must not keep the others from theirs. If it refuses a harmless one,
/// too, it is not the texts.
async fn one_by_one(embedder: &Embedder, memories: &[Memory]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let mut vectors = Vec::with_capacity(memories.len());
    let mut refusal = None;
    for memory in memories {
        match embedder.embed(vec![memory.content.clone()], PATIENCE).await {
            Err(failure @ Failure::Refused(..)) => {
                refusal = Some(failure);
                vectors.push(Vec::new());
            }
            vector => vectors.extend(vector?),
        }
    }
    match refusal {
        Some(failure) if vectors.iter().all(Vec::is_empty) => {
            match embedder.embed(vec!["hello".into()], PATIENCE).await {
                Ok(_) => Ok(vectors),
                Err(_) => Err(failure.into()),
            }
        }
        _ => Ok(vectors),
    }
}
