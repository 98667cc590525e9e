use std::time::{Duration, Instant};

use neuroca_deploy_core::config::model::Retention;
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::contract::{plan_of, release};
use neuroca_deploy_engine::ports::{Epoch, StateStore, Who};

use super::*;

struct Place {
    _folder: tempfile::TempDir,
    state: StateDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDir::create(&folder.path().join("state")).expect("usable");
    Place { _folder: folder, state }
}

fn open(place: &Place) -> Store {
    Store::open(&place.state).expect("opened")
}

fn plan(version: &str, keep: u32) -> Plan {
    let retention = Retention { releases: keep, ..Retention::default() };
    plan_of(Release { retention, ..release(version) })
}

async fn deploy(store: &Store, epoch: Epoch, plan: &Plan) -> ReleaseId {
    let journal = store.begin(epoch, plan, &Who::default()).await.expect("begun");
    store.finish(epoch, journal, &Outcome::Deployed).await.expect("ended");
    plan.rollout.release.clone()
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced))
}

#[tokio::test]
async fn a_second_driver_is_told_who_holds_the_lock_and_an_old_epoch_can_do_nothing() {
    let place = place();
    let (one, two) = (open(&place), open(&place));
    let first = one.lock("ann, pid 1", Duration::ZERO).await.expect("free");
    let held = two.lock("bob, pid 2", Duration::from_millis(50)).await;
    assert!(matches!(held, Err(StoreError::Held { holder }) if holder == "ann, pid 1"));
    let plan = plan("1", 5);
    let journal = one.begin(first, &plan, &Who::default()).await.expect("begun");

    // As if the holder had been stopped for longer than the lock is good for.
    one.db().execute("UPDATE lock SET deadline_ms = 1", []).expect("written");
    let second = two.lock("bob, pid 2", Duration::ZERO).await.expect("expired");
    assert!(second > first);
    let record = Record::Started { effect: Effect::SealSecrets { release: ReleaseId("r".into()) } };
    assert!(is_fenced(one.append(first, journal, &record).await));
    assert!(is_fenced(one.renew(first).await));
    assert!(is_fenced(one.unlock(first).await));
    assert!(is_fenced(one.begin(first, &plan, &Who::default()).await));
    assert!(is_fenced(one.finish(first, journal, &Outcome::Deployed).await));
    let open = two.unfinished().await.expect("readable").expect("the journal is open");
    assert_eq!((open.records.len(), open.plan), (0, plan));
    two.append(second, journal, &record).await.expect("the successor goes on");
    two.unlock(second).await.expect("given back");
    assert_eq!(two.holder().await.expect("readable"), None);
    assert!(is_fenced(two.append(second, journal, &record).await), "nobody holds it");
}

#[tokio::test]
async fn the_lock_of_a_dead_process_is_taken_at_once_and_that_of_another_boot_too() {
    let place = place();
    let store = open(&place);
    let set = |column: &str, value: &str| {
        store.db().execute(&format!("UPDATE lock SET {column} = {value}"), []).expect("written");
    };
    for (column, value) in [("pid_start", "1"), ("boot", "'another'")] {
        store.lock("the dead", Duration::ZERO).await.expect("free");
        set(column, value);
        let epoch = store.lock("the living", Duration::ZERO).await.expect("at once");
        store.unlock(epoch).await.expect("given back");
    }
}

#[tokio::test]
async fn history_tells_what_became_of_each_run_and_the_current_one() {
    let place = place();
    let store = open(&place);
    let epoch = store.lock("test", Duration::ZERO).await.expect("free");
    let first = deploy(&store, epoch, &plan("1", 5)).await;
    let who = Who { user: "ann".into(), reason: Some("because".into()) };
    let second = plan("2", 5);
    let journal = store.begin(epoch, &second, &who).await.expect("begun");
    let running = &store.history(10).await.expect("readable")[0];
    assert_eq!((running.outcome.clone(), running.ended_ms, &running.who), (None, None, &who));
    let why = Outcome::TurnedBack { reason: "ill".into() };
    store.finish(epoch, journal, &why).await.expect("ended");
    store.finish(epoch, journal, &Outcome::Deployed).await.expect("again changes nothing");

    let history = store.history(10).await.expect("readable");
    assert_eq!(history[0].outcome, Some(why));
    assert!(!history[0].current && history[1].current);
    let current = store.base().await.expect("readable");
    assert_eq!(current.stranded, []);
    assert_eq!((current.sequence, current.release), (history[1].sequence, Some(first)));
}

