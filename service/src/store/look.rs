//! The port through which a search looks at the memories of one tenant.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Candidate, Filter, StoreError};
use crate::memory::{Memory, Moment};
use crate::search::{Sample, Vocabulary};

/// Which words are looked up in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What is found has one of these terms,
    pub terms: Vec<i32>,
    /// and one of these as well, unless there are none.
    pub also: Vec<i32>,
}

/// One look: questions about one tenant's memories that belong together. It takes a connection with the
/// first question, if it can one transaction for all of them, and what it tells may be a moment old. Nothing of
/// another tenant is seen.
#[async_trait]
pub trait Look: Send {
    /// The vocabularies in which the memories are indexed, the newest first.
    async fn vocabularies(&mut self) -> Result<Vec<Vocabulary>, StoreError>;
    /// Some memories' terms, at most `size`.
    async fn sample(&mut self, size: u32) -> Result<Sample, StoreError>;
    /// At most `most` memories that have the words.
    async fn with_terms(
        &mut self,
        filter: &Filter,
        wanted: Wanted,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError>;
    /// At most `most` memories that have both grams of one of these pairs.
    async fn with_grams(
        &mut self,
        filter: &Filter,
        pairs: Vec<[i32; 2]>,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError>;
    /// At most `most` memories of what happened in a period, the newest, without their terms.
    async fn during(
        &mut self,
        filter: &Filter,
        from: Moment,
        to: Moment,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError>;
    /// What stands before and after each of `ids` among the memories of the same subject.
    async fn around(&mut self, ids: Vec<Uuid>) -> Result<Vec<(Uuid, Uuid)>, StoreError>;
    /// What ranking needs to know of those of `ids` that are live and pass the filter, without their
    /// terms.
    async fn facts(
        &mut self,
        filter: &Filter,
        ids: Vec<Uuid>,
    ) -> Result<Vec<Candidate>, StoreError>;
    /// The memories of these ids that are live, in no order.
    async fn by_ids(&mut self, ids: Vec<Uuid>, now: Moment) -> Result<Vec<Memory>, StoreError>;
    /// Gives the connection back until the next question: somebody else is waited for.
    fn rest(&mut self);
}
