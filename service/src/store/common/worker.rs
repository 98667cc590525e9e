//! The worker's port, carried out: which function runs in which kind of transaction.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Backend, expiry, upkeep};
use crate::memory::{Memory, Moment};
use crate::store::{Lead, Promotable, Removed, StoreError, Task, Upkeep};
use crate::tenant::Tenant;

#[async_trait]
impl Upkeep for Backend {
    async fn lead(&self) -> Result<Option<Box<dyn Lead>>, StoreError> {
        self.take_lead().await
    }

    async fn remove_expired(&self, now: Moment, batch: u32) -> Result<Removed, StoreError> {
        self.write_all(move |on| {
            Box::pin(async move { expiry::remove_expired(on, now, batch).await })
        })
        .await
    }

    async fn remove_unseen(&self, before: Moment, batch: u32) -> Result<u64, StoreError> {
        self.write_all(move |on| {
            Box::pin(async move { expiry::remove_unseen(on, before, batch).await })
        })
        .await
    }

    async fn index_missing(&self, batch: u32) -> Result<u64, StoreError> {
        let keyring = self.keyring.clone();
        self.write_all(move |on| {
            Box::pin(async move { expiry::index_missing(on, &keyring, batch).await })
        })
        .await
    }

    async fn promotable(
        &self,
        of: Option<&Tenant>,
        after: Option<&Promotable>,
        now: Moment,
        batch: u32,
    ) -> Result<Vec<Promotable>, StoreError> {
        let (of, after) = (of.cloned(), after.cloned());
        self.write_all(move |on| {
            Box::pin(async move {
                upkeep::promotable(on, of.as_ref(), after.as_ref(), now, batch).await
            })
        })
        .await
    }

    async fn to_compare(
        &self,
        of: Option<&Tenant>,
        batch: u32,
    ) -> Result<Vec<(Tenant, Memory)>, StoreError> {
        let (of, keyring) = (of.cloned(), self.keyring.clone());
        self.write_all(move |on| {
            Box::pin(async move { upkeep::to_compare(on, of.as_ref(), &keyring, batch).await })
        })
        .await
    }

    async fn same_words(
        &self,
        tenant: &Tenant,
        memory: &Memory,
    ) -> Result<Option<Memory>, StoreError> {
        let (of, memory) = (self.owner(tenant), memory.clone());
        self.read_latest(tenant, move |on| {
            Box::pin(async move { upkeep::same_words(on, &of, &memory).await })
        })
        .await
    }

    async fn supersede(
        &self,
        tenant: &Tenant,
        id: Uuid,
        by: Uuid,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| {
            Box::pin(async move { upkeep::supersede(on, &of, id, by, now).await })
        })
        .await
    }

    async fn compared(
        &self,
        tenant: &Tenant,
        id: Uuid,
        version: i64,
        now: Moment,
    ) -> Result<(), StoreError> {
        let of = tenant.clone();
        self.write(tenant, move |on| {
            Box::pin(async move { upkeep::compared(on, &of, id, version, now).await })
        })
        .await
    }

    async fn add_task(&self, task: &Task) -> Result<(), StoreError> {
        let task = task.clone();
        self.write(&task.tenant.clone(), move |on| {
            Box::pin(async move { upkeep::add_task(on, &task).await })
        })
        .await
    }

    async fn task(&self, tenant: &Tenant, id: Uuid) -> Result<Option<Task>, StoreError> {
        let of = tenant.clone();
        self.read_latest(tenant, move |on| Box::pin(async move { upkeep::task(on, &of, id).await }))
            .await
    }

    async fn next_task(&self) -> Result<Option<Task>, StoreError> {
        self.write_all(|on| Box::pin(upkeep::next_task(on))).await
    }

    async fn save_task(&self, task: &Task) -> Result<(), StoreError> {
        let task = task.clone();
        self.write_all(move |on| Box::pin(async move { upkeep::save_task(on, &task).await })).await
    }

    async fn remove_tasks(&self, before: Moment) -> Result<(), StoreError> {
        self.write_all(move |on| Box::pin(async move { upkeep::remove_tasks(on, before).await }))
            .await
    }
}
