//! Whether a workload of the user's own is all there, from its status and its pods.
//!
//! Its controller says when it is ready; why it is not is told by the pods of its present form. The rules are those of
//! `kubectl rollout status`.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use neuroca_deploy_core::observed::Trouble;

use super::job::{JobEnd, end_of};
use super::pod;

/// Labels by which a pod says which form of its workload it is of.
const FORMS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];
/// Starts that fail before nothing more is expected of it.
const CRASHES: u32 = 3;

/// A workload that is waited for.
#[derive(Debug, Clone)]
pub enum Workload {
    Deployment(Arc<Deployment>),
    StatefulSet(Arc<StatefulSet>),
    DaemonSet(Arc<DaemonSet>),
    Job(Arc<Job>),
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Pods that are wanted, and of the present form that are ready (of a job: that have succeeded).
    pub wanted: u32,
    pub ready: u32,
    pub is_ready: bool,
    /// What its controller itself says is wrong.
    pub complaint: Option<Complaint>,
}

/// What a controller says is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// Its pods are refused: by a quota, a policy, a webhook. Others may go and make room.
    Refused(String),
    /// It has given up.
    GivenUp(String),
}

impl Workload {
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Deployment(made) => &made.metadata,
            Self::StatefulSet(made) => &made.metadata,
            Self::DaemonSet(made) => &made.metadata,
            Self::Job(made) => &made.metadata,
        }
    }

    /// What its controller says. Before that has seen what was written last, nothing counts.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Deployment(made) => deployment(made),
            Self::StatefulSet(made) => stateful_set(made),
            Self::DaemonSet(made) => daemon_set(made),
            Self::Job(made) => job(made),
        }
    }

    /// The pods of its present form, of all those of its namespace: of the youngest's form, where they have one.
    pub fn pods<'a>(&self, all: &'a [Arc<Pod>]) -> Vec<&'a Arc<Pod>> {
        let Some(selector) = self.selector() else { return Vec::new() };
        let own: Vec<&Arc<Pod>> = all
            .iter()
            .filter(|pod| selects(selector, &pod.metadata) && !pod::is_going(pod))
            .collect();
        let form = |pod: &Pod| {
            let labels = pod.metadata.labels.as_ref()?;
            FORMS.iter().find_map(|label| labels.get(*label)).cloned()
        };
        let youngest = own.iter().max_by_key(|pod| {
            let made = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
            (made, pod.metadata.name.clone())
        });
        let Some(present) = youngest.map(|pod| form(pod)) else { return Vec::new() };
        own.into_iter().filter(|pod| form(pod) == present).collect()
    }

    fn selector(&self) -> Option<&LabelSelector> {
        match self {
            Self::Deployment(made) => Some(&made.spec.as_ref()?.selector),
            Self::StatefulSet(made) => Some(&made.spec.as_ref()?.selector),
            Self::DaemonSet(made) => Some(&made.spec.as_ref()?.selector),
            Self::Job(made) => made.spec.as_ref()?.selector.as_ref(),
        }
    }
}

/// Why no waiting helps this pod; nothing while something might.
pub fn is_hopeless(pod: &Pod) -> bool {
    pod::is_crash_loop(pod, CRASHES) || pod::has_no_image(pod)
}

fn deployment(made: &Deployment) -> Standing {
    let wanted = count(made.spec.as_ref().and_then(|spec| spec.replicas).or(Some(1)));
    let Some(status) = &made.status else { return Standing { wanted, ..Standing::default() } };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let told =
        |kind: &str, value: &str| conditions.iter().find(|c| c.type_ == kind && c.status == value);
    let current = is_seen(&made.metadata, status.observed_generation);
    let (updated, available) = (count(status.updated_replicas), count(status.available_replicas));
    // An old form that is still there counts as available.
    let old = count(status.replicas).saturating_sub(updated);
    let complaint = || {
        let words = |c: &k8s_openapi::api::apps::v1::DeploymentCondition| {
            c.message.clone().unwrap_or_default()
        };
        let late = told("Progressing", "False")
            .filter(|c| c.reason.as_deref() == Some("ProgressDeadlineExceeded"));
        let refused = told("ReplicaFailure", "True").map(|c| Complaint::Refused(words(c)));
        late.map(|c| Complaint::GivenUp(words(c))).filter(|_| refused.is_none()).or(refused)
    };
    Standing {
        wanted,
        ready: updated.min(available.saturating_sub(old)),
        is_ready: current && updated >= wanted && old == 0 && available >= wanted,
        complaint: current.then(complaint).flatten(),
    }
}

fn stateful_set(made: &StatefulSet) -> Standing {
    let spec = made.spec.as_ref();
    let wanted = count(spec.and_then(|spec| spec.replicas).or(Some(1)));
    let Some(status) = &made.status else { return Standing { wanted, ..Standing::default() } };
    // Those below the partition are left as they are, on purpose.
    let strategy = spec.and_then(|spec| spec.update_strategy.as_ref());
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()).and_then(|r| r.partition);
    let to_update = wanted.saturating_sub(count(partition));
    let (updated, ready) = (count(status.updated_replicas), count(status.ready_replicas));
    let current = is_seen(&made.metadata, status.observed_generation);
    Standing {
        wanted,
        ready,
        is_ready: current && ready >= wanted && updated >= to_update,
        complaint: None,
    }
}

fn daemon_set(made: &DaemonSet) -> Standing {
    let Some(status) = &made.status else { return Standing::default() };
    let wanted = count(Some(status.desired_number_scheduled));
    let (updated, available) =
        (count(status.updated_number_scheduled), count(status.number_available));
    let current = is_seen(&made.metadata, status.observed_generation);
    Standing {
        wanted,
        ready: updated.min(available),
        // On a cluster without a node for it, it is where it should be.
        is_ready: current && updated >= wanted && available >= wanted,
        complaint: None,
    }
}

