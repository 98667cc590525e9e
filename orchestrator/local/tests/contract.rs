//! The store in a folder keeps to what every store has to keep to.

use neuroca_deploy_engine::contract::{self, Open};
use neuroca_deploy_engine::ports::StateStore;
use neuroca_deploy_local::{StateDir, Store};

async fn with_store(check: impl AsyncFn(Open<'_>)) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDir::create(&folder.path().join("state")).expect("usable");
    let open = || Box::new(Store::open(&state).expect("opened")) as Box<dyn StateStore>;
    check(&open).await;
}

#[tokio::test]
async fn only_one_drives() {
    with_store(contract::only_one_drives).await;
}

#[tokio::test]
async fn a_journal_is_read_as_it_was_written() {
    with_store(contract::a_journal_is_read_as_it_was_written).await;
}

#[tokio::test]
async fn history_tells_what_became_of_each_run() {
    with_store(contract::history_tells_what_became_of_each_run).await;
}

#[tokio::test]
async fn what_was_left_half_way_is_told() {
    with_store(contract::what_was_left_half_way_is_told).await;
}

#[tokio::test]
async fn intents_wait_for_the_driver() {
    with_store(contract::intents_wait_for_the_driver).await;
}
