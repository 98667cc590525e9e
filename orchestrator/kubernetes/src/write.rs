//! Writes to the cluster: only what is ours, and never over what a later driver has written.
//!
//! An object is read first. One that belongs to somebody else is refused; one with a higher epoch fences the
//! writer; any other is replaced on the condition that it is still what was read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams, Preconditions,
};
use neuroca_deploy_engine::ports::{Epoch, TargetError};
use serde_json::{Value, json};

use crate::access::{AccessError, Cluster, in_time};
use crate::names::{EPOCH, MANAGER};

/// How often a write begins again because somebody else wrote meanwhile.
const TRIES: u32 = 5;

/// A kind of object by the names that manifests use.
pub fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = format!("{}s", kind.to_lowercase());
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}

/// An API for objects of a kind in the environment's namespace.
pub async fn api(cluster: &Cluster, kind: &ApiResource) -> Result<Api<DynamicObject>, AccessError> {
    Ok(Api::namespaced_with(cluster.client().await?, &cluster.names.namespace, kind))
}

/// Brings an object to what it should be, by server-side apply.
pub async fn apply(cluster: &Cluster, epoch: Epoch, object: Value) -> Result<(), TargetError> {
    let (kind, name) = named(&object);
    let what = format!("apply {} {name}", kind.kind);
    let api = api(cluster, &kind).await?;
    let mut object = object;
    object["metadata"]["annotations"][EPOCH] = json!(epoch.0.to_string());
    for _ in 0..TRIES {
        let found = in_time(cluster, &what, api.get_metadata_opt(&name)).await?;
        let metadata = found.map(|found| found.metadata);
        let version = match &metadata {
            Some(metadata) => {
                may_write(cluster, &kind.kind, metadata, epoch)?;
                metadata.resource_version.clone()
            }
            None => None,
        };
        object["metadata"]["resourceVersion"] = json!(version);
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&object);
        match in_time(cluster, &what, api.patch(&name, &params, &patch)).await {
            Ok(_) => return Ok(()),
            Err(AccessError::Changed(why)) => tracing::debug!(%why, "applying again"),
            Err(error) => return Err(error.into()),
        }
    }
    Err(TargetError::Unreachable(format!("cannot {what}: somebody else keeps changing it")))
}

/// Makes an object that never changes, unless it is there.
pub async fn create(cluster: &Cluster, epoch: Epoch, object: Value) -> Result<(), TargetError> {
    let (kind, name) = named(&object);
    let what = format!("create {} {name}", kind.kind);
    let api = api(cluster, &kind).await?;
    if let Some(found) = in_time(cluster, &what, api.get_metadata_opt(&name)).await? {
        return may_write(cluster, &kind.kind, &found.metadata, epoch);
    }
    let mut object = object;
    object["metadata"]["annotations"][EPOCH] = json!(epoch.0.to_string());
    let object: DynamicObject = serde_json::from_value(object)
        .map_err(|e| TargetError::Refused(format!("cannot {what}: {e}")))?;
    let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
    match in_time(cluster, &what, api.create(&params, &object)).await {
        // Somebody has made it in between; the next look says whose it is.
        Err(AccessError::Changed(_)) => {
            Err(TargetError::Unreachable(format!("{what}: made twice")))
        }
        other => Ok(other.map(drop)?),
    }
}

