//! The port of a search, carried out.
//!
//! Compiled once for each database; `Reading` is how it gets its connection.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::reading::Reading;
use super::{dialect, find, sealed, vectors};
use crate::memory::{Memory, Moment};
use crate::search::{Sample, Vocabulary};
use crate::store::{Candidate, Filter, Look, StoreError, Wanted};

#[async_trait]
impl Look for Reading<'_> {
    async fn vocabularies(&mut self) -> Result<Vec<Vocabulary>, StoreError> {
        let of = self.owner().clone();
        if of.keyring.current().is_none() {
            return Ok(vec![of.vocabulary(None)]);
        }
        self.ask(move |on| {
            let of = of.clone();
            Box::pin(async move { sealed::vocabularies(on, &of).await })
        })
        .await
    }

    async fn sample(&mut self, size: u32) -> Result<Sample, StoreError> {
        let of = self.owner().clone();
        self.ask(move |on| {
            let of = of.clone();
            Box::pin(async move { find::sample(on, &of, size).await })
        })
        .await
    }

    async fn with_terms(
        &mut self,
        filter: &Filter,
        wanted: Wanted,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        dialect::with_terms(self, filter, wanted, most).await
    }

    async fn with_grams(
        &mut self,
        filter: &Filter,
        pairs: Vec<[i32; 2]>,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let asked = Arc::new((self.owner().tenant(), filter.clone(), pairs));
        self.ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move {
                let (of, filter, pairs) = &*asked;
                dialect::with_grams(on, of, filter, pairs, most).await
            })
        })
        .await
    }

    async fn during(
        &mut self,
        filter: &Filter,
        from: Moment,
        to: Moment,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let asked = Arc::new((self.owner().tenant(), filter.clone()));
        self.ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move { find::during(on, &asked.0, &asked.1, from, to, most).await })
        })
        .await
    }

    async fn around(&mut self, ids: Vec<Uuid>) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let asked = Arc::new((self.owner().tenant(), ids));
        self.ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move { dialect::around(on, &asked.0, &asked.1).await })
        })
        .await
    }

    async fn facts(
        &mut self,
        filter: &Filter,
        ids: Vec<Uuid>,
    ) -> Result<Vec<Candidate>, StoreError> {
        let asked = Arc::new((self.owner().tenant(), filter.clone(), ids));
        self.ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move { vectors::facts(on, &asked.0, &asked.1, asked.2.clone()).await })
        })
        .await
    }

    async fn by_ids(&mut self, ids: Vec<Uuid>, now: Moment) -> Result<Vec<Memory>, StoreError> {
        let asked = Arc::new((self.owner().clone(), ids));
        self.ask(move |on| {
            let asked = asked.clone();
            Box::pin(async move { find::by_ids(on, &asked.0, asked.1.clone(), now).await })
        })
        .await
    }

    fn rest(&mut self) {
        Reading::rest(self);
    }
}
