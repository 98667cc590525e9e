//! The port, carried out: which function runs in which kind of transaction.
//!
//! Compiled once for each database; `Backend` is how it gets its connections.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Backend, dialect, find, memories, sealed, subjects, tiers};
use crate::audit::Act;
use crate::memory::{Memory, Moment, Tier, Version};
use crate::schema::SchemaState;
use crate::search::{Sample, Vocabulary};
use crate::store::{
    Access, Candidate, Changed, Created, Deleted, Edit, Filter, NewMemories, Page, PoolState,
    Present, Receipt, Repository, StoreError, SubjectUse,
};
use crate::tenant::Tenant;

#[async_trait]
impl Repository for Backend {
    async fn create(&self, tenant: &Tenant, new: NewMemories) -> Result<Created, StoreError> {
        let of = self.writing_owner(tenant).await?;
        self.write(tenant, move |on| Box::pin(async move { memories::create(on, &of, &new).await }))
            .await
    }

    async fn get(
        &self,
        tenant: &Tenant,
        id: Uuid,
        now: Moment,
    ) -> Result<Option<Memory>, StoreError> {
        let of = self.owner(tenant);
        self.read_latest(tenant, move |on| {
            Box::pin(async move { memories::get(on, &of, id, now).await })
        })
        .await
    }

    async fn list(&self, tenant: &Tenant, page: Page) -> Result<Vec<Memory>, StoreError> {
        let (of, page) = (self.owner(tenant), Arc::new(page));
        self.read(tenant, move |on| {
            let (of, page) = (of.clone(), page.clone());
            Box::pin(async move { memories::list(on, &of, &page).await })
        })
        .await
    }

    async fn edit(&self, tenant: &Tenant, edit: Edit) -> Result<Changed, StoreError> {
        let of = self.writing_owner(tenant).await?;
        self.write(tenant, move |on| Box::pin(async move { memories::edit(on, &of, &edit).await }))
            .await
    }

    async fn delete(
        &self,
        tenant: &Tenant,
        id: Uuid,
        version: Option<i64>,
        now: Moment,
    ) -> Result<Deleted, StoreError> {
        let of = self.owner(tenant);
        self.write(tenant, move |on| {
            Box::pin(async move { memories::delete(on, &of, id, version, now).await })
        })
        .await
    }

    async fn history(
        &self,
        tenant: &Tenant,
        id: Uuid,
        now: Moment,
    ) -> Result<Vec<Version>, StoreError> {
        let of = self.owner(tenant);
        self.read_latest(tenant, move |on| {
            Box::pin(async move { memories::history(on, &of, id, now).await })
        })
        .await
    }

    async fn tier(&self, tenant: &Tenant, page: Page) -> Result<Vec<Present>, StoreError> {
        let (of, page) = (self.owner(tenant), Arc::new(page));
        self.read(tenant, move |on| {
            let (of, page) = (of.clone(), page.clone());
            Box::pin(async move { tiers::present(on, &of, &page).await })
        })
        .await
    }

    async fn counts(&self, tenant: &Tenant) -> Result<[i64; Tier::ALL.len()], StoreError> {
        let of = tenant.clone();
        self.read(tenant, move |on| {
            let of = of.clone();
            Box::pin(async move { tiers::counts(on, &of).await })
        })
        .await
    }

    async fn totals(&self) -> Result<[i64; Tier::ALL.len()], StoreError> {
        self.read(&Tenant::default(), |on| Box::pin(dialect::totals(on))).await.map(tiers::by_tier)
    }

    async fn touch(&self, tenant: &Tenant, accesses: Vec<Access>) -> Result<(), StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| {
            Box::pin(async move { tiers::touch(on, &of, &accesses).await })
        })
        .await
    }

    async fn vocabularies(&self, tenant: &Tenant) -> Result<Vec<Vocabulary>, StoreError> {
        if self.keyring.current().is_none() {
            return Ok(vec![Vocabulary::new(tenant)]);
        }
        let of = self.owner(tenant);
        self.read(tenant, move |on| {
            let of = of.clone();
            Box::pin(async move { sealed::vocabularies(on, &of).await })
        })
        .await
    }

    async fn sample(&self, tenant: &Tenant, size: u32) -> Result<Sample, StoreError> {
        let of = self.owner(tenant);
        self.read(tenant, move |on| {
            let of = of.clone();
            Box::pin(async move { find::sample(on, &of, size).await })
        })
        .await
    }

    async fn with_terms(
        &self,
        tenant: &Tenant,
        filter: Filter,
        terms: Vec<i32>,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let asked = Arc::new((tenant.clone(), filter, terms));
        self.read(tenant, move |on| {
            let asked = asked.clone();
            Box::pin(async move {
                let (of, filter, terms) = &*asked;
                dialect::with_terms(on, of, filter, terms, most).await
            })
        })
        .await
    }

    async fn with_grams(
        &self,
        tenant: &Tenant,
        filter: Filter,
        pairs: Vec<[i32; 2]>,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let asked = Arc::new((tenant.clone(), filter, pairs));
        self.read(tenant, move |on| {
            let asked = asked.clone();
            Box::pin(async move {
                let (of, filter, pairs) = &*asked;
                dialect::with_grams(on, of, filter, pairs, most).await
            })
        })
        .await
    }

    async fn during(
        &self,
        tenant: &Tenant,
        filter: Filter,
        from: Moment,
        to: Moment,
        most: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let asked = Arc::new((tenant.clone(), filter));
        self.read(tenant, move |on| {
            let asked = asked.clone();
            Box::pin(async move { find::during(on, &asked.0, &asked.1, from, to, most).await })
        })
        .await
    }

    async fn around(
        &self,
        tenant: &Tenant,
        ids: Vec<Uuid>,
    ) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let asked = Arc::new((tenant.clone(), ids));
        self.read(tenant, move |on| {
            let asked = asked.clone();
            Box::pin(async move { dialect::around(on, &asked.0, &asked.1).await })
        })
        .await
    }

    async fn by_ids(
        &self,
        tenant: &Tenant,
        ids: Vec<Uuid>,
        now: Moment,
    ) -> Result<Vec<Memory>, StoreError> {
        let asked = Arc::new((self.owner(tenant), ids));
        self.read(tenant, move |on| {
            let asked = asked.clone();
            Box::pin(async move { find::by_ids(on, &asked.0, asked.1.clone(), now).await })
        })
        .await
    }

    async fn of_subject(
        &self,
        tenant: &Tenant,
        subject: &str,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<SubjectUse>, StoreError> {
        let (of, subject) = (self.owner(tenant), subject.to_owned());
        self.read_latest(tenant, move |on| {
            Box::pin(async move { subjects::export(on, &of, &subject, after, limit).await })
        })
        .await
    }

    async fn forget(
        &self,
        tenant: &Tenant,
        subject: &str,
        act: Act,
    ) -> Result<Receipt, StoreError> {
        let (of, subject) = (tenant.clone(), subject.to_owned());
        self.write(tenant, move |on| {
            Box::pin(async move { subjects::forget(on, &of, &subject, &act).await })
        })
        .await
    }

    async fn schema(&self) -> Result<Option<SchemaState>, StoreError> {
        self.schema_state().await
    }

    fn pool(&self) -> PoolState {
        self.connections()
    }

    async fn close(&self) {
        self.shut().await;
    }
}
