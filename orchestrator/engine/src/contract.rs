//! What every store has to keep to, asked of a real one: adapters call these from their tests.
//!
//! `open` gives one more handle on the same state, as another process would have it. How a lock expires is not
//! in here: that is a matter of each store's clock.

use std::time::Duration;

use neuroca_deploy_core::config::model::{Edge, Retention, RolloutPolicy};
use neuroca_deploy_core::effect::{Effect, Outcome};
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::{Base, InForce, Plan};
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_core::rollout::{Event, Intent};

use crate::ports::{Epoch, StateStore, StoreError, Who};

/// Opens one more handle.
pub type Open<'a> = &'a dyn Fn() -> Box<dyn StateStore>;

/// A release without components; another version is another release.
pub fn release(version: &str) -> Release {
    Release {
        project: "p".into(),
        environment: "e".into(),
        version: Some(version.into()),
        components: Default::default(),
        edge: Edge::default(),
        rollout: RolloutPolicy::default(),
        retention: Retention::default(),
        kubernetes: None,
        manifests: Vec::new(),
        rendered: Default::default(),
    }
}

/// The plan that puts such a release where there was none.
pub fn plan(version: &str) -> Plan {
    plan_of(release(version))
}

/// The same of a release that differs.
pub fn plan_of(release: Release) -> Plan {
    Plan::new(Base::default(), InForce::default(), release, false, &|_| None)
}

/// A test for each of the checks below. `with` takes a check and calls it with an [`Open`] of an adapter's own.
#[macro_export]
macro_rules! store_contract {
    ($with:ident: $($check:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                $with($crate::contract::$check).await;
            }
        )+
    };
    ($with:ident) => {
        $crate::store_contract!($with:
            only_one_drives,
            a_journal_is_read_as_it_was_written,
            history_tells_what_became_of_each_run,
            what_was_left_half_way_is_told,
            intents_wait_for_the_driver,
        );
    };
}

fn is_fenced<T: std::fmt::Debug>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced))
}

fn started() -> Record {
    Record::Started { effect: Effect::SealSecrets { release: ReleaseId("r-1".into()) } }
}

/// One drives, and whoever drove before can do nothing any more.
pub async fn only_one_drives(open: Open<'_>) {
    let (one, two) = (open(), open());
    let first = one.lock("ann", Duration::ZERO).await.expect("free");
    let held = two.lock("bob", Duration::from_millis(50)).await;
    assert!(matches!(held, Err(StoreError::Held { holder }) if holder == "ann"));
    assert_eq!(two.holder().await.expect("readable"), Some("ann".into()));
    one.renew(first).await.expect("it is held");
    let plan = plan("1");
    let journal = one.begin(first, &plan, &Who::default()).await.expect("begun");
    one.unlock(first).await.expect("given back");
    assert_eq!(two.holder().await.expect("readable"), None);
    assert!(is_fenced(one.append(first, journal, &started()).await), "nobody holds it");

    let second = two.lock("bob", Duration::ZERO).await.expect("free again");
    assert!(second > first);
    two.leave_intent(&Intent::Pause, &Who::default()).await.expect("left");
    let intent = two.intents().await.expect("readable")[0].0;
    assert!(is_fenced(one.append(first, journal, &started()).await));
    assert!(is_fenced(one.renew(first).await));
    assert!(is_fenced(one.unlock(first).await));
    assert!(is_fenced(one.begin(first, &plan, &Who::default()).await));
    assert!(is_fenced(one.finish(first, journal, &Outcome::Deployed).await));
    assert!(is_fenced(one.take_intent(first, intent).await));
    let left = two.unfinished().await.expect("readable").expect("the journal is open");
    assert_eq!((left.records.len(), left.plan), (0, plan));
    two.append(second, journal, &started()).await.expect("the successor goes on");
    two.take_intent(second, intent).await.expect("taken");
    two.finish(second, journal, &Outcome::Superseded).await.expect("ended");
    two.unlock(second).await.expect("given back");
}

/// A journal is read as it was written, however long it is.
pub async fn a_journal_is_read_as_it_was_written(open: Open<'_>) {
    let store = open();
    let epoch = store.lock("ann", Duration::ZERO).await.expect("free");
    let plan = plan("long");
    let journal = store.begin(epoch, &plan, &Who::default()).await.expect("begun");
    let records: Vec<Record> = (0..150)
        .map(|at_ms| Record::Happened { at_ms, event: Event::Blind { reason: "no data".into() } })
        .collect();
    for record in &records {
        store.append(epoch, journal, record).await.expect("appended");
    }
    let found = open().unfinished().await.expect("readable").expect("open");
    assert_eq!((found.journal, found.plan, found.records), (journal, plan, records));
    store.finish(epoch, journal, &Outcome::Superseded).await.expect("ended");
    assert!(open().unfinished().await.expect("readable").is_none());
    store.unlock(epoch).await.expect("given back");
}

