//! The store in a folder keeps to what every store has to keep to.

use neuroca_deploy_engine::contract::Open;
use neuroca_deploy_engine::ports::StateStore;
use neuroca_deploy_local::{StateDir, Store};

async fn with_store(check: impl AsyncFn(Open<'_>)) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDir::create(&folder.path().join("state")).expect("usable");
    let open = || Box::new(Store::open(&state).expect("opened")) as Box<dyn StateStore>;
    check(&open).await;
}

neuroca_deploy_engine::store_contract!(with_store);
