//! Invariant 3: a driver killed at any boundary, and started again, ends where an uninterrupted
//! one ends. Boundaries are before and after each journal write and each effect.

mod simulated;

use neuroca_deploy_core::config::model::Strategy;
use neuroca_deploy_core::effect::{Effect, Outcome};
use simulated::releases::release;
use simulated::{EndState, Shared};

/// A world where version 1 serves, and how version 2 will fare there.
fn prepare(strategy: Strategy, fate: &str) -> Shared {
    let world = Shared::default();
    world.world(|w| w.last_request_ms = 3_000);
    let first = world.plan(&release("1", strategy), false);
    assert_eq!(world.apply(&first).expect("alive").expect("deploys"), Outcome::Deployed);
    let second = release("2", strategy);
    let api = second.revision("api").expect("has an api");
    world.world(|w| {
        w.boundary = 0;
        w.effects.clear();
        match fate {
            "well" => {}
            "never ready" => w.never_ready.push(api),
            "crashes under traffic" => w.crash_at.push(api),
            "long requests" => w.last_request_ms = 60_000,
            "hook fails" => w.failing.push("run_hook"),
            "migration fails" => w.failing.push("migrate"),
            "smoke test fails" => w.failing.push("smoke_test"),
            "artifact missing" => w.failing.push("store_artifact"),
            other => panic!("no fate {other}"),
        }
    });
    world
}

const FATES: [&str; 8] = [
    "well",
    "never ready",
    "crashes under traffic",
    "long requests",
    "hook fails",
    "migration fails",
    "smoke test fails",
    "artifact missing",
];

/// Histories differ by how often a failing run was tried; the last entry is what counts.
fn last(mut end: EndState) -> EndState {
    end.history = end.history.split_off(end.history.len() - 1);
    end
}

#[test]
fn a_killed_driver_converges_at_every_boundary() {
    let mut kills = 0;
    let mut kinds = std::collections::BTreeSet::new();
    for strategy in [Strategy::BlueGreen, Strategy::Recreate] {
        for fate in FATES {
            let calm = prepare(strategy, fate);
            let plan = calm.plan(&release("2", strategy), false);
            let outcome = calm.apply(&plan).expect("alive").expect("ends");
            let (boundaries, expected) = (calm.world(|w| w.boundary), last(calm.end_state()));
            calm.world(|w| kinds.extend(w.effects.iter().map(Effect::kind)));
            assert_eq!(calm.world(|w| w.violations.clone()), Vec::<String>::new(), "{fate}");
            for boundary in 1..=boundaries {
                let world = prepare(strategy, fate);
                world.world(|w| w.crash_at_boundary = Some(boundary));
                let plan = world.plan(&release("2", strategy), false);
                let again = world.apply_until_done(&plan).expect("ends");
                let place = format!("{strategy:?}, {fate}, killed at {boundary} of {boundaries}");
                assert_eq!(again, outcome, "{place}");
                assert_eq!(last(world.end_state()), expected, "{place}");
                assert_eq!(world.world(|w| w.violations.clone()), Vec::<String>::new(), "{place}");
                kills += 1;
            }
        }
    }
    assert!(kills > 800, "only {kills} boundaries were tried");
    let reached = kinds.len() + 1; // `record` goes to the store, not to the target
    assert_eq!(reached, Effect::KINDS.len(), "kinds that no scenario reaches: have {kinds:?}");
}

#[test]
fn the_bad_release_leaves_the_old_one_serving() {
    for fate in ["never ready", "crashes under traffic", "smoke test fails"] {
        let world = prepare(Strategy::BlueGreen, fate);
        let before = world.end_state();
        let plan = world.plan(&release("2", Strategy::BlueGreen), false);
        let outcome = world.apply(&plan).expect("alive").expect("ends");
        assert!(matches!(outcome, Outcome::TurnedBack { .. }), "{fate}: {outcome:?}");
        let after = world.end_state();
        assert_eq!(after.running, before.running, "{fate}");
        let (was, is) = (before.traffic.expect("routed"), after.traffic.expect("routed"));
        assert_eq!(is.shares, was.shares, "{fate}");
    }
}