/// The history tells what became of each run, and a run ends once.
pub async fn history_tells_what_became_of_each_run(open: Open<'_>) {
    let store = open();
    let epoch = store.lock("ann", Duration::ZERO).await.expect("free");
    let who = Who { user: "ann".into(), reason: Some("because".into()) };
    let first = plan("first");
    let journal = store.begin(epoch, &first, &who).await.expect("begun");
    let running = open().history(1).await.expect("readable").remove(0);
    assert_eq!((running.outcome, running.ended_ms, running.who), (None, None, who.clone()));
    store.finish(epoch, journal, &Outcome::Deployed).await.expect("ended");
    let second = plan("second");
    let journal = store.begin(epoch, &second, &Who::default()).await.expect("begun");
    let why = Outcome::TurnedBack { reason: "ill".into() };
    store.finish(epoch, journal, &why).await.expect("ended");
    store.finish(epoch, journal, &Outcome::Deployed).await.expect("again changes nothing");

    let told = open().history(2).await.expect("readable");
    assert_eq!((told[0].outcome.clone(), told[0].current), (Some(why), false));
    assert_eq!((told[1].outcome.clone(), told[1].current), (Some(Outcome::Deployed), true));
    let base = open().base().await.expect("readable");
    assert_eq!(
        (base.release.as_ref(), base.sequence),
        (Some(&first.rollout.release), told[1].sequence)
    );
    let kept = open().release(&first.rollout.release).await.expect("readable");
    assert_eq!(kept, Some(first.release), "what is gone back to");
    assert_eq!(open().release(&ReleaseId("r-none".into())).await.expect("readable"), None);
    store.unlock(epoch).await.expect("given back");
}

/// What was left half-way is told until a run has put it in order.
pub async fn what_was_left_half_way_is_told(open: Open<'_>) {
    let store = open();
    let epoch = store.lock("ann", Duration::ZERO).await.expect("free");
    let ends = async |version: &str, outcome: Outcome| {
        let plan = plan(version);
        let journal = store.begin(epoch, &plan, &Who::default()).await.expect("begun");
        store.finish(epoch, journal, &outcome).await.expect("ended");
        (open().base().await.expect("readable"), plan.rollout.release)
    };
    let stranded = || Outcome::Stranded { reason: "neither starts".into() };
    let (_, whole) = ends("whole", Outcome::Deployed).await;
    let (_, half) = ends("half", stranded()).await;
    let (base, other) = ends("other", stranded()).await;
    assert_eq!((base.release.as_ref(), base.stranded), (Some(&whole), vec![other.clone(), half]));
    assert!(open().release(&other).await.expect("readable").is_some(), "it is needed");
    let (base, _) = ends("order", Outcome::TurnedBack { reason: "ill".into() }).await;
    assert_eq!((base.release, base.stranded), (Some(whole), vec![]));
    store.unlock(epoch).await.expect("given back");
}

/// Wishes wait for the driver, in their order, and do not outlive its run.
pub async fn intents_wait_for_the_driver(open: Open<'_>) {
    let store = open();
    let epoch = store.lock("ann", Duration::ZERO).await.expect("free");
    open().leave_intent(&Intent::Pause, &Who::default()).await.expect("left");
    let journal = store.begin(epoch, &plan("wished"), &Who::default()).await.expect("begun");
    assert_eq!(store.intents().await.expect("readable"), [], "meant for an earlier run");
    for intent in [Intent::Pause, Intent::Resume, Intent::Abort] {
        open().leave_intent(&intent, &Who::default()).await.expect("left");
    }
    let left = open().intents().await.expect("readable");
    let wishes: Vec<Intent> = left.iter().map(|(_, intent)| intent.clone()).collect();
    assert_eq!(wishes, [Intent::Pause, Intent::Resume, Intent::Abort]);
    assert!(is_fenced(store.take_intent(Epoch(0), left[0].0).await));
    for (id, _) in left {
        store.take_intent(epoch, id).await.expect("taken");
    }
    assert_eq!(open().intents().await.expect("readable"), []);
    store.finish(epoch, journal, &Outcome::Superseded).await.expect("ended");
    store.unlock(epoch).await.expect("given back");
}
