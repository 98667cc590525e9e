//! Plans and releases that are not what they should be, and two at a time: the exit code, what is said,
//! and that the old release goes on serving.

mod hello;

use std::process::Child;

use hello::{Hello, told};

fn serving() -> Hello {
    let hello = Hello::new();
    hello.apply(0, &[]);
    hello
}

/// Runs what must be refused; gives what is said on stderr.
fn refused(hello: &Hello, exit: i32, words: &[&str]) -> String {
    let (_, stderr) = hello.expect(exit, words);
    assert!(stderr.contains("hint: "), "a next step: {stderr}");
    assert_eq!(hello.answer(), "one", "{stderr}");
    let history = hello.json(&["history", "development"]);
    assert_eq!(
        history["entries"].as_array().map(Vec::len),
        Some(1),
        "nothing was begun: {history}"
    );
    stderr
}

#[test]
fn a_plan_that_was_edited() {
    let hello = serving();
    let words =
        ["plan", "development", "--set", "components.hello.env.GREETING=two", "--out", "two.plan"];
    hello.expect(0, &words);
    let text = std::fs::read_to_string(hello.path().join("two.plan")).expect("the plan");
    for (what, edited) in [
        ("a value", text.replace("\"two\"", "\"mine\"")),
        ("the target of it", text.replace("\"development\"", "\"staging\"")),
        ("how it is done", text.replace("blue_green", "recreate")),
        ("the command", text.replace("server.py", "other.py")),
    ] {
        assert_ne!(edited, text, "{what}");
        hello.write("edited.plan", &edited);
        for words in [&["apply", "--plan", "edited.plan", "-y"][..], &["show", "edited.plan"]] {
            let stderr = refused(&hello, 7, words);
            assert!(stderr.contains("edited"), "{what}: {stderr}");
        }
    }
    for (what, broken) in
        [("cut off", &text[..text.len() / 2]), ("empty", ""), ("no plan", "[1, 2]\n")]
    {
        hello.write("broken.plan", broken);
        let stderr = refused(&hello, 64, &["apply", "--plan", "broken.plan", "-y"]);
        assert!(stderr.contains("plan"), "{what}: {stderr}");
    }
    let stderr = refused(&hello, 64, &["apply", "--plan", "nobody.plan", "-y"]);
    assert!(stderr.contains("cannot read the plan nobody.plan"), "{stderr}");
}

#[test]
fn a_plan_of_another_environment_or_project() {
    let hello = serving();
    hello.write("environments/staging.yaml", "extends: base.yaml\n");
    hello.expect(0, &["plan", "staging", "--out", "staging.plan"]);
    let words = ["apply", "development", "--plan", "staging.plan", "-y"];
    let stderr = refused(&hello, 64, &words);
    assert!(
        stderr.contains("staging.plan is a plan for `staging`, not for `development`"),
        "{stderr}"
    );

    // The same environment of another project that lies here.
    let base = hello.path().join("environments/base.yaml");
    let text = std::fs::read_to_string(&base).expect("the base");
    hello.write("environments/base.yaml", &text.replace("project: hello", "project: other"));
    hello.expect(0, &["plan", "development", "--out", "other.plan"]);
    hello.write("environments/base.yaml", &text);
    let stderr = refused(&hello, 64, &["apply", "--plan", "other.plan", "-y"]);
    assert!(stderr.contains("is a plan for the project `other`, not for `hello`"), "{stderr}");
}

#[test]
fn a_release_that_does_not_exist() {
    let hello = serving();
    let stderr = refused(&hello, 64, &["apply", "development", "-y", "--release", "9.9"]);
    assert!(stderr.contains("there is no release `9.9`"), "{stderr}");
    hello.write("artifacts/1.0.0.yaml", "hello: app\n");
    let stderr = refused(&hello, 64, &["apply", "development", "-y", "--release", "1.0.1"]);
    assert!(stderr.contains("did you mean `1.0.0`?"), "{stderr}");
    for to in ["9", "r-0123456789ab", "9.9"] {
        let stderr = refused(&hello, 64, &["rollback", "development", "-y", "--to", to]);
        assert!(stderr.contains(&format!("there is no release {to} in the history")), "{stderr}");
    }
    let stderr = refused(&hello, 64, &["rollback", "development", "-y"]);
    assert!(stderr.contains("no earlier release"), "{stderr}");
    let stderr = refused(&hello, 64, &["diff", "development", "9"]);
    assert!(stderr.contains("9"), "{stderr}");
    for words in [&["apply", "developmnet", "-y"][..], &["rollback", "developmnet", "-y"]] {
        let stderr = refused(&hello, 64, words);
        assert!(stderr.contains("did you mean `development`?"), "{stderr}");
    }
}

#[test]
fn two_applies_at_once() {
    let hello = serving();
    // Of the same plan and of different ones, all at the same moment.
    let greetings = ["two", "two", "three", "four"];
    let runs: Vec<Child> = greetings
        .iter()
        .map(|g| hello.begin(&[&format!("components.hello.env.GREETING={g}"), "rollout.watch=1s"]))
        .collect();
    let mut done = Vec::new();
    for (greeting, run) in greetings.iter().zip(runs) {
        let out = run.wait_with_output().expect("ends");
        let exit = out.status.code().expect("an exit code");
        let (_, stderr) = told(exit, &["apply"], out);
        match exit {
            0 => done.push(*greeting),
            // The other one holds the lock, or had ended in between.
            4 => assert!(
                stderr.contains("the lock is held by tester@") || stderr.contains("has not ended"),
                "{stderr}"
            ),
            3 => assert!(stderr.contains("stale"), "{stderr}"),
            _ => panic!("exit {exit}: {stderr}"),
        }
        assert!(exit == 0 || stderr.contains("hint: "), "{stderr}");
    }
    assert!(!done.is_empty());
    assert!(done.contains(&hello.answer().as_str()), "{done:?}");
    let status = hello.json(&["status", "development"]);
    let revisions = status["observed"]["revisions"].as_object().expect("revisions");
    let serving: Vec<_> = revisions.values().filter(|r| r["warm_until_ms"].is_null()).collect();
    assert_eq!(serving.len(), 1, "{status}");

    // One that is asked to wait does.
    let first = hello.begin(&["components.hello.env.GREETING=five", "rollout.watch=1s"]);
    hello.until_phase("watching");
    let words = ["restart", "development", "--lock-timeout", "20s"];
    let (_, stderr) = hello.expect(0, &words);
    assert!(stderr.contains("waiting for tester@"), "{stderr}");
    told(0, &["apply"], first.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "five");
}
