//! The end of an environment: what is left is taken away, by its labels, and its state last.

use kube::api::{ApiResource, DeleteParams, ListParams};

use crate::access::{AccessError, Cluster, in_time};
use crate::manifests;
use crate::names::{REVISION, STATE};
use crate::store::KubernetesStore;
use crate::write::{self, resource};

/// Takes away what runs and what leads to it. Configuration, secrets and history stay, so that a release can be
/// brought back. True when there was anything.
pub async fn stop_everything(cluster: &Cluster) -> Result<bool, AccessError> {
    let mut any = false;
    for (version, kind) in [
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("batch/v1", "Job"),
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
    ] {
        any |= remove_all(cluster, &resource(version, kind), "").await?;
    }
    Ok(any)
}

/// Takes away the user's own objects, those too that no plan removes.
pub async fn clear_manifests(
    cluster: &Cluster,
    store: &KubernetesStore,
) -> Result<bool, AccessError> {
    let places = store.places().await.map_err(|e| AccessError::Refused(e.to_string()))?;
    match places.is_empty() {
        true => Ok(false),
        false => manifests::clear(cluster, &places).await,
    }
}

/// Takes away everything else: configuration, secrets, data, and at the very end the history.
pub async fn purge(cluster: &Cluster) -> Result<(), AccessError> {
    for (version, kind) in [("v1", "ConfigMap"), ("v1", "PersistentVolumeClaim")] {
        remove_all(cluster, &resource(version, kind), "").await?;
    }
    let secrets = resource("v1", "Secret");
    remove_all(cluster, &secrets, &format!(",{REVISION}")).await?;
    remove_all(cluster, &secrets, &format!(",{STATE},{STATE}!=head")).await?;
    remove_all(cluster, &secrets, &format!(",{STATE}=head")).await?;
    remove_all(cluster, &resource("coordination.k8s.io/v1", "Lease"), "").await?;
    Ok(())
}

async fn remove_all(
    cluster: &Cluster,
    kind: &ApiResource,
    more: &str,
) -> Result<bool, AccessError> {
    let api = write::api(cluster, kind).await?;
    let list = ListParams::default().labels(&format!("{}{more}", cluster.names.selector()));
    let what = format!("remove the {}s", kind.kind);
    let found = match in_time(cluster, &what, api.list_metadata(&list)).await {
        Ok(found) => found.items,
        // A cluster that does not know the kind has none.
        Err(AccessError::Missing(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    for object in &found {
        let Some(name) = &object.metadata.name else { continue };
        match in_time(cluster, &what, api.delete(name, &DeleteParams::background())).await {
            Ok(_) | Err(AccessError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(!found.is_empty())
}
