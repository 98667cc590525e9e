//! Whether this user may do what a rollout does, asked before anything is begun.

mod review;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use neuroca_deploy_core::manifests::{Action, Id};
use neuroca_deploy_core::plan::Plan;

use self::review::{Right, lacking};
use crate::access::{AccessError, Cluster, in_time};
use crate::manifests::place_of;
use crate::names::MANAGER;
use crate::write::resource;

/// Group, resource and verbs.
pub(crate) const NEEDED: &[(&str, &str, &[&str])] = &[
    ("", "secrets", &["get", "list", "create", "update", "delete"]),
    ("", "configmaps", &["get", "list", "create", "patch", "delete"]),
    ("", "services", &["get", "list", "create", "patch", "delete"]),
    ("", "persistentvolumeclaims", &["get", "create"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "events", &["list"]),
    ("apps", "deployments", &["get", "list", "watch", "create", "patch", "delete"]),
    ("batch", "jobs", &["get", "list", "watch", "create", "delete"]),
    ("coordination.k8s.io", "leases", &["get", "create", "update"]),
    ("discovery.k8s.io", "endpointslices", &["list", "watch"]),
    (
        "gateway.networking.k8s.io",
        "httproutes",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
];

/// What `destroy --purge` does beyond that.
pub(crate) const PURGING: &[(&str, &str, &[&str])] = &[
    ("", "persistentvolumeclaims", &["list", "delete"]),
    ("coordination.k8s.io", "leases", &["list", "delete"]),
];

/// What counting requests by the pods' own counters does beyond that.
pub(crate) const SCRAPING: &[(&str, &str, &[&str])] = &[("", "pods/proxy", &["get"])];

/// What this user may not do and would have to, as "create leases", sorted.
pub async fn missing(cluster: &Cluster) -> Result<Vec<String>, AccessError> {
    missing_of(cluster, NEEDED).await
}

/// What this user may not do and would have to, to count requests by the pods' own counters.
pub async fn missing_to_scrape(cluster: &Cluster) -> Result<Vec<String>, AccessError> {
    missing_of(cluster, SCRAPING).await
}

async fn missing_of(
    cluster: &Cluster,
    needed: &[(&'static str, &'static str, &'static [&'static str])],
) -> Result<Vec<String>, AccessError> {
    let rights = needed.iter().flat_map(|(group, resource, verbs)| {
        verbs.iter().map(|verb| Right {
            namespace: Some(cluster.names.namespace.clone()),
            group: group.to_string(),
            resource: resource.to_string(),
            verb,
        })
    });
    let lacking = lacking(cluster, rights.collect()).await?;
    Ok(lacking.iter().map(|right| format!("{} {}", right.verb, right.resource)).collect())
}

/// What this user may not do of what the plan does to objects of the user's own, each with where.
pub async fn missing_for(cluster: &Cluster, plan: &Plan) -> Result<Vec<String>, AccessError> {
    let Some(own) = &plan.manifests else { return Ok(Vec::new()) };
    let awaited: BTreeSet<&Id> = plan.rollout.awaited().iter().collect();
    let rights = own.changes.iter().filter_map(|change| {
        let place = place_of(&own.places, &change.id)?;
        let seen: &[&str] = if awaited.contains(&change.id) { &["list", "watch"] } else { &[] };
        Some(verbs(change.action).iter().chain(seen).map(move |verb| Right {
            namespace: place.namespace.clone(),
            group: place.kind.group.clone(),
            resource: place.plural.clone(),
            verb,
        }))
    });
    let lacking = lacking(cluster, rights.flatten().collect()).await?;
    let told = |right: &Right| match &right.namespace {
        Some(namespace) => format!("{} {} in {namespace}", right.verb, right.resource),
        None => format!("{} {}", right.verb, right.resource),
    };
    Ok(lacking.iter().map(told).collect())
}

/// What it takes; taking it back again included.
fn verbs(action: Action) -> &'static [&'static str] {
    match action {
        // Server-side apply of what is not there is both.
        Action::Create => &["create", "patch", "delete"],
        Action::Update | Action::Adopt => &["patch"],
        Action::Replace => &["get", "create", "patch", "delete"],
        Action::Delete => &["delete"],
    }
}

/// Makes the namespace when it is not there and this user may; who may not look is taken to have one.
pub async fn ensure_namespace(cluster: &Cluster) -> Result<(), AccessError> {
    let api: Api<Namespace> = Api::all(cluster.client().await?);
    let name = &cluster.names.namespace;
    match in_time(cluster, "look for the namespace", api.get_metadata_opt(name)).await {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        Err(AccessError::NoAccess(why)) if why.contains("is forbidden") => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.clone());
    let mut labels = cluster.names.labels();
    // What is deployed asks for no more; whatever else comes into the namespace is held to the same.
    labels.insert("pod-security.kubernetes.io/enforce".into(), "restricted".into());
    namespace.metadata.labels = Some(labels);
    let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
    match in_time(cluster, "make the namespace", api.create(&params, &namespace)).await {
        Ok(_) | Err(AccessError::Changed(_)) => Ok(()),
        Err(AccessError::NoAccess(_)) => Err(AccessError::NoAccess(format!(
            "the namespace {name} is not there, and this user may not make it\n  hint: have it made: kubectl \
             create namespace {name}"
        ))),
        Err(error) => Err(error),
    }
}

/// The version that the API server tells.
pub async fn version(cluster: &Cluster) -> Result<String, AccessError> {
    let client = cluster.client().await?;
    let info =
        in_time(cluster, "ask the cluster for its version", client.apiserver_version()).await?;
    Ok(info.git_version)
}

/// Whether the Gateway takes routes; nothing when there is none of this name.
pub async fn gateway(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<bool>, AccessError> {
    let kind = resource("gateway.networking.k8s.io/v1", "Gateway");
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client().await?, namespace, &kind);
    let found = match in_time(cluster, "look at the Gateway", api.get_opt(name)).await {
        Ok(found) => found,
        Err(AccessError::Missing(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(found.map(|gateway| {
        let conditions =
            gateway.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "Programmed" && c["status"] == "True")
    }))
}
