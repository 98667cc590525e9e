//! The port, carried out: which function runs in which kind of transaction.
//!
//! Compiled once for each database; `Backend` is how it gets its connections.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::reading::Reading;
use super::{Backend, dialect, memories, subjects, tiers};
use crate::audit::Act;
use crate::memory::{Memory, Moment, Tier, Version};
use crate::schema::SchemaState;
use crate::store::{
    Access, Changed, Created, Deleted, Edit, Look, NewMemories, Page, PoolState, Present, Receipt,
    Repository, StoreError, SubjectUse,
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

    fn look<'a>(&'a self, tenant: &Tenant) -> Box<dyn Look + 'a> {
        Box::new(Reading::new(self, self.owner(tenant)))
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
