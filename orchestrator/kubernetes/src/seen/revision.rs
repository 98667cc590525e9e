//! What runs: revisions with their replicas, and why some are not ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use neuroca_deploy_core::observed::{RevisionObserved, Trouble};
use neuroca_deploy_core::release::RevisionId;

use super::pod;
use crate::names::{COMPONENT, CRASH_LOOP, JOB, REVISION, WARM_UNTIL};

/// The label by which a slice names its Service.
const SERVICE: &str = "kubernetes.io/service-name";
const CRASH_LOOP_DEFAULT: u32 = 3;

/// The objects that are looked at.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub deployments: Vec<Arc<Deployment>>,
    pub pods: Vec<Arc<Pod>>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

impl View {
    /// The pods of a revision's replicas.
    pub fn pods_of(&self, revision: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(move |pod| {
            let label = |name: &str| pod.metadata.labels.as_ref().and_then(|all| all.get(name));
            label(REVISION).is_some_and(|found| found == revision) && label(JOB).is_none()
        })
    }

    /// Addresses of the Service to which requests are sent.
    pub fn ready_endpoints(&self, service: &str) -> usize {
        let of_service = |slice: &&Arc<EndpointSlice>| {
            let labels = slice.metadata.labels.as_ref();
            labels.and_then(|all| all.get(SERVICE)).is_some_and(|found| found == service)
        };
        let endpoints = self.slices.iter().filter(of_service).flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|endpoint| {
            endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
        });
        ready.map(|endpoint| endpoint.addresses.len()).sum()
    }
}

/// Every revision that has a Deployment.
pub fn revisions(view: &View) -> BTreeMap<RevisionId, RevisionObserved> {
    let found = view.deployments.iter().filter_map(|deployment| {
        if deployment.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let labels = deployment.metadata.labels.as_ref()?;
        let (revision, component) = (labels.get(REVISION)?, labels.get(COMPONENT)?);
        Some((RevisionId(revision.clone()), of(view, deployment, revision, component)))
    });
    found.collect()
}

fn of(view: &View, deployment: &Deployment, revision: &str, component: &str) -> RevisionObserved {
    let annotation = |name: &str| deployment.metadata.annotations.as_ref()?.get(name)?.parse().ok();
    let failures = annotation(CRASH_LOOP).unwrap_or(u64::from(CRASH_LOOP_DEFAULT)) as u32;
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let pods: Vec<&Arc<Pod>> = view.pods_of(revision).filter(|pod| !pod::is_going(pod)).collect();
    let count = |of: &dyn Fn(&Pod) -> bool| pods.iter().filter(|pod| of(pod)).count() as u32;
    let mut ready = count(&pod::is_ready);
    if listens(deployment) {
        // Requests come by the Service: a pod that is not among its addresses serves nobody.
        ready = ready.min(view.ready_endpoints(revision) as u32);
    }
    let wanted = u32::try_from(wanted).unwrap_or(0);
    let trouble = (ready < wanted)
        .then(|| pods.iter().find_map(|pod| pod::trouble(pod)).or_else(|| not_made(deployment)))
        .flatten();
    RevisionObserved {
        component: component.into(),
        wanted,
        alive: count(&pod::is_running),
        ready,
        crashes: pods.iter().map(|pod| pod::crashes(pod)).sum(),
        crash_loop: pods.iter().any(|pod| pod::is_crash_loop(pod, failures)),
        trouble,
        warm_until_ms: annotation(WARM_UNTIL),
        ..RevisionObserved::default()
    }
}

/// Pods that the cluster refuses to make: a quota, a policy.
fn not_made(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    let why = failure.message.clone().unwrap_or_default();
    Some(Trouble { what: format!("its pods are refused: {why}"), ..Trouble::default() })
}

fn listens(deployment: &Deployment) -> bool {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.is_some_and(|pod| {
        pod.containers.iter().any(|c| c.ports.as_ref().is_some_and(|ports| !ports.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::objects::deployment;
    use crate::objects::tests::with_part;

    fn made(component: &str) -> Deployment {
        let value = with_part(component, |part| deployment(&part));
        serde_json::from_value(value).expect("a Deployment")
    }

    fn pods(of: &Deployment, ready: &[bool]) -> Vec<Arc<Pod>> {
        let pod = |ready: &bool| {
            let ready = if *ready { "True" } else { "False" };
            let conditions = json!([{ "type": "Ready", "status": ready }]);
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": { "labels": of.metadata.labels },
                    "status": { "phase": "Running", "conditions": conditions },
                }))
                .expect("a pod"),
            )
        };
        ready.iter().map(pod).collect()
    }

    fn slice(of: &Deployment, ready: &[bool]) -> Arc<EndpointSlice> {
        let endpoint =
            |ready: &bool| json!({ "addresses": ["10.0.0.1"], "conditions": { "ready": ready } });
        let endpoints: Vec<Value> = ready.iter().map(endpoint).collect();
        let name = of.metadata.name.clone().unwrap_or_default();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": { "labels": { SERVICE: name } },
                "addressType": "IPv4", "endpoints": endpoints,
            }))
            .expect("a slice"),
        )
    }

    #[test]
    fn a_replica_that_listens_counts_once_it_is_an_address_of_its_service() {
        let api = made("api");
        let look = |slices: Vec<Arc<EndpointSlice>>| {
            let view = View {
                deployments: vec![Arc::new(api.clone())],
                pods: pods(&api, &[true, true]),
                slices,
            };
            revisions(&view).into_values().next().expect("one")
        };
        assert_eq!(look(Vec::new()).ready, 0);
        assert_eq!(look(vec![slice(&api, &[true, false])]).ready, 1);
        let seen = look(vec![slice(&api, &[true, true])]);
        assert!(seen.is_ready(), "{seen:?}");
        assert_eq!((seen.component.as_str(), seen.wanted, seen.alive), ("api", 2, 2));
    }

    #[test]
    fn what_does_not_listen_is_judged_by_its_pods_alone_and_jobs_are_none_of_them() {
        let worker = made("worker");
        let mut pods = pods(&worker, &[true, true]);
        let job = Arc::make_mut(&mut pods[1]);
        job.metadata.labels.get_or_insert_default().insert(JOB.into(), "migrate".into());
        let view = View { deployments: vec![Arc::new(worker)], pods, slices: Vec::new() };
        let seen = revisions(&view).into_values().next().expect("one");
        assert_eq!((seen.ready, seen.alive), (1, 1));
    }

    #[test]
    fn a_quota_is_told_though_there_is_no_pod() {
        let mut worker = made("worker");
        let condition = json!({
            "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small",
        });
        worker.status =
            serde_json::from_value(json!({ "conditions": [condition] })).expect("status");
        let view = View { deployments: vec![Arc::new(worker)], ..View::default() };
        let seen = revisions(&view).into_values().next().expect("one");
        assert_eq!(seen.trouble.expect("told").what, "its pods are refused: exceeded quota: small");
    }
}
