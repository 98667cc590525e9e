//! From a first deployment to the last stop, through the real binary and real processes.

mod hello;

use hello::{Hello, free_port, signal, told, until};
use rustix::process::Signal;

const SLOW: &str = "rollout.watch=20s";

#[test]
fn deployed_changed_rolled_back_and_destroyed() {
    let hello = Hello::new();
    let (stdout, _) = hello.apply(0, &[]);
    assert!(stdout.contains("Deployed."), "{stdout}");
    assert_eq!(hello.answer(), "one");

    // Nothing to do is said, and has an exit code of its own.
    let (stdout, _) = hello.expect(0, &["plan", "development", "--detailed-exitcode"]);
    assert!(stdout.starts_with("No changes."), "{stdout}");
    let two = [
        "plan",
        "development",
        "--detailed-exitcode",
        "--set",
        "components.hello.env.GREETING=two",
    ];
    let (stdout, _) = hello.expect(2, &two);
    assert!(stdout.contains("env.GREETING  one → two  (--set)"), "{stdout}");

    hello.apply(0, &["components.hello.env.GREETING=two"]);
    assert_eq!(hello.answer(), "two");
    hello.apply(0, &["components.hello.env.GREETING=three"]);

    // Going back twice goes back two releases; it needs no project files.
    let elsewhere = tempfile::tempdir().expect("a folder");
    for expected in ["two", "one"] {
        let mut command = hello.command(&["rollback", "development", "-y"]);
        let out = command.current_dir(elsewhere.path()).output().expect("runs");
        told(0, &["rollback"], out);
        assert_eq!(hello.answer(), expected);
    }
    let (_, stderr) = hello.expect(64, &["rollback", "development", "-y"]);
    assert!(stderr.contains("no earlier release"), "{stderr}");
    hello.expect(0, &["rollback", "development", "-y", "--to", "3"]);
    assert_eq!(hello.answer(), "three");

    let history = hello.json(&["history", "development"]);
    let entries = history["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 6);
    assert_eq!(entries.iter().filter(|e| e["current"] == true).count(), 1);
    assert_eq!(entries[0]["who"]["user"], "tester");

    hello.expect(0, &["destroy", "development", "-y"]);
    let (_, stderr) = hello.expect(1, &["local", "status", "development"]);
    assert!(stderr.contains("nothing runs"), "{stderr}");
    let (stdout, _) = hello.expect(0, &["status", "development"]);
    assert!(stdout.contains("nothing is deployed"), "{stdout}");
    // What was there before can come back.
    hello.expect(0, &["rollback", "development", "-y"]);
    assert_eq!(hello.answer(), "three");
}

#[test]
fn the_projects_name_may_be_written_in_any_way_that_yaml_has() {
    let hello = Hello::new();
    let base = std::fs::read_to_string(hello.path().join("environments/base.yaml")).expect("base");
    hello.write("environments/common.yaml", &base.replace("project: hello", "\"project\": other"));
    hello.write("environments/development.yaml", "{extends: common.yaml}\n");
    hello.apply(0, &[]);
    // What asks by the state finds what was deployed by the files.
    let history = hello.json(&["history", "development"]);
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(1), "{history}");
    hello.expect(0, &["destroy", "development", "-y"]);
}

