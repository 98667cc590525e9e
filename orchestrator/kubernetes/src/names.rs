//! What objects are called, and how ours are told from everybody else's.

use std::collections::BTreeMap;

use neuroca_deploy_core::release::RevisionId;

/// The field manager of every write.
pub const MANAGER: &str = "neuroca-deploy";

pub const COMPONENT: &str = "app.kubernetes.io/name";
pub const INSTANCE: &str = "app.kubernetes.io/instance";
const PART_OF: &str = "app.kubernetes.io/part-of";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What a pod does: policies and Services select by it.
pub const ROLE: &str = "app.kubernetes.io/component";
pub const REVISION: &str = "neuroca-deploy/revision";
/// What a command that runs to its end is for.
pub const JOB: &str = "neuroca-deploy/job";
/// What a piece of state is.
pub const STATE: &str = "neuroca-deploy/state";
/// What the piece belongs to: a release, a run.
pub const OF: &str = "neuroca-deploy/of";

/// Annotation: the epoch of whoever wrote the object last.
pub const EPOCH: &str = "neuroca-deploy/epoch";
/// Annotation of routes: the split that they stand for.
pub const TRAFFIC: &str = "neuroca-deploy/traffic";
/// Annotation of Secrets: the version of each value.
pub const VERSIONS: &str = "neuroca-deploy/versions";
/// Annotation of Deployments: kept without traffic until then, in milliseconds since the Unix epoch.
pub const WARM_UNTIL: &str = "neuroca-deploy/warm-until-ms";
/// Annotation of Deployments: starts that may fail in a row before it counts as a crash loop.
pub const CRASH_LOOP: &str = "neuroca-deploy/crash-loop-failures";

/// An environment of a project in its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub project: String,
    pub environment: String,
    pub namespace: String,
}

impl Names {
    /// `PROJECT-ENVIRONMENT`: the value of the label that all objects of the environment share.
    pub fn instance(&self) -> String {
        format!("{}-{}", self.project, self.environment)
    }

    /// The labels of every object.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (INSTANCE.to_string(), self.instance()),
            (PART_OF.to_string(), self.project.clone()),
            (MANAGED_BY.to_string(), MANAGER.to_string()),
        ])
    }

    /// The labels of what belongs to one revision of a component.
    pub fn labels_of(&self, component: &str, revision: &RevisionId) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(COMPONENT.into(), component.into());
        labels.insert(REVISION.into(), revision.0.clone());
        labels
    }

    /// Selects every object of the environment.
    pub fn selector(&self) -> String {
        format!("{MANAGED_BY}={MANAGER},{INSTANCE}={}", self.instance())
    }

    /// Selects the state that the tool keeps for itself.
    pub fn state_selector(&self, kind: &str) -> String {
        format!("{},{STATE}={kind}", self.selector())
    }

    /// Whether an object with these labels is one of this environment's.
    pub fn are_ours(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let is = |name: &str, value: &str| {
            labels.and_then(|labels| labels.get(name)).is_some_and(|found| found == value)
        };
        is(MANAGED_BY, MANAGER) && is(INSTANCE, &self.instance())
    }

    /// The name of a state object; `part` is empty for the head itself.
    pub fn state(&self, part: &str) -> String {
        let dot = if part.is_empty() { "" } else { "." };
        format!("{MANAGER}.{}{dot}{part}", self.instance())
    }

    /// The claim behind `${data_dir}`.
    pub fn claim(&self) -> String {
        format!("{}-data", self.instance())
    }

    /// The route of this host, or of all hosts of the gateway.
    pub fn route(&self, host: Option<&str>) -> String {
        match host {
            None => self.instance(),
            Some(host) => {
                format!("{}.{}", self.instance(), host.replace('*', "any").to_lowercase())
            }
        }
    }

    /// A command of a run that goes to its end. The run's number is in it: a later run of the same revision
    /// begins anew, a driver that resumes finds the one that was begun.
    pub fn job(&self, revision: &RevisionId, kind: &str, run: u64) -> String {
        format!("{revision}-{}-{run}", kind.replace('_', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { project: "nca".into(), environment: "staging".into(), namespace: "nca".into() }
    }

    #[test]
    fn only_what_carries_both_labels_is_ours() {
        let labels = names().labels();
        assert!(names().are_ours(Some(&labels)));
        let other = Names { environment: "production".into(), ..names() };
        assert!(!other.are_ours(Some(&labels)), "another environment's");
        let mut helm = labels;
        helm.insert(MANAGED_BY.into(), "Helm".into());
        assert!(!names().are_ours(Some(&helm)));
        assert!(!names().are_ours(None));
    }

    #[test]
    fn names_fit_into_what_the_cluster_allows() {
        let revision = RevisionId(format!("{}-0123456789", "c".repeat(36)));
        // Pods of a Job carry its name as a label.
        assert!(names().job(&revision, "post_deploy", 999).len() <= 63);
        assert_eq!(names().state(""), "neuroca-deploy.nca-staging");
        assert_eq!(names().route(Some("*.Example.com")), "nca-staging.any.example.com");
    }
}
