//! Asks the cluster what this user may do: one question for a namespace, and one more for each right that its answer does
//! not settle. Authorizers that cannot list what they allow are asked in that second way.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use crate::access::{AccessError, Cluster, in_time};

/// To do something to a kind of objects, in a namespace or where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub namespace: Option<String>,
    pub group: String,
    /// In the plural, with its part after a `/`: `pods/log`.
    pub resource: String,
    pub verb: &'static str,
}

/// Those of them that this user does not have, sorted.
pub(super) async fn lacking(
    cluster: &Cluster,
    asked: BTreeSet<Right>,
) -> Result<Vec<Right>, AccessError> {
    let namespaces: BTreeSet<&String> =
        asked.iter().filter_map(|right| right.namespace.as_ref()).collect();
    let rules = namespaces.into_iter().map(|namespace| async move {
        Ok::<_, AccessError>((namespace.clone(), rules(cluster, namespace).await?))
    });
    let rules: BTreeMap<String, Vec<ResourceRule>> =
        try_join_all(rules).await?.into_iter().collect();
    let settled = |right: &Right| {
        let here = right.namespace.as_ref().and_then(|namespace| rules.get(namespace));
        here.is_some_and(|rules| rules.iter().any(|rule| allows(rule, right)))
    };
    let open: Vec<&Right> = asked.iter().filter(|right| !settled(right)).collect();
    let answers = try_join_all(open.iter().map(|right| is_allowed(cluster, right))).await?;
    let refused = open.into_iter().zip(answers).filter(|(_, allowed)| !allowed);
    Ok(refused.map(|(right, _)| right.clone()).collect())
}

/// What is allowed in a namespace, as far as the cluster can list it.
async fn rules(cluster: &Cluster, namespace: &str) -> Result<Vec<ResourceRule>, AccessError> {
    let api: Api<SelfSubjectRulesReview> = Api::all(cluster.client().await?);
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.into()) };
    let review = SelfSubjectRulesReview { spec, ..SelfSubjectRulesReview::default() };
    let params = PostParams::default();
    match in_time(cluster, "ask what this user may do", api.create(&params, &review)).await {
        Ok(answer) => Ok(answer.status.map(|status| status.resource_rules).unwrap_or_default()),
        // Each right is asked for by itself then.
        Err(AccessError::NoAccess(why)) if why.contains("is forbidden") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn allows(rule: &ResourceRule, right: &Right) -> bool {
    let has = |list: &Option<Vec<String>>, word: &str| {
        list.iter().flatten().any(|found| found == "*" || found == word)
    };
    // One that is about some names alone allows nothing in general.
    rule.resource_names.as_ref().is_none_or(Vec::is_empty)
        && has(&rule.api_groups, &right.group)
        && has(&rule.resources, &right.resource)
        && rule.verbs.iter().any(|verb| verb == "*" || verb == right.verb)
}

async fn is_allowed(cluster: &Cluster, right: &Right) -> Result<bool, AccessError> {
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client().await?);
    let (kind, part) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let attributes = ResourceAttributes {
        group: Some(right.group.clone()),
        namespace: right.namespace.clone(),
        resource: Some(kind.into()),
        subresource: (!part.is_empty()).then(|| part.to_string()),
        verb: Some(right.verb.into()),
        ..ResourceAttributes::default()
    };
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let params = PostParams::default();
    let asked = api.create(&params, &review);
    let answer = in_time(cluster, "ask what this user may do", asked).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_allows_what_it_names_and_nothing_by_single_names() {
        let words = |words: &[&str]| Some(words.iter().map(|word| word.to_string()).collect());
        let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| ResourceRule {
            api_groups: words(groups),
            resources: words(resources),
            verbs: words(verbs).unwrap_or_default(),
            resource_names: None,
        };
        let right = |group: &str, resource: &str, verb: &'static str| Right {
            namespace: Some("n".into()),
            group: group.into(),
            resource: resource.into(),
            verb,
        };
        let some = rule(&["apps"], &["deployments"], &["get", "patch"]);
        assert!(allows(&some, &right("apps", "deployments", "patch")));
        assert!(!allows(&some, &right("apps", "deployments", "delete")));
        assert!(!allows(&some, &right("apps", "statefulsets", "patch")));
        assert!(!allows(&some, &right("", "deployments", "patch")));
        let pods = rule(&[""], &["pods"], &["get", "list"]);
        assert!(allows(&pods, &right("", "pods", "list")));
        assert!(!allows(&pods, &right("", "pods", "watch")), "another verb");
        assert!(!allows(&pods, &right("", "pods/log", "get")), "another part");
        let all = rule(&["*"], &["*"], &["*"]);
        assert!(allows(&all, &right("", "pods/log", "get")));
        let named = ResourceRule { resource_names: words(&["one"]), ..all.clone() };
        let unnamed = ResourceRule { resource_names: words(&[]), ..all };
        assert!(allows(&unnamed, &right("", "secrets", "get")));
        assert!(!allows(&named, &right("", "secrets", "get")));
    }
}