fn job(made: &Job) -> Standing {
    let spec = made.spec.as_ref();
    let wanted = count(spec.and_then(|spec| spec.completions).or(Some(1)));
    let ready = count(made.status.as_ref().and_then(|status| status.succeeded));
    let (is_ready, complaint) = match end_of(made) {
        Some(JobEnd::Done) => (true, None),
        Some(JobEnd::Failed(why)) => (false, Some(Complaint::GivenUp(why))),
        None => (false, None),
    };
    Standing { wanted, ready, is_ready, complaint }
}

/// The complaint in the words of a report.
pub fn complaint(told: &Complaint) -> Trouble {
    let what = match told {
        Complaint::Refused(why) => format!("its pods are refused: {why}"),
        Complaint::GivenUp(why) => why.clone(),
    };
    Trouble { what, ..Trouble::default() }
}

fn is_seen(metadata: &ObjectMeta, observed: Option<i64>) -> bool {
    observed.is_some() && observed >= metadata.generation
}

fn count(number: Option<i32>) -> u32 {
    u32::try_from(number.unwrap_or(0)).unwrap_or(0)
}

fn selects(selector: &LabelSelector, metadata: &ObjectMeta) -> bool {
    let none = std::collections::BTreeMap::new();
    let labels = metadata.labels.as_ref().unwrap_or(&none);
    let equal = selector.match_labels.iter().flatten();
    let mut terms = selector.match_expressions.iter().flatten();
    equal.into_iter().all(|(key, value)| labels.get(key) == Some(value))
        && terms.all(|term| {
            let has = labels.get(&term.key);
            let among = has.is_some_and(|has| term.values.iter().flatten().any(|v| v == has));
            match term.operator.as_str() {
                "In" => among,
                "NotIn" => !among,
                "Exists" => has.is_some(),
                _ => has.is_none(),
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn made(status: Value) -> Workload {
        let made = json!({
            "metadata": { "name": "web", "generation": 2 },
            "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "template": {} },
            "status": status,
        });
        Workload::Deployment(Arc::new(serde_json::from_value(made).expect("a Deployment")))
    }

    fn pod(name: &str, form: &str, at: &str) -> Arc<Pod> {
        let pod = json!({ "metadata": {
            "name": name, "labels": { "app": "web", "pod-template-hash": form }, "creationTimestamp": at,
        }});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn a_deployment_is_ready_when_its_controller_has_seen_it_and_nothing_old_is_left() {
        let all = json!({
            "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        });
        assert!(made(all.clone()).standing().is_ready);
        let with = |field: &str, value: u32| {
            let mut status = all.clone();
            status[field] = json!(value);
            made(status).standing()
        };
        assert!(!with("observedGeneration", 1).is_ready, "what is told is about the one before");
        assert!(!with("updatedReplicas", 1).is_ready);
        assert!(!with("availableReplicas", 1).is_ready);
        assert!(!with("replicas", 3).is_ready, "an old pod is still there");
        assert_eq!(with("availableReplicas", 1).ready, 1);
    }

    #[test]
    fn a_complaint_counts_once_it_is_about_what_was_written_last() {
        let late = |generation: u32| {
            let condition = json!({
                "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late",
            });
            made(json!({ "observedGeneration": generation, "conditions": [condition] })).standing()
        };
        assert_eq!(late(2).complaint, Some(Complaint::GivenUp("late".into())));
        assert_eq!(late(1).complaint, None);
    }

    #[test]
    fn pods_of_an_earlier_form_say_nothing() {
        let pods = [
            pod("old", "a", "2026-01-01T00:00:00Z"),
            pod("new-1", "b", "2026-01-01T00:01:00Z"),
            pod("new-2", "b", "2026-01-01T00:01:01Z"),
        ];
        let found = made(json!({})).pods(&pods).into_iter().filter_map(|p| p.metadata.name.clone());
        assert_eq!(found.collect::<Vec<_>>(), ["new-1", "new-2"]);
    }

    #[test]
    fn labels_are_selected_by_every_term() {
        let selects = |selector: Value| {
            let labels = json!({ "labels": { "app": "web", "tier": "front" } });
            let selector = serde_json::from_value(selector).expect("a selector");
            super::selects(&selector, &serde_json::from_value(labels).expect("metadata"))
        };
        let term = |key: &str, operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        assert!(selects(json!({ "matchLabels": { "app": "web" } })));
        assert!(!selects(json!({ "matchLabels": { "app": "db" } })));
        assert!(selects(term("tier", "In", &["front", "back"])));
        assert!(!selects(term("tier", "NotIn", &["front"])));
        assert!(selects(term("tier", "Exists", &[])) && selects(term("none", "DoesNotExist", &[])));
    }

    #[test]
    fn a_job_that_failed_has_no_hope_and_one_that_is_done_is_ready() {
        let job = |conditions: Value| {
            let job = json!({ "metadata": {}, "spec": { "template": {} }, "status": { "conditions": conditions } });
            let job = serde_json::from_value(job).expect("a Job");
            Workload::Job(Arc::new(job)).standing()
        };
        assert!(job(json!([{ "type": "Complete", "status": "True" }])).is_ready);
        let failed = job(json!([{ "type": "Failed", "status": "True", "message": "backoff" }]));
        assert_eq!(failed.complaint, Some(Complaint::GivenUp("failed: backoff".into())));
    }
}
