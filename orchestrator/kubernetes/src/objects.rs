//! What each object should be: pure functions from a release's record to what is applied.

mod claim;
mod config;
mod deployment;
mod job;
mod pod;
mod route;
mod service;

use neuroca_deploy_core::release::{ComponentRelease, Release, RevisionId};
use serde_json::{Value, json};

use crate::names::Names;

pub use claim::claim;
pub use config::{config, secret};
pub use deployment::deployment;
pub use job::{Kind as JobKind, job};
pub use route::{ROUTES, Split, probe_path, routes, split_of};
pub use service::service;

/// The port on which a component is told to listen.
pub const PORT: u16 = 8000;
/// Where `${data_dir}` is in a pod.
const DATA_DIR: &str = "/data";

/// One component of a release, with everything that its objects are made from.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub names: &'a Names,
    pub release: &'a Release,
    pub component: &'a str,
    pub spec: &'a ComponentRelease,
}

impl Part<'_> {
    pub fn revision(&self) -> RevisionId {
        self.spec.revision(self.component)
    }

    /// Name, namespace and labels of an object of this revision.
    fn metadata(&self, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": self.names.namespace,
            "labels": self.names.labels_of(self.component, &self.revision()),
        })
    }

    fn uses_data(&self) -> bool {
        self.spec.spec.env.values().any(|value| value.contains("${data_dir}"))
    }

    fn has_secrets(&self) -> bool {
        !self.spec.secrets.is_empty()
    }
}

/// Whole seconds, never less than what was asked for and at least one.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use neuroca_deploy_core::config::{Inputs, SourceFile, resolve};
    use neuroca_deploy_core::digest::Digest;

    use super::*;

    pub const FILE: &str = "\
project: nca
target: kubernetes
kubernetes:
  gateway: {name: edge, namespace: gateways, listener: web, hosts: [nca.example.com]}
  pull_secrets: [registry]
edge: {header_routes: [{header: x-team, value: beta, to: canary}]}
components:
  api:
    artifact: bundled
    command: [./neuroca, serve]
    migrate: [./neuroca, migrate]
    replicas: 2
    drain: 1500ms
    limits: {memory: 512MiB}
    env: {NEUROCA_DB_URL: 'sqlite://${data_dir}/nca.db'}
    secrets: {NEUROCA_SECRET_KEY: env:KEY}
    hooks: {smoke_test: [./smoke]}
    kubernetes: {image: example.com/nca@sha256:12, cpu: 250m, memory: 256MiB}
  worker:
    artifact: bundled
    command: [./neuroca, worker]
    port: false
    kubernetes: {image: example.com/nca@sha256:12}
";

    pub fn names() -> Names {
        Names { project: "nca".into(), environment: "staging".into(), namespace: "nca".into() }
    }

    pub fn release(file: &str) -> Release {
        let files = vec![SourceFile { name: "e.yaml".into(), text: file.into() }];
        let environment =
            resolve(&Inputs { files, ..Inputs::default() }).expect("valid").environment;
        let components = environment.components.into_iter().map(|(name, spec)| {
            let artifact = Digest::of(&spec.kubernetes.image);
            let secrets = BTreeMap::new();
            (name, ComponentRelease { artifact, spec, secrets, restarted: None })
        });
        let mut release = Release {
            project: environment.project,
            environment: "staging".into(),
            version: None,
            components: components.collect(),
            edge: environment.edge,
            rollout: environment.rollout,
            retention: environment.retention,
            kubernetes: environment.kubernetes,
            manifests: Vec::new(),
            rendered: BTreeMap::new(),
        };
        for component in release.components.values_mut() {
            for (name, reference) in component.spec.secrets.clone() {
                let version =
                    neuroca_deploy_core::release::SecretVersion { reference, version: "v1".into() };
                component.secrets.insert(name, version);
            }
        }
        release
    }

    /// Calls `look` with a part of the release of `FILE`.
    pub fn with_part<T>(component: &str, look: impl FnOnce(Part<'_>) -> T) -> T {
        let (names, release) = (names(), release(FILE));
        look(Part {
            names: &names,
            release: &release,
            component,
            spec: &release.components[component],
        })
    }
}
