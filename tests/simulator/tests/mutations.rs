//! A machine that is broken on purpose is found out, in each known way, within a few histories.

use neuroca_simulator::{Campaign, Mutation, campaign};

/// Histories within which each mutation has to be caught.
const WITHIN: u64 = 5_000;

#[test]
fn every_mutation_of_an_invariant_is_caught() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let totals = campaign(Campaign {
            first_seed: 0,
            histories: WITHIN,
            threads: 2,
            mutation: Some(mutation),
            go_on: false,
        });
        if totals.broken.is_empty() {
            missed.push(mutation);
        }
    }
    assert_eq!(missed, [], "not caught within {WITHIN} histories");
}

/// The longer list breaks the sources themselves, and has to follow them.
#[test]
fn every_mutant_of_the_sources_finds_its_line() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/mutants.py");
    let done = match std::process::Command::new("python3").args([script, "--check"]).output() {
        Ok(done) => done,
        // `make test` says loudly that it is missing.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => panic!("{script}: {error}"),
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