#[test]
fn a_saved_plan_is_done_exactly_or_refused() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let plan = |greeting: &str, file: &str| {
        let set = format!("components.hello.env.GREETING={greeting}");
        hello.expect(0, &["plan", "development", "--set", &set, "--out", file]);
    };
    plan("two", "two.plan");
    plan("three", "three.plan");
    let (shown, _) = hello.expect(0, &["show", "two.plan"]);
    assert!(shown.contains("one → two"), "{shown}");

    let (_, stderr) = hello.expect(64, &["apply", "--plan", "two.plan"]);
    assert!(stderr.contains("hint: pass -y"), "{stderr}");
    let (_, stderr) = hello.expect(64, &["apply", "staging", "--plan", "two.plan", "-y"]);
    assert!(stderr.contains("is a plan for `development`"), "{stderr}");
    hello.expect(0, &["apply", "--plan", "two.plan", "-y"]);
    assert_eq!(hello.answer(), "two");

    let (_, stderr) = hello.expect(3, &["apply", "--plan", "three.plan", "-y"]);
    assert!(stderr.contains("stale") && stderr.contains("one → two"), "{stderr}");

    let text = std::fs::read_to_string(hello.path().join("three.plan")).expect("the plan");
    hello.write("edited.plan", &text.replace("three", "mine"));
    for words in [&["apply", "--plan", "edited.plan", "-y"][..], &["show", "edited.plan"]] {
        let (_, stderr) = hello.expect(7, words);
        assert!(stderr.contains("edited"), "{stderr}");
    }
    hello.write("newer.plan", &text.replacen("\"format\": 2", "\"format\": 9", 1));
    hello.expect(7, &["show", "newer.plan"]);

    // The artifact under an approved plan has changed.
    hello.write("app/server.py", "# another one\n");
    plan("four", "four.plan");
    hello.write("app/server.py", "# yet another one\n");
    let (_, stderr) = hello.expect(3, &["apply", "--plan", "four.plan", "-y"]);
    assert!(stderr.contains("the artifact of `hello`"), "{stderr}");
    assert_eq!(hello.answer(), "two");
}

#[test]
fn a_release_that_is_not_healthy_is_turned_back_with_evidence() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let short = "components.hello.health.start_timeout=1s";
    let (_, stderr) = hello.apply(5, &[short, "components.hello.env.SICK=out of order"]);
    assert!(stderr.contains("503") && stderr.contains("out of order"), "{stderr}");
    assert!(stderr.contains("| listening as one"), "the last lines of its log: {stderr}");
    assert!(stderr.contains("hint:"), "{stderr}");
    assert_eq!(hello.answer(), "one");

    let (_, stderr) = hello.apply(
        5,
        &[
            "components.hello.health.path=/ready",
            "components.hello.command=[sh, -c, 'echo no; exit 3']",
        ],
    );
    assert!(stderr.contains("keeps crashing: exited with status 3"), "{stderr}");
    assert!(stderr.contains("| no"), "{stderr}");
    assert_eq!(hello.answer(), "one");

    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = format!("edge.listen={}", taken.local_addr().expect("an address"));
    let (_, stderr) = hello.apply(5, &[&address]);
    assert!(stderr.contains("in use by another process"), "{stderr}");
    assert_eq!(hello.answer(), "one");

    let (_, stderr) = hello.apply(1, &["components.hello.command=[./no-such-program]"]);
    assert!(stderr.contains("no-such-program"), "{stderr}");

    // A first release that is not healthy leaves nothing behind, and says so.
    let fresh = Hello::new();
    fresh.apply(5, &[short, "components.hello.env.SICK=always"]);
    let (stdout, _) = fresh.expect(0, &["status", "development"]);
    assert!(stdout.contains("nothing is deployed"), "{stdout}");
}

#[test]
fn a_failing_hook_stops_the_release_with_its_output() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let hook = "components.hello.hooks.pre_deploy=[sh, -c, 'echo the disk is on fire; exit 4']";
    let (_, stderr) = hello.apply(1, &["components.hello.env.GREETING=two", hook]);
    assert!(stderr.contains("the disk is on fire"), "{stderr}");
    let hook = "components.hello.hooks.smoke_test=[sh, -c, 'echo it smokes; exit 4']";
    let (_, stderr) = hello.apply(5, &["components.hello.env.GREETING=two", hook]);
    assert!(stderr.contains("it smokes"), "{stderr}");
    assert_eq!(hello.answer(), "one");
}

