//! Canaries through the real binary: steps, gates, the judge, operators, and a driver that dies.

mod hello;

use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hello::{Hello, signal, told, until};
use rustix::process::Signal;
use serde_json::Value;

const TWO: &str = "components.hello.env.GREETING=two";

/// A project whose releases are canaries with these steps, and what else is said of them.
fn canaries(steps: &str, analysis: &str) -> Hello {
    let hello = Hello::new();
    hello.write(
        "environments/development.yaml",
        &format!(
            "extends: base.yaml\n\
             rollout:\n  \
               strategy: canary\n  \
               deadline: 2m\n  \
               steps: [{steps}]\n  \
               analysis: {{{analysis}}}\n"
        ),
    );
    hello.apply(0, &[]);
    hello
}

/// The weight of the side that answers so little, or that there is no split.
fn canary_weight(hello: &Hello) -> Option<u64> {
    let status = hello.json(&["status", "development"]);
    let shares = status["observed"]["traffic"]["shares"]["hello"].as_array()?.clone();
    let canary = shares.iter().find(|share| share["canary"] == true)?;
    canary["weight"].as_u64()
}

fn until_weight(hello: &Hello, weight: u64) {
    until(&format!("a weight of {weight} %"), || canary_weight(hello) == Some(weight));
}

/// What `apply --json` told, line by line.
fn events(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Runs `work` while clients ask all the time; gives what it gave and how many got which status.
fn under_load<T>(hello: &Hello, work: impl FnOnce() -> T) -> (T, u64, u64) {
    let (over, good, bad) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let ask = || {
        while !over.load(Ordering::Relaxed) {
            let answer = hello.ask("/").unwrap_or_default();
            let counter = if answer.starts_with("HTTP/1.1 200") { &good } else { &bad };
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(4));
        }
    };
    let result = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(ask);
        }
        // A failed assertion must not leave the others asking for ever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        result
    });
    match result {
        Ok(result) => (result, good.into_inner(), bad.into_inner()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn ended(exit: i32, child: Child) -> (String, String) {
    told(exit, &["apply"], child.wait_with_output().expect("it ends"))
}

#[test]
fn a_good_canary_is_promoted_step_by_step() {
    let hello = canaries("{weight: 20}, {weight: 50}", "interval: 1s");
    let words = ["--json", "apply", "development", "-y", "--set", TWO];
    let ((stdout, _), good, bad) = under_load(&hello, || hello.expect(0, &words));
    assert_eq!(hello.answer(), "two");
    assert_eq!(bad, 0, "of {}", good + bad);
    let events = events(&stdout);
    let weights: Vec<u64> = events
        .iter()
        .filter(|event| event["kind"] == "effect" && event["phase"] == "done")
        .filter_map(|event| {
            let shares = event["effect"]["traffic"]["shares"]["hello"].as_array()?;
            shares.iter().find(|share| share["canary"] == true)?["weight"].as_u64()
        })
        .collect();
    assert!(weights.windows(2).all(|pair| pair[0] <= pair[1]), "{weights:?}");
    assert!(weights.contains(&20) && weights.contains(&50), "{weights:?}");
    let verdict = events.iter().rev().find_map(|event| event["evidence"]["verdict"].as_str());
    assert_eq!(verdict, Some("better_or_equal"));
}

#[test]
fn a_bad_canary_is_turned_back_with_the_evidence() {
    let hello = canaries("{weight: 50}", "interval: 1s");
    let sick = "components.hello.env.FAILS=3";
    let ((_, stderr), _, bad) = under_load(&hello, || hello.apply(5, &[TWO, sick]));
    assert!(bad > 0);
    assert!(stderr.contains("turned back: hello") && stderr.contains("errors"), "{stderr}");
    assert!(stderr.contains("hint:"), "{stderr}");
    assert_eq!(hello.answer(), "one");
    assert_eq!(canary_weight(&hello), None);
    let history = hello.json(&["history", "development"]);
    let outcome = &history["entries"][0]["outcome"];
    assert!(outcome.to_string().contains("errors"), "{history}");
}

#[test]
fn a_gate_leaves_it_to_a_person() {
    let hello = canaries("{weight: 10, analysis: false, gate: true}", "");
    let began = Instant::now();
    let (_, stderr) = hello.apply(8, &[TWO]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(stderr.contains("gate") && stderr.contains("rollout promote"), "{stderr}");
    assert_eq!(canary_weight(&hello), Some(10));
    // Somebody watches its health meanwhile.
    until("a driver", || hello.json(&["rollout", "status", "development"])["driver"].is_string());
    let (stdout, _) = hello.expect(0, &["rollout", "status", "development"]);
    assert!(stdout.contains("rollout promote"), "{stdout}");
    let (_, stderr) = hello.apply(4, &["components.hello.env.GREETING=three"]);
    assert!(stderr.contains("--supersede"), "{stderr}");

    hello.expect(0, &["rollout", "promote", "development"]);
    until("the end", || hello.json(&["rollout", "status", "development"])["running"] == false);
    assert_eq!(hello.answer(), "two");
}

#[test]
fn held_and_let_go_and_turned_back_from_another_terminal() {
    let steps =
        "{weight: 10, pause: 1s, analysis: false}, {weight: 50, pause: 10s, analysis: false}";
    let hello = canaries(steps, "");
    let first = hello.begin(&[TWO]);
    until_weight(&hello, 10);
    hello.expect(0, &["rollout", "pause", "development"]);
    let status = hello.json(&["rollout", "status", "development"]);
    assert_eq!(status["paused"], true, "{status}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(canary_weight(&hello), Some(10), "longer than the step's pause");
    hello.expect(0, &["rollout", "resume", "development"]);
    until_weight(&hello, 50);
    let (stdout, _) = hello.expect(0, &["rollout", "abort", "development", "--reason", "wrong"]);
    assert!(stdout.contains("was turned back"), "{stdout}");
    let (_, stderr) = ended(8, first);
    assert!(stderr.contains("aborted by an operator"), "{stderr}");
    assert_eq!(hello.answer(), "one");
    assert_eq!(canary_weight(&hello), None);

    // All of it at once, though there are steps and time left.
    let first = hello.begin(&[TWO]);
    until_weight(&hello, 10);
    hello.expect(0, &["rollout", "promote", "development", "--full"]);
    ended(0, first);
    assert_eq!(hello.answer(), "two");
}

#[test]
fn without_traffic_there_is_no_verdict_and_a_person_decides() {
    let hello = canaries("{weight: 30}", "interval: 1s, decide_within: 2s");
    for (word, answer) in [("abort", "one"), ("promote", "two")] {
        let began = Instant::now();
        let (_, stderr) = hello.apply(8, &[TWO]);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(stderr.contains("inconclusive"), "{stderr}");
        assert!(stderr.contains("rollout promote") && stderr.contains("rollout abort"), "{stderr}");
        assert_eq!(canary_weight(&hello), Some(30), "no data moves no weight");
        let status = hello.json(&["rollout", "status", "development"]);
        assert_eq!(status["paused"], true, "{status}");
        hello.expect(0, &["rollout", word, "development"]);
        until("the end", || hello.json(&["rollout", "status", "development"])["running"] == false);
        assert_eq!(hello.answer(), answer);
    }
}

#[test]
fn opposite_intents_come_to_one_end_that_all_are_told() {
    for _ in 0..3 {
        let hello = canaries("{weight: 10, pause: 20s, analysis: false}", "");
        let first = hello.begin(&[TWO]);
        until_weight(&hello, 10);
        let say = |words: &[&str]| hello.command(words).output().expect("the binary runs");
        let (promoted, aborted) = std::thread::scope(|scope| {
            let promote = scope.spawn(|| say(&["rollout", "promote", "development", "--full"]));
            let abort = scope.spawn(|| say(&["rollout", "abort", "development"]));
            (promote.join().expect("ran"), abort.join().expect("ran"))
        });
        let apply = first.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&aborted.stderr).into_owned();
        match apply.status.code() {
            Some(0) => {
                assert_eq!(aborted.status.code(), Some(1), "{stderr}");
                assert!(stderr.contains("too late") || stderr.contains("no rollout"), "{stderr}");
                assert_eq!(hello.answer(), "two");
            }
            Some(8) => {
                assert_eq!(aborted.status.code(), Some(0), "{stderr}");
                assert!(matches!(promoted.status.code(), Some(0 | 1)));
                assert_eq!(hello.answer(), "one");
            }
            other => {
                panic!("apply ended with {other:?}: {}", String::from_utf8_lossy(&apply.stderr))
            }
        }
        assert_eq!(canary_weight(&hello), None);
    }
}

#[test]
fn a_canary_that_nobody_drives_gets_nothing_and_can_go_on() {
    let steps =
        "{weight: 10, pause: 1s, analysis: false}, {weight: 40, pause: 60s, analysis: false}";
    let hello = canaries(steps, "");
    let mut first = hello.begin(&[TWO]);
    until_weight(&hello, 40);
    signal(&first, Signal::KILL);
    first.wait().expect("it is gone");
    let killed = Instant::now();
    while canary_weight(&hello).is_some_and(|weight| weight > 0) {
        assert!(killed.elapsed() < Duration::from_secs(17), "the old release has not all of it");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(killed.elapsed() > Duration::from_secs(5), "it might have been taken up again");
    for _ in 0..20 {
        assert_eq!(hello.answer(), "one");
    }
    // The same command goes on, where it was.
    let again = hello.begin(&[TWO]);
    until_weight(&hello, 40);
    hello.expect(0, &["rollout", "promote", "development", "--full"]);
    ended(0, again);
    assert_eq!(hello.answer(), "two");
}
