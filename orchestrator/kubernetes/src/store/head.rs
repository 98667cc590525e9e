//! The head as an object: read, and replaced only by whoever has read what it replaces.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use neuroca_deploy_engine::ports::{Epoch, StoreError};

use super::KubernetesStore;
use crate::access::{AccessError, in_time};
use crate::names::{MANAGER, STATE};
use crate::state::head::{FORMAT, Head};
use crate::state::pack::{pack, unpack};

const KEY: &str = "head";
/// The type of every Secret with state in it.
pub(super) const TYPE: &str = "neuroca-deploy/state";
/// How long a write is tried while the API server is away or busy.
const TRIES_FOR: Duration = Duration::from_secs(30);

/// A head with the version of the object that it came from; none before there is one.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    pub head: Head,
    pub version: Option<String>,
}

impl KubernetesStore {
    /// The head as it is now; an empty one before anything was done, also without a namespace.
    pub(super) async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.read_head().await?.head)
    }

    async fn read_head(&self) -> Result<Read, StoreError> {
        let api = self.secrets().await?;
        let name = self.cluster.names.state("");
        let found = in_time(&self.cluster, "read the state", api.get_opt(&name)).await?;
        let read = match found {
            None => Read::default(),
            Some(object) => {
                let bytes = object.data.and_then(|mut data| data.remove(KEY));
                let bytes = bytes.ok_or_else(|| damaged(&name, "it holds no head"))?;
                let head: Head = unpack(&bytes.0).map_err(|why| damaged(&name, &why))?;
                if head.format > FORMAT {
                    return Err(StoreError::Unusable(format!(
                        "the state in the Secret {name} has version {}, this neuroca-deploy reads up to \
                         {FORMAT}\n  hint: use the neuroca-deploy that wrote it, or a newer one",
                        head.format
                    )));
                }
                Read { head, version: object.metadata.resource_version }
            }
        };
        *self.known.lock().expect("not poisoned") = Some(read.clone());
        Ok(read)
    }

    pub(super) async fn secrets(&self) -> Result<Api<Secret>, AccessError> {
        let client = self.cluster.client().await?;
        Ok(Api::namespaced(client, &self.cluster.names.namespace))
    }

    /// Replaces the head by what `change` makes of it, if the epoch is still that of the lock.
    pub(super) async fn write_as<T>(
        &self,
        epoch: Epoch,
        change: impl Fn(&mut Head) -> T,
    ) -> Result<T, StoreError> {
        self.write(|head| match head.admits(epoch) {
            true => Ok(change(head)),
            false => Err(StoreError::Fenced),
        })
        .await
    }

    /// Replaces the head by what `change` makes of it. Of two who write at the same time one begins again with
    /// what the other wrote; one who gets no answer looks whether it was done.
    pub(super) async fn write<T>(
        &self,
        change: impl Fn(&mut Head) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let known = self.known.lock().expect("not poisoned").clone();
        let mut read = match known {
            Some(read) => read,
            None => self.read_head().await?,
        };
        loop {
            let mut head = read.head.clone();
            let value = change(&mut head);
            let value = match value {
                Ok(value) => value,
                // What is known here may be old: only what is there now refuses.
                Err(refused) => {
                    let now = self.read_head().await?;
                    if now.version == read.version {
                        return Err(refused);
                    }
                    read = now;
                    continue;
                }
            };
            head.stamp = stamp();
            match self.put(&head, read.version.as_deref()).await {
                Ok(version) => {
                    let read = Read { head, version: Some(version) };
                    *self.known.lock().expect("not poisoned") = Some(read);
                    return Ok(value);
                }
                Err(AccessError::Changed(_)) => {
                    read = self.read_head().await?;
                    if read.head.stamp == head.stamp {
                        return Ok(value);
                    }
                }
                Err(AccessError::Silent(why)) if began.elapsed() < TRIES_FOR => {
                    tracing::debug!(%why, "writing the state again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    if let Ok(now) = self.read_head().await {
                        if now.head.stamp == head.stamp {
                            return Ok(value);
                        }
                        read = now;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn put(&self, head: &Head, version: Option<&str>) -> Result<String, AccessError> {
        let api = self.secrets().await?;
        let name = self.cluster.names.state("");
        let mut object = self.state_object(&name, "head");
        object.data = Some([(KEY.to_string(), ByteString(pack(head)))].into());
        object.metadata.resource_version = version.map(String::from);
        let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
        let what = "write the state";
        let written = match version {
            Some(_) => in_time(&self.cluster, what, api.replace(&name, &params, &object)).await,
            None => in_time(&self.cluster, what, api.create(&params, &object)).await,
        };
        let written = match written {
            // It was taken away while it was being replaced.
            Err(AccessError::Missing(why)) if version.is_some() => Err(AccessError::Changed(why)),
            other => other,
        };
        Ok(written?.metadata.resource_version.unwrap_or_default())
    }

    /// A Secret for a piece of state of this kind, without its content.
    pub(super) fn state_object(&self, name: &str, kind: &str) -> Secret {
        let names = &self.cluster.names;
        let mut labels = names.labels();
        labels.insert(STATE.into(), kind.into());
        let mut object = Secret { type_: Some(TYPE.into()), ..Secret::default() };
        object.metadata.name = Some(name.into());
        object.metadata.namespace = Some(names.namespace.clone());
        object.metadata.labels = Some(labels);
        object
    }
}

pub(super) fn damaged(name: &str, why: &str) -> StoreError {
    StoreError::Unusable(format!(
        "the state in the Secret {name} cannot be used: {why}\n  hint: what runs goes on; bring the Secret back \
         from a backup, or use the version of neuroca-deploy that wrote it"
    ))
}

/// Differs from write to write and from process to process.
fn stamp() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