#[test]
fn who_comes_second_is_told_and_can_speak_to_the_first() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let first = hello.begin(&[SLOW, "components.hello.env.GREETING=two"]);
    hello.until_phase("watching");
    let (_, stderr) = hello.apply(4, &["components.hello.env.GREETING=three"]);
    assert!(stderr.contains("the lock is held by tester@"), "{stderr}");
    assert!(stderr.contains("--supersede"), "{stderr}");

    hello.expect(0, &["rollout", "pause", "development"]);
    assert_eq!(hello.json(&["rollout", "status", "development"])["paused"], true);
    hello.expect(0, &["rollout", "resume", "development"]);
    hello.expect(0, &["rollout", "promote", "development"]);
    told(0, &["apply"], first.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "two");

    let first = hello.begin(&[SLOW, "components.hello.env.GREETING=three"]);
    hello.until_phase("watching");
    let (stdout, _) = hello.expect(0, &["rollback", "development", "-y"]);
    assert!(stdout.contains("was turned back"), "{stdout}");
    told(8, &["apply"], first.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "two");

    let first = hello.begin(&[SLOW, "components.hello.env.GREETING=four"]);
    hello.until_phase("watching");
    let words = [
        "apply",
        "development",
        "-y",
        "--supersede",
        "--set",
        "components.hello.env.GREETING=five",
    ];
    hello.expect(0, &words);
    let (_, stderr) = told(8, &["apply"], first.wait_with_output().expect("ends"));
    assert!(stderr.contains("a newer release took its place"), "{stderr}");
    assert_eq!(hello.answer(), "five");

    let first = hello.begin(&[SLOW, "components.hello.env.GREETING=six"]);
    hello.until_phase("watching");
    hello.expect(0, &["rollout", "abort", "development"]);
    told(8, &["apply"], first.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "five");
    hello.expect(1, &["rollout", "abort", "development"]);
}

#[test]
fn whoever_is_interrupted_goes_on_by_the_same_command() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let slow = [SLOW, "components.hello.env.GREETING=two"];
    for (sent, exit) in [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)]
    {
        let first = hello.begin(&slow);
        hello.until_phase("watching");
        signal(&first, sent);
        let out = first.wait_with_output().expect("ends");
        assert_eq!(out.status.code(), exit, "{}", String::from_utf8_lossy(&out.stderr));
        let (stdout, _) = hello.expect(0, &["rollout", "status", "development"]);
        assert!(stdout.contains("nobody drives it"), "{stdout}");
        // Another plan has to wait for this one to end.
        let (_, stderr) = hello.apply(4, &["components.hello.env.GREETING=three"]);
        assert!(stderr.contains("rollout resume"), "{stderr}");
    }
    let again = hello.begin(&slow);
    until("the successor", || {
        hello.json(&["rollout", "status", "development"])["driver"].is_string()
    });
    hello.expect(0, &["rollout", "promote", "development"]);
    told(0, &["apply"], again.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "two");

    // Nobody has to know the command: a rollback takes over and turns back.
    let first = hello.begin(&[SLOW, "components.hello.env.GREETING=three"]);
    hello.until_phase("watching");
    signal(&first, Signal::KILL);
    let _ = first.wait_with_output();
    hello.expect(0, &["rollback", "development", "-y"]);
    assert_eq!(hello.answer(), "two");
}

#[test]
fn killed_before_or_after_any_effect_it_converges() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let kinds =
        ["store_artifact", "seal_secrets", "start_revision", "route", "keep_warm", "record"];
    for (n, kind) in kinds.iter().enumerate() {
        for when in ["before", "after"] {
            let greeting = format!("components.hello.env.GREETING={n} {when}");
            let point = hello.state().join("kill-point");
            std::fs::write(&point, format!("command {when} {kind}")).expect("written");
            let out = hello.begin(&[&greeting]).wait_with_output().expect("ends");
            assert!(!point.exists(), "{when} {kind} was not reached");
            assert_eq!(out.status.code(), None, "killed {when} {kind}");
            hello.apply(0, &[&greeting]);
            assert_eq!(hello.answer(), format!("{n} {when}"));
            assert_eq!(hello.json(&["rollout", "status", "development"])["running"], false);
        }
    }
}

#[test]
fn a_restart_needs_neither_files_nor_the_shell_with_the_secrets() {
    let hello = Hello::new();
    let secret =
        ["apply", "development", "-y", "--set", "components.hello.secrets.TOKEN=env:TOKEN"];
    let out = hello.command(&secret).env("TOKEN", "hush").output().expect("runs");
    told(0, &secret, out);
    assert_eq!(hello.get("/secret"), "hush");

    hello.expect(0, &["restart", "development", "hello"]);
    assert_eq!(hello.get("/secret"), "hush");
}

