//! Rollouts on a real API server, by the engine as it ships: what is written, in which order, and what is left.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use common::Place;
use common::world::{Image, Weights, World, http_routes, weights_of};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};
use neuroca_deploy_core::config::{Inputs, SourceFile, resolve};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::plan::{InForce, Plan};
use neuroca_deploy_core::release::{ComponentRelease, Release, RevisionId, SecretVersion};
use neuroca_deploy_engine::ports::{Clock, Secrets, StateStore, Target, Who};
use neuroca_deploy_engine::{Options, Ports, Quiet, apply};
use neuroca_deploy_kubernetes::secrets::SecretSource;
use neuroca_deploy_kubernetes::{KubernetesStore, KubernetesTarget, Uncounted};

const FILE: &str = "\
project: p
target: kubernetes
kubernetes:
  gateway: {name: edge, namespace: gateways}
rollout: {watch: 100ms, deadline: 2m, rollback_window: 1h, strategy: blue_green}
components:
  api:
    artifact: bundled
    command: [./run]
    replicas: 2
    drain: 0ms
    health: {start_timeout: 60s}
    env: {COLOUR: blue}
    secrets: {TOKEN: file:token}
    kubernetes: {image: 'example.com/good:1'}
  worker:
    artifact: bundled
    command: [./work]
    port: false
    kubernetes: {image: 'example.com/good:1'}
";

struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        jiff::Timestamp::now().as_millisecond() as u64
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// An environment that releases are deployed to.
struct Environment {
    place: Place,
    world: World,
    project: tempfile::TempDir,
}

fn image(name: &str) -> Image {
    match name {
        name if name.contains("missing") => Image::Missing,
        name if name.contains("crashing") => Image::Crashing,
        _ => Image::Good,
    }
}

impl Environment {
    async fn new() -> Option<Self> {
        let place = Place::new().await?;
        let world = World::begin(&place, image);
        let project = tempfile::tempdir().expect("a folder");
        std::fs::write(project.path().join("token"), "hunter2").expect("written");
        Some(Self { place, world, project })
    }

    /// The release that a file asks for, as the command makes it.
    async fn release(&self, text: &str) -> Release {
        let files = vec![SourceFile { name: "e.yaml".into(), text: text.into() }];
        let environment =
            resolve(&Inputs { files, ..Inputs::default() }).expect("valid").environment;
        let secrets = SecretSource::open(&self.place.cluster(), self.project.path()).await;
        let secrets = secrets.expect("a key");
        let components = environment.components.into_iter().map(|(name, spec)| {
            let version = |(name, reference): (&String, &String)| {
                let version = secrets.version(reference).expect("readable");
                (name.clone(), SecretVersion { reference: reference.clone(), version })
            };
            let versions = spec.secrets.iter().map(version).collect();
            let artifact = Digest::of(&spec.kubernetes.image);
            (name, ComponentRelease { artifact, spec, secrets: versions, restarted: None })
        });
        Release {
            project: environment.project,
            environment: "e".into(),
            version: None,
            components: components.collect(),
            edge: environment.edge,
            rollout: environment.rollout,
            retention: environment.retention,
            kubernetes: environment.kubernetes,
            manifests: Vec::new(),
            rendered: BTreeMap::new(),
        }
    }

    /// Deploys it, as a command of its own does.
    async fn deploy(&self, release: &Release, rollback: bool) -> Outcome {
        let cluster = self.place.cluster();
        let store = std::sync::Arc::new(KubernetesStore::new(cluster.clone()));
        let target =
            KubernetesTarget::new(cluster, store.clone(), self.project.path().to_path_buf());
        let base = store.base().await.expect("readable");
        let current = match &base.release {
            Some(id) => store.release(id).await.expect("readable"),
            None => None,
        };
        let in_force = InForce { release: current.as_ref(), stranded: &[] };
        let plan = Plan::new(base, in_force, release.clone(), rollback, &|_| None);
        let stop = AtomicBool::new(false);
        let options = Options {
            holder: "test".into(),
            lock_wait: Duration::from_secs(1),
            timeout: Some(Duration::from_secs(120)),
            leave_to_a_person: true,
            stop: &stop,
        };
        let ports = Ports {
            target: &target,
            store: store.as_ref(),
            clock: &SystemClock,
            metrics: &Uncounted,
        };
        apply(ports, &plan, &Who::default(), &options, &Quiet).await.expect("it ends")
    }

