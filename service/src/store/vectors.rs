//! The port to the vectors of memories, for searches by meaning.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::memory::{Memory, Moment};
use crate::tenant::Tenant;

/// A vector that was made of one version of a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVector {
    /// Whose.
    pub memory: Uuid,
    /// Of which version of it.
    pub version: i64,
    /// Its components; none if the model refuses the text, so that it is not asked again.
    pub components: Vec<f32>,
}

/// A vector as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVector {
    /// Whose.
    pub memory: Uuid,
    /// Whom or what that is about.
    pub subject: Option<String>,
    /// When the vector was made.
    pub embedded_at: Moment,
    /// Its components.
    pub components: Vec<f32>,
}

/// What search by meaning needs of a database. A vector goes with its memory: deleted, forgotten,
/// superseded, or with other words.
#[async_trait]
pub trait Vectors: Send + Sync {
    /// How many live memories of which tenants have no vector of `model`.
    async fn without_vectors(&self, model: &str) -> Result<Vec<(Tenant, i64)>, StoreError>;
    /// At most `batch` of them, newest first, that are older than `before`.
    async fn to_embed(
        &self,
        tenant: &Tenant,
        model: &str,
        before: Option<Uuid>,
        batch: u32,
    ) -> Result<Vec<Memory>, StoreError>;
    /// Keeps the vectors of memories that have not changed since.
    async fn save_vectors(
        &self,
        tenant: &Tenant,
        model: &str,
        vectors: Vec<NewVector>,
        now: Moment,
    ) -> Result<(), StoreError>;
    /// Removes at most `batch` vectors of other models than `model`: how many.
    async fn remove_other_vectors(&self, model: &str, batch: u32) -> Result<u64, StoreError>;
    /// At most `most` vectors in the order in which they were made, from this moment on, or behind this
    /// memory's of that moment.
    async fn vectors(
        &self,
        tenant: &Tenant,
        model: &str,
        from: (Moment, Option<Uuid>),
        most: u32,
    ) -> Result<Vec<StoredVector>, StoreError>;
}
