//! What is too large for the head: immutable Secrets, written before the head names them.
//!
//! Names come from the content, so that writing twice is writing once; what nothing names is removed later.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::ByteString;
use kube::api::{DeleteParams, ListParams, PostParams};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_engine::ports::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::KubernetesStore;
use super::head::damaged;
use crate::access::{AccessError, in_time};
use crate::names::{MANAGER, OF};
use crate::state::pack::{pack, pieces, unpack};

const KEY: &str = "piece";

impl KubernetesStore {
    /// Stores a value and gives its place: a name, and the number of its pieces behind it.
    pub(super) async fn put_away<T: Serialize>(
        &self,
        kind: &str,
        of: &str,
        value: &T,
    ) -> Result<String, StoreError> {
        let packed = pack(value);
        let digest = Digest::of_bytes(&packed);
        let name = self.cluster.names.state(&format!("{kind}.{of}.{}", digest.short(12)));
        let api = self.secrets().await?;
        let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
        let split = pieces(&packed);
        for (number, piece) in split.iter().enumerate() {
            let mut object = self.state_object(&format!("{name}.{number}"), kind);
            object.immutable = Some(true);
            object.data = Some([(KEY.to_string(), ByteString(piece.to_vec()))].into());
            object.metadata.labels.get_or_insert_default().insert(OF.into(), of.into());
            let what = format!("store a {kind} record");
            match in_time(&self.cluster, &what, api.create(&params, &object)).await {
                Ok(_) | Err(AccessError::Changed(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(format!("{name}/{}", split.len()))
    }

    /// The value at a place.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, place: &str) -> Result<T, StoreError> {
        match self.look_up(place).await? {
            Some(value) => Ok(value),
            None => Err(damaged(place, "a Secret that belongs to it is missing")),
        }
    }

    /// The value at a place, if all of it is there.
    pub(super) async fn look_up<T: DeserializeOwned>(
        &self,
        place: &str,
    ) -> Result<Option<T>, StoreError> {
        let known = self.read.lock().expect("not poisoned").get(place).cloned();
        let packed = match known {
            Some(packed) => packed,
            None => {
                let Some(packed) = self.gather(place).await? else { return Ok(None) };
                let packed = Arc::new(packed);
                self.read.lock().expect("not poisoned").insert(place.into(), packed.clone());
                packed
            }
        };
        unpack(&packed).map(Some).map_err(|why| damaged(place, &why))
    }

    async fn gather(&self, place: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (name, count) = place.rsplit_once('/').ok_or_else(|| damaged(place, "no place"))?;
        let count: usize = count.parse().map_err(|_| damaged(place, "no place"))?;
        let api = self.secrets().await?;
        let mut packed = Vec::new();
        for number in 0..count {
            let name = format!("{name}.{number}");
            let found = in_time(&self.cluster, "read the state", api.get_opt(&name)).await?;
            let piece = found.and_then(|object| object.data?.remove(KEY));
            let Some(piece) = piece else { return Ok(None) };
            packed.extend(piece.0);
        }
        let digest = Digest::of_bytes(&packed);
        match name.ends_with(digest.short(12)) {
            true => Ok(Some(packed)),
            false => Err(damaged(name, "it is not what was written")),
        }
    }

    /// Removes the pieces of a kind that belong to none of these.
    pub(super) async fn remove_others(
        &self,
        kind: &str,
        kept: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let api = self.secrets().await?;
        let selector = self.cluster.names.state_selector(kind);
        let list = ListParams::default().labels(&selector);
        let found = in_time(&self.cluster, "list the state", api.list_metadata(&list)).await?;
        for object in found.items {
            let of = object.metadata.labels.as_ref().and_then(|labels| labels.get(OF));
            let (Some(of), Some(name)) = (of, &object.metadata.name) else { continue };
            if kept.contains(of) {
                continue;
            }
            let params = DeleteParams::default();
            match in_time(&self.cluster, "remove old state", api.delete(name, &params)).await {
                Ok(_) | Err(AccessError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
