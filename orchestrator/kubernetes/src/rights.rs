//! Whether this user may do what a rollout does, asked before anything is begun.

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DynamicObject, PostParams};

use crate::access::{AccessError, Cluster, in_time};
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

/// What this user may not do and would have to, as "create leases", sorted as rights are asked for.
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
    let client = cluster.client().await?;
    let rules = rules(cluster).await?;
    let asked = needed.iter().flat_map(|(group, resource, verbs)| {
        verbs.iter().map(move |verb| (*group, *resource, *verb))
    });
    // What the rules do not tell may be allowed all the same, by another way than by Roles.
    let unsure = asked.filter(|right| !rules.iter().any(|rule| allows(rule, *right)));
    let answers = unsure.map(|(group, resource, verb)| {
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        async move {
            let (kind, part) = resource.split_once('/').unwrap_or((resource, ""));
            let attributes = ResourceAttributes {
                group: Some(group.into()),
                namespace: Some(cluster.names.namespace.clone()),
                resource: Some(kind.into()),
                subresource: (!part.is_empty()).then(|| part.to_string()),
                verb: Some(verb.into()),
                ..ResourceAttributes::default()
            };
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes),
                    ..Default::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let params = PostParams::default();
            let asked = api.create(&params, &review);
            let answer = in_time(cluster, "ask what this user may do", asked).await?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            Ok::<_, AccessError>((!allowed).then(|| format!("{verb} {resource}")))
        }
    });
    Ok(try_join_all(answers).await?.into_iter().flatten().collect())
}

/// What this user may do in the namespace, as far as the cluster can tell at once: a rollback waits for it.
async fn rules(cluster: &Cluster) -> Result<Vec<ResourceRule>, AccessError> {
    let api: Api<SelfSubjectRulesReview> = Api::all(cluster.client().await?);
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(cluster.names.namespace.clone()) },
        ..SelfSubjectRulesReview::default()
    };
    let params = PostParams::default();
    let answer =
        in_time(cluster, "ask what this user may do", api.create(&params, &review)).await?;
    Ok(answer.status.map(|status| status.resource_rules).unwrap_or_default())
}

/// Whether a rule allows this (group, resource, verb) for objects of any name.
fn allows(rule: &ResourceRule, right: (&str, &str, &str)) -> bool {
    let has = |list: &Option<Vec<String>>, word: &str| {
        list.iter().flatten().any(|found| found == "*" || found == word)
    };
    let named = rule.resource_names.as_ref().is_some_and(|names| !names.is_empty());
    let verb = rule.verbs.iter().any(|found| found == "*" || found == right.2);
    !named && verb && has(&rule.api_groups, right.0) && has(&rule.resources, right.1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_some_names_or_another_part_allows_nothing_here() {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_string()).collect::<Vec<_>>();
        let rule = |resources: &[&str], names: Option<&[&str]>| ResourceRule {
            api_groups: Some(words(&[""])),
            resources: Some(words(resources)),
            verbs: words(&["get", "list"]),
            resource_names: names.map(words),
        };
        let pods = rule(&["pods"], None);
        assert!(allows(&pods, ("", "pods", "list")));
        assert!(!allows(&pods, ("", "pods/log", "get")) && !allows(&pods, ("", "pods", "watch")));
        assert!(!allows(&pods, ("apps", "pods", "get")));
        assert!(allows(&rule(&["*"], None), ("", "pods/log", "get")));
        assert!(!allows(&rule(&["pods"], Some(&["one"])), ("", "pods", "get")));
        assert!(allows(&rule(&["pods"], Some(&[])), ("", "pods", "get")));
    }
}
