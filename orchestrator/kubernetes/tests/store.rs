//! The store on a real API server keeps to what every store has to keep to, and to what a cluster adds.

mod common;

use std::time::{Duration, Instant};

use common::Place;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, PostParams};
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::contract::{Open, plan};
use neuroca_deploy_engine::ports::{StateStore, StoreError, Who};
use neuroca_deploy_kubernetes::KubernetesStore;

async fn with_store(check: impl AsyncFn(Open<'_>)) {
    let Some(place) = Place::new().await else { return };
    let open = || Box::new(KubernetesStore::new(place.cluster())) as Box<dyn StateStore>;
    check(&open).await;
    place.end().await;
}

neuroca_deploy_engine::store_contract!(with_store);

/// The process that holds the lock is made one of another machine, so that nobody can see whether it lives.
async fn lives_elsewhere(place: &Place) {
    let api: Api<Lease> = place.api();
    let name = "neuroca-deploy.p-e";
    let mut lease = api.get(name).await.expect("the lease");
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert("neuroca-deploy/process".into(), "another pid:[1] 2 3".into());
    api.replace(name, &PostParams::default(), &lease).await.expect("written");
}

#[tokio::test]
async fn a_dead_holder_is_succeeded_within_fifteen_seconds_and_writes_nothing_when_it_wakes_up() {
    let Some(place) = Place::new().await else { return };
    let (dead, next) =
        (KubernetesStore::new(place.cluster()), KubernetesStore::new(place.cluster()));
    let old = dead.lock("the dead", Duration::ZERO).await.expect("free");
    let journal = dead.begin(old, &plan("1"), &Who::default()).await.expect("begun");
    lives_elsewhere(&place).await;

    let began = Instant::now();
    let new = next.lock("the living", Duration::from_secs(20)).await.expect("expired");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(began.elapsed() > Duration::from_secs(5), "it may have lived: {:?}", began.elapsed());
    assert!(new > old);
    // It had read the head before: the version that it names is no longer there.
    let effect = Effect::SealSecrets { release: ReleaseId("r".into()) };
    let late = dead.append(old, journal, &Record::Started { effect }).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert!(matches!(dead.finish(old, journal, &Outcome::Deployed).await, Err(StoreError::Fenced)));
    let open = next.unfinished().await.expect("readable").expect("still open");
    assert_eq!(open.records, []);
    place.end().await;
}

#[tokio::test]
async fn the_lock_of_a_process_that_was_killed_on_this_machine_is_taken_at_once() {
    let Some(place) = Place::new().await else { return };
    let store = KubernetesStore::new(place.cluster());
    store.lock("the dead", Duration::ZERO).await.expect("free");
    let api: Api<Lease> = place.api();
    let mut lease = api.get("neuroca-deploy.p-e").await.expect("the lease");
    let annotations = lease.metadata.annotations.get_or_insert_default();
    let process = annotations["neuroca-deploy/process"].clone();
    // As if another process had this number now.
    annotations.insert("neuroca-deploy/process".into(), format!("{process}1"));
    api.replace("neuroca-deploy.p-e", &PostParams::default(), &lease).await.expect("written");
    let began = Instant::now();
    store.lock("the living", Duration::ZERO).await.expect("it is gone");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    place.end().await;
}

#[tokio::test]
async fn a_lease_that_somebody_removed_does_not_begin_again_below() {
    let Some(place) = Place::new().await else { return };
    let store = KubernetesStore::new(place.cluster());
    let first = store.lock("ann", Duration::ZERO).await.expect("free");
    store.unlock(first).await.expect("given back");
    let api: Api<Lease> = place.api();
    api.delete("neuroca-deploy.p-e", &Default::default()).await.expect("removed");
    let second = store.lock("bob", Duration::ZERO).await.expect("free");
    assert!(second > first, "{second:?} after {first:?}");
    place.end().await;
}

#[tokio::test]
async fn what_is_larger_than_an_object_is_stored_in_pieces_and_old_records_go() {
    let Some(place) = Place::new().await else { return };
    let store = KubernetesStore::new(place.cluster());
    let epoch = store.lock("ann", Duration::ZERO).await.expect("free");
    let mut large = plan("large");
    // Digests do not compress: about three megabytes of them.
    for n in 0..60_000 {
        let digest = neuroca_deploy_core::digest::Digest::of(&n);
        large.release.rendered.insert(digest.0.clone(), digest);
    }
    large.release.retention.releases = 2;
    large.rollout.release = large.release.id();
    let journal = store.begin(epoch, &large, &Who::default()).await.expect("begun");
    let other = KubernetesStore::new(place.cluster());
    let open = other.unfinished().await.expect("readable").expect("open");
    assert!(open.plan == large, "all of it came back");
    store.finish(epoch, journal, &Outcome::Deployed).await.expect("ended");
    let kept = other.release(&large.rollout.release).await.expect("readable");
    assert!(kept == Some(large.release.clone()));

    for n in 0..3 {
        let mut next = plan(&format!("small {n}"));
        next.release.retention.releases = 2;
        next.rollout.release = next.release.id();
        let journal = store.begin(epoch, &next, &Who::default()).await.expect("begun");
        store.finish(epoch, journal, &Outcome::Deployed).await.expect("ended");
    }
    assert_eq!(
        KubernetesStore::new(place.cluster())
            .release(&large.rollout.release)
            .await
            .expect("readable"),
        None
    );
    let api: Api<Secret> = place.api();
    let left = api.list_metadata(&ListParams::default()).await.expect("listed").items;
    let names: Vec<String> = left.into_iter().filter_map(|o| o.metadata.name).collect();
    // The head, and the records of two releases.
    assert_eq!(names.len(), 3, "{names:?}");
    place.end().await;
}

#[tokio::test]
async fn state_of_a_newer_version_is_refused_and_left_alone() {
    let Some(place) = Place::new().await else { return };
    let store = KubernetesStore::new(place.cluster());
    let epoch = store.lock("ann", Duration::ZERO).await.expect("free");
    store.unlock(epoch).await.expect("given back");
    let api: Api<Secret> = place.api();
    let mut head = api.get("neuroca-deploy.p-e").await.expect("the head");
    let data = head.data.get_or_insert_default();
    data.insert("head".into(), k8s_openapi::ByteString(b"what is this?".to_vec()));
    api.replace("neuroca-deploy.p-e", &PostParams::default(), &head).await.expect("written");
    let fresh = KubernetesStore::new(place.cluster());
    let Err(StoreError::Unusable(why)) = fresh.base().await else { panic!("it is damaged") };
    assert!(why.contains("neuroca-deploy.p-e") && why.contains("hint:"), "{why}");
    place.end().await;
}