#[tokio::test]
async fn what_was_left_half_way_is_told_until_a_run_has_put_it_in_order() {
    let place = place();
    let store = open(&place);
    let epoch = store.lock("a", Duration::ZERO).await.expect("free");
    let ends = async |n: &str, outcome: Outcome| {
        let plan = plan(n, 5);
        let journal = store.begin(epoch, &plan, &Who::default()).await.expect("begun");
        store.finish(epoch, journal, &outcome).await.expect("ended");
        (store.base().await.expect("readable"), plan.rollout.release)
    };
    let why = || Outcome::Stranded { reason: "neither starts".into() };
    let (_, first) = ends("1", Outcome::Deployed).await;
    let (base, second) = ends("2", why()).await;
    assert_eq!((base.release.as_ref(), &base.stranded), (Some(&first), &vec![second.clone()]));
    let (base, third) = ends("3", why()).await;
    assert_eq!(base.stranded, [third, second]);
    let (base, _) = ends("4", Outcome::TurnedBack { reason: "ill".into() }).await;
    assert_eq!((base.release, base.stranded), (Some(first), vec![]));
}

#[tokio::test]
async fn intents_wait_for_the_driver_and_do_not_outlive_its_run() {
    let place = place();
    let store = open(&place);
    let epoch = store.lock("test", Duration::ZERO).await.expect("free");
    store.leave_intent(&Intent::Pause, &Who::default()).await.expect("left");
    store.begin(epoch, &plan("1", 5), &Who::default()).await.expect("begun");
    assert_eq!(store.intents().await.expect("readable"), [], "meant for an earlier run");
    store.leave_intent(&Intent::Abort, &Who::default()).await.expect("left");
    let intents = store.intents().await.expect("readable");
    assert_eq!(intents[0].1, Intent::Abort);
    assert!(is_fenced(store.take_intent(Epoch(0), intents[0].0).await));
    store.take_intent(epoch, intents[0].0).await.expect("taken");
    assert_eq!(store.intents().await.expect("readable"), []);
}

#[tokio::test]
async fn records_are_pruned_but_none_that_something_still_needs() {
    let place = place();
    let store = open(&place);
    let epoch = store.lock("test", Duration::ZERO).await.expect("free");
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(deploy(&store, epoch, &plan(&n.to_string(), 10)).await);
    }
    let wanted =
        Wanted { component: "api".into(), release: ids[1].clone(), replicas: 1, warm: None };
    store.want(&neuroca_deploy_core::release::RevisionId("api-1".into()), &wanted).expect("kept");
    let log = |name: &str| place.state.logs().join(name).join("0.log");
    for name in ["api-1", "api-2"] {
        std::fs::create_dir_all(place.state.logs().join(name)).expect("made");
        std::fs::write(log(name), "said\n").expect("written");
    }
    ids.push(deploy(&store, epoch, &plan("last", 2)).await);
    assert!(log("api-1").exists() && !log("api-2").exists());
    let kept: Vec<bool> = ids.iter().map(|id| store.is_kept(id).expect("readable")).collect();
    assert_eq!(kept, [false, true, false, false, false, true, true]);
    assert_eq!(store.history(100).await.expect("readable").len(), 7, "history stays whole");
}

#[test]
fn a_newer_or_damaged_database_is_refused_and_left_alone() {
    let place = place();
    drop(open(&place));
    let path = place.state.database();
    let raw = Connection::open(&path).expect("opened");
    raw.pragma_update(None, "user_version", 99).expect("written");
    drop(raw);
    let Err(StoreError::Unusable(why)) = Store::open(&place.state) else { panic!("it is newer") };
    assert!(why.contains("version 99") && why.contains("reads up to 1"), "{why}");

    let garbage = b"this is no database, whatever it may be ".repeat(400);
    std::fs::write(&path, &garbage).expect("written");
    let Err(StoreError::Unusable(why)) = Store::open(&place.state) else { panic!("garbage") };
    assert!(why.contains("damaged") && why.contains("hint:"), "{why}");
    assert_eq!(std::fs::read(&path).expect("there"), garbage, "nothing was overwritten");
}

#[tokio::test]
async fn ten_thousand_runs_do_not_make_it_slow() {
    let place = place();
    let store = open(&place);
    store
        .write(|tx| {
            for n in 0..10_000 {
                tx.execute(
                    "INSERT INTO journals (release, rollback, user, started_ms, ended_ms, outcome, deployed) \
                     VALUES (?1, 0, 'ann', ?2, ?2, '{\"outcome\":\"deployed\"}', 1)",
                    rusqlite::params![format!("r-{n:012x}"), n],
                )?;
            }
            Ok(())
        })
        .expect("written");
    drop(store);
    let started = Instant::now();
    let store = open(&place);
    assert_eq!(store.base().await.expect("readable").sequence, 10_000);
    assert!(store.unfinished().await.expect("readable").is_none());
    assert_eq!(store.history(20).await.expect("readable").len(), 20);
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
}
