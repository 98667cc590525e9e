//! A command that runs to its end: a hook, or a migration.

use neuroca_deploy_core::effect::Hook;
use serde_json::{Value, json};

use super::pod::{For, pod};
use super::{PORT, Part, seconds};
use crate::names::{COMPONENT, JOB, ROLE};

/// Most time for a migration, which has no limit of its own.
const MIGRATION_LIMIT_MS: u64 = 3_600_000;

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hook(Hook),
    Migration,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hook(hook) => hook.name(),
            Self::Migration => "migrate",
        }
    }

    fn command<'a>(self, part: &Part<'a>) -> Option<&'a Vec<String>> {
        let component = &part.spec.spec;
        match self {
            Self::Migration => component.migrate.as_ref(),
            Self::Hook(Hook::PreDeploy) => component.hooks.pre_deploy.as_ref(),
            Self::Hook(Hook::SmokeTest) => component.hooks.smoke_test.as_ref(),
            Self::Hook(Hook::PostDeploy) => component.hooks.post_deploy.as_ref(),
        }
    }

    /// Most time that it may take, in milliseconds.
    pub fn limit_ms(self, part: &Part<'_>) -> u64 {
        match self {
            Self::Migration => MIGRATION_LIMIT_MS,
            Self::Hook(_) => part.spec.spec.hooks.timeout.0.0,
        }
    }
}

/// The Job of run `run`; nothing when the component has no such command. It is tried once: what fails is for
/// people to look at.
pub fn job(part: &Part<'_>, kind: Kind, run: u64) -> Option<Value> {
    let command = kind.command(part)?;
    let revision = part.revision();
    let name = part.names.job(&revision, kind.name(), run);
    let mut variables = Vec::new();
    // Only then there is somebody who listens.
    if part.spec.spec.port && kind != Kind::Migration && kind != Kind::Hook(Hook::PreDeploy) {
        variables.push(("HOST", format!("{revision}.{}.svc", part.names.namespace)));
        variables.push(("PORT", "80".to_string()));
    } else if part.spec.spec.port {
        variables.push(("PORT", PORT.to_string()));
    }
    let mut spec = pod(part, For::Command(command, &variables));
    spec["restartPolicy"] = json!("Never");
    let mut labels = json!(part.names.labels_of(part.component, &revision));
    labels[JOB] = json!(kind.name());
    // Its pods are no replicas: no Service and no Deployment may take them for one.
    let mut pod_labels = json!(part.names.labels());
    pod_labels[JOB] = json!(kind.name());
    pod_labels[COMPONENT] = json!(part.component);
    pod_labels[ROLE] = json!("migration");
    let mut metadata = part.metadata(&name);
    metadata["labels"] = labels;
    Some(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": seconds(kind.limit_ms(part)),
            "ttlSecondsAfterFinished": 86_400,
            "template": { "metadata": { "labels": pod_labels }, "spec": spec },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::REVISION;
    use crate::objects::tests::with_part;

    #[test]
    fn a_migration_is_tried_once_and_its_pod_is_no_replica() {
        let job = with_part("api", |part| job(&part, Kind::Migration, 7)).expect("it migrates");
        assert_eq!(job["spec"]["backoffLimit"], 0);
        assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
        let pod = &job["spec"]["template"];
        assert_eq!(pod["spec"]["containers"][0]["command"], json!(["./neuroca", "migrate"]));
        assert_eq!(pod["metadata"]["labels"][REVISION], Value::Null);
        assert!(job["metadata"]["name"].as_str().is_some_and(|n| n.ends_with("-migrate-7")));
        assert_eq!(with_part("worker", |part| super::job(&part, Kind::Migration, 7)), None);
    }

    #[test]
    fn a_smoke_test_is_told_where_the_new_revision_listens() {
        let job = with_part("api", |part| super::job(&part, Kind::Hook(Hook::SmokeTest), 1));
        let job = job.expect("it has one");
        let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
        let env: Vec<Value> = env.into_iter().flatten().skip(1).cloned().collect();
        let host =
            format!("{}.nca.svc", job["metadata"]["labels"][REVISION].as_str().unwrap_or(""));
        let wanted =
            [json!({ "name": "HOST", "value": host }), json!({ "name": "PORT", "value": "80" })];
        assert_eq!(env, wanted);
        assert_eq!(job["spec"]["activeDeadlineSeconds"], 300);
    }
}
