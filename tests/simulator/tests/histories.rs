//! A bounded form of the figure: so many seeded histories, no invariant broken, every reachable pair
//! of state and event met. `simulator --histories N` plays more of them.

use neuroca_simulator::{Campaign, campaign};

const HISTORIES: u64 = 100_000;

#[test]
fn invariants_hold_in_every_history() {
    let totals = campaign(Campaign {
        first_seed: 0,
        histories: HISTORIES,
        threads: 2,
        mutation: None,
        go_on: false,
    });
    assert!(totals.broken.is_empty(), "run `simulator --seed N`: {:?}", totals.broken);
    assert!(totals.scripts > HISTORIES * 99 / 100, "{} scripts differ", totals.scripts);
    assert!(totals.compared > HISTORIES / 10, "only {} were compared", totals.compared);
    let (_, impossible) = totals.coverage_gaps();
    assert_eq!(impossible, Vec::<String>::new(), "met, though not known to be reachable");
}
