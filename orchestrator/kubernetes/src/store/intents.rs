//! What operators want of whoever drives: small objects, so that nobody waits for a lock to leave one.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use kube::api::{DeleteParams, ListParams, PostParams};
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{Epoch, StoreError, Who};
use serde::{Deserialize, Serialize};

use super::KubernetesStore;
use super::head::damaged;
use crate::access::{AccessError, in_time};
use crate::names::{MANAGER, OF};
use crate::state::pack::{pack, unpack};

const KIND: &str = "intent";
const KEY: &str = "intent";
/// A driver asks at every turn; the cluster is asked this often. They are to be taken up within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// What the last look found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    at: Option<Instant>,
    found: Vec<(u64, Intent)>,
}

#[derive(Serialize, Deserialize)]
struct Left {
    intent: Intent,
    who: Who,
}

impl KubernetesStore {
    pub(super) async fn put_intent(&self, intent: &Intent, who: &Who) -> Result<(), StoreError> {
        let api = self.secrets().await?;
        let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
        let packed = pack(&Left { intent: intent.clone(), who: who.clone() });
        // Microseconds: their order is the order in which they were left.
        let mut id = jiff::Timestamp::now().as_microsecond() as u64;
        loop {
            let mut object = self.state_object(&self.intent_name(id), KIND);
            object.data = Some([(KEY.to_string(), ByteString(packed.clone()))].into());
            object.metadata.labels.get_or_insert_default().insert(OF.into(), id.to_string());
            match in_time(&self.cluster, "leave a wish", api.create(&params, &object)).await {
                Ok(_) => return Ok(()),
                Err(AccessError::Changed(_)) => id += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn intent_name(&self, id: u64) -> String {
        self.cluster.names.state(&format!("{KIND}.{id}"))
    }

    pub(super) async fn open_intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        {
            let looked = self.intents.lock().expect("not poisoned");
            if looked.at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
                return Ok(looked.found.clone());
            }
        }
        let api = self.secrets().await?;
        let selector = self.cluster.names.state_selector(KIND);
        let list = ListParams::default().labels(&selector);
        let answer = in_time(&self.cluster, "look for wishes", api.list(&list)).await;
        let listed = match answer {
            Ok(list) => list.items,
            // A driver goes on without an answer; the next look finds what was left.
            Err(AccessError::Silent(why)) => {
                tracing::debug!(%why, "no look at wishes");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        for object in listed {
            let id = object.metadata.labels.as_ref().and_then(|l| l.get(OF)?.parse().ok());
            let packed = object.data.and_then(|mut data| data.remove(KEY));
            let (Some(id), Some(packed)) = (id, packed) else { continue };
            let left: Left = unpack(&packed.0)
                .map_err(|why| damaged(&object.metadata.name.unwrap_or_default(), &why))?;
            found.push((id, left.intent));
        }
        found.sort_by_key(|(id, _)| *id);
        *self.intents.lock().expect("not poisoned") =
            Looked { at: Some(Instant::now()), found: found.clone() };
        Ok(found)
    }

    pub(super) async fn remove_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError> {
        if !self.holds(epoch).await? {
            return Err(StoreError::Fenced);
        }
        let api = self.secrets().await?;
        let name = self.intent_name(id);
        let params = DeleteParams::default();
        match in_time(&self.cluster, "take a wish up", api.delete(&name, &params)).await {
            Ok(_) | Err(AccessError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.intents.lock().expect("not poisoned").found.retain(|(found, _)| *found != id);
        Ok(())
    }

    /// What operators wanted of an earlier run must not hit the next one.
    pub(super) async fn forget_intents(&self) -> Result<(), StoreError> {
        *self.intents.lock().expect("not poisoned") = Looked::default();
        self.remove_others(KIND, &std::collections::BTreeSet::new()).await
    }
}