/// Sets or takes away one annotation of an object that is ours. False when there is none.
pub async fn annotate(
    cluster: &Cluster,
    epoch: Epoch,
    kind: &ApiResource,
    name: &str,
    annotation: (&str, Option<String>),
) -> Result<bool, TargetError> {
    let what = format!("annotate {} {name}", kind.kind);
    let api = api(cluster, kind).await?;
    for _ in 0..TRIES {
        let found = in_time(cluster, &what, api.get_metadata_opt(name)).await?;
        let Some(found) = found else { return Ok(false) };
        may_write(cluster, &kind.kind, &found.metadata, epoch)?;
        let present = found.metadata.annotations.as_ref().and_then(|all| all.get(annotation.0));
        if present == annotation.1.as_ref() {
            return Ok(true);
        }
        let patch = json!({ "metadata": {
            "resourceVersion": found.metadata.resource_version,
            "annotations": { annotation.0: annotation.1, EPOCH: epoch.0.to_string() },
        }});
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..Default::default() };
        match in_time(cluster, &what, api.patch(name, &params, &Patch::Merge(&patch))).await {
            Ok(_) => return Ok(true),
            Err(AccessError::Changed(why)) => tracing::debug!(%why, "annotating again"),
            Err(AccessError::Missing(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Err(TargetError::Unreachable(format!("cannot {what}: somebody else keeps changing it")))
}

/// Removes an object if it is ours; what is somebody else's stays. What it owns goes with it.
pub async fn remove(
    cluster: &Cluster,
    epoch: Epoch,
    kind: &ApiResource,
    name: &str,
) -> Result<(), TargetError> {
    let what = format!("remove {} {name}", kind.kind);
    let api = api(cluster, kind).await?;
    let found = in_time(cluster, &what, api.get_metadata_opt(name)).await?;
    let Some(found) = found else { return Ok(()) };
    if !cluster.names.are_ours(found.metadata.labels.as_ref()) {
        tracing::warn!(%name, kind = kind.kind, "not ours: it is left alone");
        return Ok(());
    }
    may_write(cluster, &kind.kind, &found.metadata, epoch)?;
    let params = DeleteParams::background()
        .preconditions(Preconditions { uid: found.metadata.uid, resource_version: None });
    match in_time(cluster, &what, api.delete(name, &params)).await {
        Ok(_) | Err(AccessError::Missing(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The metadata of all objects of a kind that are ours.
pub async fn list(
    cluster: &Cluster,
    kind: &ApiResource,
    more: &str,
) -> Result<Vec<ObjectMeta>, AccessError> {
    let api = api(cluster, kind).await?;
    let selector = format!("{}{more}", cluster.names.selector());
    let list = ListParams::default().labels(&selector);
    let what = format!("list {}s", kind.kind);
    match in_time(cluster, &what, api.list_metadata(&list)).await {
        Ok(found) => Ok(found.items.into_iter().map(|object| object.metadata).collect()),
        // A cluster that does not know the kind has none.
        Err(AccessError::Missing(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn named(object: &Value) -> (ApiResource, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let kind = resource(&text(&object["apiVersion"]), &text(&object["kind"]));
    (kind, text(&object["metadata"]["name"]))
}

/// Whether a driver with this epoch may write the object that is there.
fn may_write(
    cluster: &Cluster,
    kind: &str,
    found: &ObjectMeta,
    epoch: Epoch,
) -> Result<(), TargetError> {
    let name = found.name.as_deref().unwrap_or_default();
    if !cluster.names.are_ours(found.labels.as_ref()) {
        let manager = found.labels.as_ref().and_then(|l| l.get("app.kubernetes.io/managed-by"));
        let whose = manager.map_or("somebody else".to_string(), |manager| format!("`{manager}`"));
        return Err(TargetError::Refused(format!(
            "{kind} {name} in {} is there already and belongs to {whose}\n  hint: remove it, or give this \
             environment a namespace of its own with `kubernetes.namespace`",
            cluster.names.namespace
        )));
    }
    let written: Option<u64> = found.annotations.as_ref().and_then(|a| a.get(EPOCH)?.parse().ok());
    match written {
        Some(higher) if higher > epoch.0 => {
            Err(TargetError::Fenced(format!("{kind} {name} was written with epoch {higher}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::objects::tests::names;

    #[test]
    fn kinds_have_the_paths_of_the_api() {
        let route = resource("gateway.networking.k8s.io/v1", "HTTPRoute");
        assert_eq!(
            (route.group.as_str(), route.plural.as_str()),
            ("gateway.networking.k8s.io", "httproutes")
        );
        let map = resource("v1", "ConfigMap");
        assert_eq!((map.group.as_str(), map.api_version.as_str()), ("", "v1"));
    }

    #[test]
    fn what_is_not_ours_or_newer_is_not_written() {
        let cluster = Cluster::new(names(), None);
        let found = |labels: BTreeMap<String, String>, epoch: &str| ObjectMeta {
            name: Some("x".into()),
            labels: Some(labels),
            annotations: Some([(EPOCH.to_string(), epoch.to_string())].into()),
            ..ObjectMeta::default()
        };
        let may = |meta: &ObjectMeta| may_write(&cluster, "Service", meta, Epoch(5));
        assert!(may(&found(names().labels(), "5")).is_ok());
        assert!(matches!(may(&found(names().labels(), "6")), Err(TargetError::Fenced(_))));
        let helm = BTreeMap::from([("app.kubernetes.io/managed-by".into(), "Helm".into())]);
        let Err(TargetError::Refused(why)) = may(&found(helm, "1")) else { panic!("it is Helm's") };
        assert!(why.contains("belongs to `Helm`") && why.contains("hint:"), "{why}");
    }
}
