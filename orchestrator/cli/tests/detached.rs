//! `--detach`: the command returns, and what it was to do is done by a process of its own.

mod hello;

use hello::{Hello, told, until};

/// Waits until as many runs have ended, and gives the last one's outcome.
fn ended(hello: &Hello, runs: usize) -> String {
    until(&format!("the end of run {runs}"), || {
        let history = hello.json(&["history", "development"]);
        let entries = history["entries"].as_array().expect("entries");
        entries.len() == runs && entries[0]["ended_ms"].is_u64()
    });
    let history = hello.json(&["history", "development"]);
    history["entries"][0]["outcome"]["outcome"].as_str().expect("an outcome").to_string()
}

fn detached(hello: &Hello, words: &[&str]) {
    let (stdout, _) = hello.expect(0, &[words, &["--detach", "--reason", "at night"]].concat());
    assert!(stdout.contains("it goes on without this terminal"), "{stdout}");
    assert!(stdout.contains("rollout watch development"), "{stdout}");
}

#[test]
fn every_verb_that_deploys_can_go_on_without_its_terminal() {
    let mut hello = Hello::new();
    hello.write("token", "hush\n");
    hello.variables =
        vec![("NEUROCA_DEPLOY_SET".into(), "components.hello.secrets.TOKEN=file:token".into())];
    detached(&hello, &["apply", "development", "-y"]);
    assert_eq!(ended(&hello, 1), "deployed");
    hello.apply(0, &["components.hello.env.GREETING=two"]);
    // What is sealed is not asked of files that have changed since.
    hello.write("token", "another\n");
    detached(&hello, &["restart", "development"]);
    assert_eq!(ended(&hello, 3), "deployed");
    detached(&hello, &["scale", "development", "hello", "2"]);
    assert_eq!(ended(&hello, 4), "deployed");
    assert_eq!(hello.answer(), "two");
    let status = hello.json(&["status", "development"]);
    let revisions = status["observed"]["revisions"].as_object().expect("revisions");
    assert!(revisions.values().any(|r| r["ready"] == 2), "{status}");
    detached(&hello, &["rollback", "development", "-y", "--to", "1"]);
    assert_eq!(ended(&hello, 5), "deployed");
    assert_eq!((hello.answer(), hello.get("/secret")), ("one".into(), "hush".into()));
    let history = hello.json(&["history", "development"]);
    assert_eq!(history["entries"][0]["who"]["reason"], "at night");

    detached(&hello, &["destroy", "development", "-y"]);
    until("nothing runs", || !hello.run(&["local", "status", "development"]).status.success());
    assert_eq!(ended(&hello, 6), "deployed");
}

#[test]
fn a_rollback_of_what_is_running() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let first = hello.begin(&["rollout.watch=20s", "components.hello.env.GREETING=two"]);
    hello.until_phase("watching");
    detached(&hello, &["rollback", "development", "-y"]);
    told(8, &["apply"], first.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "one");
}

#[test]
fn a_second_one_changes_nothing_of_the_first() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let words = |greeting: &str| {
        let set = format!("components.hello.env.GREETING={greeting}");
        let words =
            ["apply", "development", "-y", "--detach", "--set", "rollout.watch=5s", "--set"];
        words.iter().map(|w| w.to_string()).chain([set]).collect::<Vec<_>>()
    };
    for greeting in ["two", "three"] {
        let words = words(greeting);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let out = hello.run(&words);
        // The second may see the first at once or not.
        assert!(matches!(out.status.code(), Some(0 | 4)), "{out:?}");
    }
    assert_eq!(ended(&hello, 2), "deployed");
    assert_eq!(hello.answer(), "two");
}