    async fn observed_traffic(&self) -> BTreeMap<RevisionId, u32> {
        let cluster = self.place.cluster();
        let store = std::sync::Arc::new(KubernetesStore::new(cluster.clone()));
        let target = KubernetesTarget::new(cluster, store, self.project.path().to_path_buf());
        for _ in 0..100 {
            let seen = target.observe().await.expect("it answers");
            if let Some(traffic) = seen.traffic {
                let shares = traffic.shares.into_values().flatten();
                return shares.map(|share| (share.revision, share.weight)).collect();
            }
            target.changed(seen.version, Duration::from_millis(200)).await;
        }
        panic!("the split is never in force");
    }

    async fn weights(&self) -> Weights {
        let kind = http_routes();
        let (client, namespace) = (self.place.client.clone(), &self.place.names.namespace);
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        weights_of(&api.get("p-e").await.expect("the route").data["spec"]["rules"])
    }

    async fn names<K>(&self) -> Vec<String>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.place.api();
        let found = api.list(&ListParams::default().labels("neuroca-deploy/revision")).await;
        let mut names: Vec<String> = found
            .expect("listed")
            .items
            .into_iter()
            .filter(|object| object.meta().deletion_timestamp.is_none())
            .filter_map(|object| object.meta().name.clone())
            .collect();
        names.sort();
        names
    }
}

fn revision(release: &Release, component: &str) -> String {
    release.revision(component).expect("it has one").0
}

#[tokio::test]
async fn blue_green_there_and_back_and_away() {
    let Some(environment) = Environment::new().await else { return };
    let blue = environment.release(FILE).await;
    assert_eq!(environment.deploy(&blue, false).await, Outcome::Deployed);
    let old = revision(&blue, "api");
    assert_eq!(environment.weights().await, Weights::from([(old.clone(), 100)]));

    let green = environment.release(&FILE.replace("COLOUR: blue", "COLOUR: green")).await;
    assert_eq!(environment.deploy(&green, false).await, Outcome::Deployed);
    let new = revision(&green, "api");
    assert_ne!(old, new);
    assert_eq!(environment.weights().await, Weights::from([(new.clone(), 100)]));
    let traffic = environment.observed_traffic().await;
    assert_eq!(traffic, BTreeMap::from([(RevisionId(new.clone()), 100)]));
    let worker = revision(&green, "worker");
    let mut all = vec![old.clone(), new.clone(), worker.clone()];
    all.sort();
    assert_eq!(environment.names::<Deployment>().await, all, "the old one stays warm");
    let deployments: Api<Deployment> = environment.place.api();
    let warm = deployments.get(&old).await.expect("it is there").metadata.annotations;
    assert!(warm.is_some_and(|a| a.contains_key("neuroca-deploy/warm-until-ms")));
    let maps: Api<ConfigMap> = environment.place.api();
    let map = maps.get(&new).await.expect("it is there");
    assert_eq!((map.immutable, map.data.expect("data")["COLOUR"].as_str()), (Some(true), "green"));
    let secrets: Api<Secret> = environment.place.api();
    let secret = secrets.get(&new).await.expect("it is there");
    assert_eq!(secret.data.expect("data")["TOKEN"].0, b"hunter2");
    let before = maps.get(&old).await.expect("it is there");

    // The value is not there any more; what is kept with the revision serves.
    std::fs::remove_file(environment.project.path().join("token")).expect("removed");
    assert_eq!(environment.deploy(&blue, true).await, Outcome::Deployed);
    assert_eq!(environment.weights().await, Weights::from([(old.clone(), 100)]));
    let after = maps.get(&old).await.expect("it is there");
    assert_eq!((after.metadata.uid, after.data), (before.metadata.uid, before.data));
    let back = deployments.get(&old).await.expect("it is there").metadata.annotations;
    assert!(back.is_none_or(|a| !a.contains_key("neuroca-deploy/warm-until-ms")));

    let mut nothing = blue.clone();
    nothing.components.clear();
    nothing.rollout.rollback_window = neuroca_deploy_core::config::units::Millis(0);
    assert_eq!(environment.deploy(&nothing, false).await, Outcome::Deployed);
    let cluster = environment.place.cluster();
    neuroca_deploy_kubernetes::clean::stop_everything(&cluster).await.expect("cleaned");
    assert_eq!(environment.names::<Deployment>().await, [""; 0]);
    assert_eq!(environment.names::<Service>().await, [""; 0]);
    neuroca_deploy_kubernetes::clean::purge(&cluster).await.expect("cleaned");
    let left = secrets.list(&ListParams::default()).await.expect("listed").items.len();
    assert_eq!(
        (left, environment.names::<ConfigMap>().await.len()),
        (0, 0),
        "nothing stays behind"
    );
    environment.place.end().await;
}

