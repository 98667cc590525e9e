//! Invariant 3: a driver killed at any boundary, and started again, ends where an uninterrupted
//! one ends; and a journal cut after any record, and read again, gives the state that it stands for.

use std::thread;

use neuroca_deploy_core::journal::{Record, replay};
use neuroca_deploy_core::rollout::{Phase, State, step};
use neuroca_simulator::{
    Change, Fate, Fault, Place, Play, Refuses, Run, Script, Setting, Undecided, Way, What, Wish,
    play,
};

fn setting(way: Way, steps: u8) -> Setting {
    Setting {
        way,
        steps,
        on_inconclusive: Undecided::Pause,
        requests: 200,
        decision: Wish::Promote,
        leaves: false,
        web: true,
        worker: true,
        hooks: true,
        installed: true,
        warm: false,
        ready_ms: 500,
        request_ms: 300,
        effect_ms: 5,
        lag_ms: 20,
        streams: false,
        prompt: false,
        same_machine: true,
    }
}

fn script(setting: Setting, fate: Fate, refuses: Option<Refuses>) -> Script {
    let run = Run { change: Change::Everything, fate, old_returns: true, refuses };
    Script { setting, runs: vec![run], faults: Vec::new() }
}

/// Every way, well and ill.
fn scenarios() -> Vec<Script> {
    let ways = [
        (Way::BlueGreen, 0),
        (Way::Recreate, 0),
        (Way::Canary, 0),
        (Way::Canary, 1),
        (Way::Canary, 2),
    ];
    let fates = [
        (Fate::Well, None),
        (Fate::NeverReady, None),
        (Fate::CrashLoop, None),
        (Fate::DiesUnderTraffic { after_ms: 0 }, None),
        (Fate::Errs { percent: 60 }, None),
        (Fate::Well, Some(Refuses::PreDeploy)),
        (Fate::Well, Some(Refuses::Migration)),
        (Fate::Well, Some(Refuses::SmokeTest)),
        (Fate::Well, Some(Refuses::Artifact)),
    ];
    let mut scenarios = Vec::new();
    for (way, steps) in ways {
        for (fate, refuses) in fates {
            scenarios.push(script(setting(way, steps), fate, refuses));
        }
        let long = Setting { request_ms: 60_000, ..setting(way, steps) };
        scenarios.push(script(long, Fate::Well, None));
    }
    scenarios
}

fn killed_at(script: &Script, boundary: u32, successor_ms: u32) -> Script {
    let place = Place { boundary, later_ms: 0 };
    let fault = Fault { place, what: What::Crash { successor_ms } };
    Script { faults: vec![fault], ..script.clone() }
}

/// Kills the driver at each boundary, and tells how often that was.
fn kill_everywhere(calm: &Script) -> u32 {
    let expected = play(calm, Play::default());
    assert_eq!(expected.violation, None, "{calm:?}");
    for boundary in 1..=expected.boundaries {
        // At once, and after so long that a split has to be given back first.
        for successor_ms in [0, 15_500] {
            let script = killed_at(calm, boundary, successor_ms);
            let played = play(&script, Play::default());
            let place = format!("{boundary} of {}: {script:?}", expected.boundaries);
            assert_eq!(played.violation, None, "{place}");
            assert_eq!(played.end, expected.end, "{place}");
        }
    }
    2 * expected.boundaries
}

#[test]
fn a_killed_driver_converges_at_every_boundary() {
    let (even, odd): (Vec<_>, Vec<_>) =
        scenarios().into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let kills = thread::scope(|scope| {
        let halves = [even, odd];
        let threads = halves.map(|half| {
            scope.spawn(move || half.iter().map(|(_, calm)| kill_everywhere(calm)).sum::<u32>())
        });
        threads.map(|t| t.join().expect("each kill converges")).into_iter().sum::<u32>()
    });
    assert!(kills > 8_000, "only {kills} boundaries were tried");
}

#[test]
fn a_journal_that_was_cut_anywhere_gives_the_state_that_it_stands_for() {
    let mut cuts = 0;
    for script in scenarios() {
        let played = play(&script, Play { tell: true, mutation: None });
        for (spec, records) in played.journals {
            let stored: Vec<String> =
                records.iter().map(|r| serde_json::to_string(r).expect("serialises")).collect();
            let mut expected = State::new(spec.clone());
            for cut in 0..=records.len() {
                let read: Vec<Record> = stored[..cut]
                    .iter()
                    .map(|r| serde_json::from_str(r).expect("reads what was written"))
                    .collect();
                assert_eq!(read, records[..cut]);
                if let Some(Record::Happened { at_ms, event }) = read.last() {
                    expected = step(expected, event, *at_ms).0;
                }
                assert_eq!(
                    replay(spec.clone(), &read).as_ref(),
                    Ok(&expected),
                    "{script:?}, {cut}"
                );
                cuts += 1;
            }
            assert_eq!(expected.phase, Phase::Recording);
        }
    }
    assert!(cuts > 1_500, "only {cuts} cuts were tried");
}
