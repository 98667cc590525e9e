//! A release that can go neither on nor back: what is told, and that the next one puts everything in order.

mod hello;

use hello::Hello;

const NEW: &str = "components.hello.artifact=app2";

/// `one` was deployed and stopped for `two`, which never gets ready; the artifact of `one` is gone.
fn stranded() -> Hello {
    let hello = Hello::new();
    let server = std::fs::read_to_string(hello.path().join("app/server.py")).expect("written");
    hello.write("app2/server.py", &format!("{server}\n# another artifact"));
    hello.apply(0, &[]);
    let artifacts = hello.state().join("artifacts");
    std::fs::remove_dir_all(&artifacts).expect("removed");
    std::fs::create_dir(&artifacts).expect("made again");
    let (_, stderr) = hello.apply(
        1,
        &[
            NEW,
            "rollout.strategy=recreate",
            "components.hello.health.start_timeout=1s",
            "components.hello.env.GREETING=two",
            "components.hello.env.SICK=always",
        ],
    );
    assert!(stderr.contains("hello was not ready within 1 s"), "why it was turned back: {stderr}");
    assert!(stderr.contains("going back failed, everything was left as it was"), "{stderr}");
    hello
}

fn revisions(hello: &Hello) -> usize {
    let status = hello.json(&["status", "development"]);
    status["observed"]["revisions"].as_object().expect("revisions").len()
}

#[test]
fn the_next_release_goes_over_at_once_and_stops_what_was_left() {
    let hello = stranded();
    assert!(!hello.is_answering(), "neither can");
    assert_eq!(
        hello.json(&["history", "development"])["entries"][0]["outcome"]["outcome"],
        "stranded"
    );
    let sets = [NEW, "components.hello.env.GREETING=three", "rollout.rollback_window=0s"];
    let words = sets.map(|set| ["--set", set]).concat();
    let (plan, _) = hello.expect(0, &[&["plan", "development"], words.as_slice()].concat());
    assert!(plan.contains("was left half-way"), "{plan}");
    hello.apply(0, &sets);
    assert_eq!((hello.answer(), revisions(&hello)), ("three".into(), 1));
}

#[test]
fn the_release_in_force_is_not_taken_for_running() {
    let hello = stranded();
    // What the history calls current is what the files say, and yet there is something to do.
    hello.apply(0, &[]);
    assert_eq!((hello.answer(), revisions(&hello)), ("one".into(), 1));
    let (plan, _) = hello.expect(0, &["plan", "development"]);
    assert!(plan.contains("No changes."), "{plan}");
}
