//! Seeded histories: lost requests and answers, a router that lags, readiness that flaps, an
//! observer that goes blind, operators who speak at the worst moment, drivers that die. Whatever
//! happens, a run ends and the invariants hold.

mod simulated;

use neuroca_deploy_core::config::model::Strategy;
use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::rollout::Intent;
use simulated::releases::release;
use simulated::{Faults, Shared, weight};

const HISTORIES: u64 = 2_000;

fn history(seed: u64) -> Shared {
    let mut random = fastrand::Rng::with_seed(seed);
    let strategy = if random.u8(0..4) == 0 { Strategy::Recreate } else { Strategy::BlueGreen };
    let world = Shared::default();
    world.world(|w| {
        w.random = random.fork();
        w.last_request_ms = random.u64(0..8_000);
    });
    for version in 1..=3 {
        let next = release(&version.to_string(), strategy);
        let plan = world.plan(&next, false);
        world.world(|w| {
            w.faults = Faults {
                unreachable: random.u8(0..30),
                blind: random.u8(0..20),
                router_lag_ms: random.u64(0..2_000),
                flapping: if random.bool() { 0 } else { random.u8(0..5) },
            };
            w.boundary = 0;
            w.crash_at_boundary = random.bool().then(|| random.u64(1..80));
            w.intents_at.clear();
            if random.u8(0..3) == 0 {
                let intents = [
                    Intent::Abort,
                    Intent::Rollback,
                    Intent::Supersede,
                    Intent::Promote { full: false },
                ];
                let intent = intents[random.usize(0..intents.len())].clone();
                w.intents_at.insert(random.u64(1..80), intent);
            }
            if random.u8(0..4) == 0 {
                let revision = next.revision("api").expect("has an api");
                if random.bool() { w.never_ready.push(revision) } else { w.crash_at.push(revision) }
            }
        });
        world.apply_until_done(&plan).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        world.world(|w| w.intents.clear());
    }
    world
}

#[test]
fn invariants_hold_in_every_history() {
    for seed in 0..HISTORIES {
        let world = history(seed);
        world.world(|w| {
            assert!(w.violations.is_empty(), "seed {seed}: {:?}", w.violations);
            w.settle_router();
            let Some((_, current)) = w.current() else { return };
            // The release that the history calls current is the one that has the traffic.
            let release = w.releases[&current].clone();
            for name in ["api", "web"] {
                let revision = release.revision(name).expect("has it");
                let got = weight(&w.in_force, &revision);
                let lost = w.crash_at.contains(&revision) || w.never_ready.contains(&revision);
                assert!(got == 100 || lost, "seed {seed}: {name} has {got} % of its traffic");
            }
            let ended = w.history.iter().filter(|(_, o)| *o == Outcome::Deployed).count();
            assert!(ended >= 1, "seed {seed}");
        });
    }
}