#[test]
fn more_processes_are_there_when_scale_says_so() {
    let hello = Hello::new();
    let secret =
        ["apply", "development", "-y", "--set", "components.hello.secrets.TOKEN=env:TOKEN"];
    let out = hello.command(&secret).env("TOKEN", "hush").output().expect("runs");
    told(0, &secret, out);
    hello.expect(0, &["scale", "development", "hello", "2"]);
    let status = hello.json(&["status", "development"]);
    let revisions = status["observed"]["revisions"].as_object().expect("revisions");
    let ready: Vec<u64> = revisions.values().filter_map(|r| r["ready"].as_u64()).collect();
    assert_eq!(ready, [2], "{status}");
    assert_eq!(hello.get("/secret"), "hush");
    let (_, stderr) = hello.expect(64, &["scale", "development", "helo", "2"]);
    assert!(stderr.contains("did you mean `hello`?"), "{stderr}");
    hello.expect(64, &["scale", "development", "hello", "0"]);
}

#[test]
fn a_detached_run_outlives_its_command() {
    let hello = Hello::new();
    let (stdout, _) = hello.expect(0, &["apply", "development", "-y", "--detach"]);
    assert!(stdout.contains("rollout watch development"), "{stdout}");
    until("the release", || {
        let history = hello.json(&["history", "development"]);
        history["entries"][0]["outcome"]["outcome"] == "deployed"
    });
    assert_eq!(hello.answer(), "one");
}

#[test]
fn a_state_that_cannot_be_used_is_told_with_what_to_do() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    hello.expect(0, &["local", "stop", "development"]);
    let database = hello.state().join("state.db");
    std::fs::write(&database, "this was a database").expect("written");
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(hello.state().join(format!("state.db{end}")));
    }
    for words in [
        &["status", "development"][..],
        &["plan", "development"],
        &["rollback", "development", "-y"],
    ] {
        let (_, stderr) = hello.expect(7, words);
        assert!(stderr.contains("damaged") && stderr.contains("hint:"), "{stderr}");
    }
}

#[test]
fn the_processes_can_be_replaced_and_stopped_and_started() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let before = hello.json(&["local", "status", "development"]);
    let after = hello.json(&["local", "upgrade", "development"]);
    assert_ne!(before["supervisor"]["pid"], after["supervisor"]["pid"]);
    assert_eq!(hello.answer(), "one");
    hello.expect(0, &["local", "stop", "development"]);
    let (_, stderr) = hello.expect(1, &["status", "development"]);
    assert!(stderr.contains("hint: start it"), "{stderr}");
    hello.expect(0, &["local", "start", "development"]);
    until("the component", || {
        let status = hello.json(&["status", "development"]);
        status["observed"]["revisions"]
            .as_object()
            .is_some_and(|r| r.values().any(|r| r["ready"] == 1))
    });
    // Ready is the process; the edge is told a moment later.
    until("an answer", || hello.is_answering());
    assert_eq!(hello.answer(), "one");
    let (stdout, _) = hello.expect(0, &["logs", "development"]);
    assert!(stdout.contains("listening as one"), "{stdout}");
    let unit = ["local", "install", "development", "--out", "."];
    hello.expect(0, &unit);
    let text =
        std::fs::read_to_string(hello.path().join("neuroca-deploy-hello-development.service"));
    assert!(text.expect("the unit").contains("local supervise"));
}

#[test]
fn a_port_that_nobody_has_is_no_trouble_for_the_doctor() {
    let hello = Hello::new();
    let (stdout, _) = hello.expect(0, &["doctor", "development"]);
    assert!(stdout.contains("nothing stands in the way"), "{stdout}");
    let taken = std::net::TcpListener::bind(("127.0.0.1", hello.port)).expect("the port");
    let (stdout, _) = hello.expect(1, &["doctor", "development"]);
    assert!(stdout.contains("1 cause of trouble"), "{stdout}");
    drop(taken);
    hello.write(
        "environments/development.yaml",
        &format!("extends: base.yaml\nedge: {{listen: '127.0.0.1:{}'}}\n", free_port()),
    );
    hello.expect(0, &["doctor"]);
}