#[tokio::test]
async fn a_canary_gets_its_shares_one_after_the_other() {
    let Some(environment) = Environment::new().await else { return };
    let canary = FILE.replace(
        "strategy: blue_green}",
        "strategy: canary, steps: [{weight: 10, analysis: false}, {weight: 50, analysis: false}]}",
    );
    let one = environment.release(&canary).await;
    assert_eq!(environment.deploy(&one, false).await, Outcome::Deployed);
    let two = environment.release(&canary.replace("COLOUR: blue", "COLOUR: green")).await;
    environment.world.seen.lock().expect("not poisoned").clear();
    assert_eq!(environment.deploy(&two, false).await, Outcome::Deployed);
    let (old, new) = (revision(&one, "api"), revision(&two, "api"));
    let split = |share: u64| match share {
        0 => Weights::from([(old.clone(), 100)]),
        100 => Weights::from([(new.clone(), 100)]),
        share => Weights::from([(old.clone(), 100 - share), (new.clone(), share)]),
    };
    let seen = environment.world.seen.lock().expect("not poisoned").clone();
    assert_eq!(seen, [0, 10, 50, 100].map(split), "the preview, the steps, everything");
    environment.place.end().await;
}

#[tokio::test]
async fn what_does_not_become_ready_gets_no_traffic_and_the_cause_is_told() {
    let Some(environment) = Environment::new().await else { return };
    let good = environment.release(FILE).await;
    assert_eq!(environment.deploy(&good, false).await, Outcome::Deployed);
    let serving = environment.weights().await;
    for (image, says) in [
        ("example.com/missing:1", "ImagePullBackOff: the image example.com/missing:1"),
        ("example.com/crashing:1", "exited with status 3\n  | cannot go on"),
    ] {
        let file = FILE.replacen("example.com/good:1", image, 1).replace("60s", "3s");
        let bad = environment.release(&file).await;
        let outcome = environment.deploy(&bad, false).await;
        let Outcome::TurnedBack { reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains(says), "{reason}");
        assert_eq!(environment.weights().await, serving);
        let api = revision(&bad, "api");
        assert!(!environment.names::<Deployment>().await.contains(&api), "it is stopped");
    }
    environment.place.end().await;
}

#[tokio::test]
async fn hooks_and_migrations_run_once_and_to_their_end() {
    let Some(environment) = Environment::new().await else { return };
    let file = FILE.replace(
        "    replicas: 2\n",
        "    replicas: 2\n    migrate: [./migrate]\n    hooks: {smoke_test: [./smoke]}\n",
    );
    let release = environment.release(&file).await;
    assert_eq!(environment.deploy(&release, false).await, Outcome::Deployed);
    let api = revision(&release, "api");
    let jobs = environment.names::<Job>().await;
    assert_eq!(jobs, [format!("{api}-migrate-1"), format!("{api}-smoke-test-1")]);
    environment.place.end().await;
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_left_alone() {
    let Some(environment) = Environment::new().await else { return };
    let release = environment.release(FILE).await;
    let name = revision(&release, "api");
    let maps: Api<ConfigMap> = environment.place.api();
    let mut theirs = ConfigMap::default();
    theirs.metadata.name = Some(name.clone());
    theirs.metadata.labels =
        Some([("app.kubernetes.io/managed-by".to_string(), "Helm".to_string())].into());
    let made = maps.create(&PostParams::default(), &theirs).await.expect("made");
    let outcome = environment.deploy(&release, false).await;
    let reason = outcome.reason().unwrap_or_default().to_string();
    assert!(reason.contains("belongs to `Helm`"), "{outcome:?}");
    let cluster = environment.place.cluster();
    neuroca_deploy_kubernetes::clean::stop_everything(&cluster).await.expect("cleaned");
    neuroca_deploy_kubernetes::clean::purge(&cluster).await.expect("cleaned");
    let after = maps.get(&name).await.expect("it is still there");
    assert_eq!(after.metadata.resource_version, made.metadata.resource_version);
    environment.place.end().await;
}
