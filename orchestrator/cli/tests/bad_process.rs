//! Programs that cannot run, do not get healthy or do not stay so: the exit code, the evidence, and
//! that the old release goes on serving.

mod hello;

use std::time::{Duration, Instant};

use hello::{Hello, until};

/// A deployed release that answers `one`.
fn serving() -> Hello {
    let hello = Hello::new();
    hello.apply(0, &[]);
    hello
}

/// A release that must not get through: what is said, after it was seen that the old one serves.
fn refused(hello: &Hello, exit: i32, sets: &[&str]) -> String {
    let (_, stderr) = hello.apply(exit, sets);
    assert_eq!(hello.answer(), "one", "the old release serves\n{stderr}");
    let status = hello.json(&["status", "development"]);
    assert_eq!(status["number"], 1, "the old release is in force: {status}");
    let revisions = status["observed"]["revisions"].as_object().expect("revisions");
    assert_eq!(revisions.len(), 1, "nothing of the new one is left: {status}");
    assert!(stderr.contains("\nhint: "), "a next step: {stderr}");
    stderr
}

/// The evidence lines of an error.
fn log_lines(stderr: &str) -> Vec<&str> {
    stderr.lines().filter_map(|line| line.strip_prefix("  | ")).collect()
}

const SOON: &str = "components.hello.health.start_timeout=1s";

#[test]
fn an_address_that_somebody_else_has() {
    let hello = serving();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address");
    let stderr = refused(&hello, 5, &[&format!("edge.listen={address}")]);
    assert!(stderr.contains(&format!("{address} is in use by another process")), "{stderr}");

    // A component that listens where it likes instead of on $PORT.
    let listens = format!(
        "components.hello.command=[python3, -c, \
         'import socket; socket.create_server((\"127.0.0.1\", {}))']",
        address.port()
    );
    let stderr = refused(&hello, 5, &[&listens]);
    assert!(stderr.contains("hello keeps crashing: exited with status 1"), "{stderr}");
    assert!(log_lines(&stderr).iter().any(|l| l.contains("Address already in use")), "{stderr}");
}

#[test]
fn a_program_that_is_not_there_or_cannot_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let hello = serving();
    let stderr = refused(&hello, 1, &["components.hello.command=[./serve]"]);
    assert!(stderr.contains("component `hello`: the program "), "{stderr}");
    assert!(stderr.contains("app/serve is not in the artifact"), "{stderr}");
    let stderr = refused(&hello, 1, &["components.hello.artifact=build/out"]);
    assert!(stderr.contains("build/out is not there"), "{stderr}");

    hello.write("app/serve", "#!/bin/sh\n");
    let stderr = refused(&hello, 1, &["components.hello.command=[./serve]"]);
    assert!(stderr.contains("app/serve is not executable"), "{stderr}");
    assert!(stderr.contains("hint: chmod +x "), "{stderr}");

    // A program for a machine that nobody has: 16-bit Motorola.
    let mut elf = [0; 64];
    elf[..20].copy_from_slice(b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\x00\x02\x00\x34");
    let path = hello.path().join("app/serve");
    std::fs::write(&path, elf).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    let stderr = refused(&hello, 1, &["components.hello.command=[./serve]"]);
    assert!(stderr.contains("is built for machine 52, this machine is "), "{stderr}");

    // What only the kernel can tell: an interpreter that is not there.
    hello.write("app/serve", "#!/no/such/interpreter\n");
    let stderr = refused(&hello, 5, &["components.hello.command=[./serve]"]);
    assert!(stderr.contains("could not be started: ./serve: No such file"), "{stderr}");
}

#[test]
fn one_that_never_gets_ready() {
    let hello = serving();
    let with = |sets: &[&str]| refused(&hello, 5, &[&[SOON], sets].concat());
    let stderr = with(&["components.hello.health.path=/missing", "components.hello.env.LINES=30"]);
    assert!(stderr.contains("hello was not ready within 1 s: GET /missing: 404"), "{stderr}");
    assert!(stderr.contains("\n  answer: nothing is here\n"), "{stderr}");
    let lines = log_lines(&stderr);
    assert_eq!(
        (lines.len(), lines.first(), lines.last()),
        (20, Some(&"line 11"), Some(&"listening as one"))
    );

    let stderr = with(&["components.hello.env.SICK=out of order"]);
    assert!(stderr.contains("GET /health/ready: 503"), "{stderr}");
    assert!(stderr.contains("\n  answer: out of order\n"), "{stderr}");

    let silent = ["components.hello.health.path=/silent", "components.hello.health.timeout=200ms"];
    let stderr = with(&silent);
    assert!(stderr.contains("GET /silent: no answer within 200 ms"), "{stderr}");

    let stderr =
        with(&["components.hello.command=[sh, -c, 'echo I do not listen; exec sleep 60']"]);
    assert!(stderr.contains("connection refused; is it listening on $PORT"), "{stderr}");
    assert_eq!(log_lines(&stderr), ["I do not listen"]);

    // Scripts get the same.
    let words = [
        "--json",
        "apply",
        "development",
        "-y",
        "--set",
        SOON,
        "--set",
        "components.hello.health.path=/missing",
    ];
    let (stdout, _) = hello.expect(5, &words);
    let last: serde_json::Value =
        serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["exit"], &last["reason"]), (&5.into(), &"turned_back".into()));
    let error = last["error"].as_str().expect("a text");
    assert!(error.contains("404") && error.contains("nothing is here"), "{error}");
    // And so does whoever looks later.
    let (history, _) = hello.expect(0, &["history", "development"]);
    assert!(history.contains("not ready within 1 s: GET /missing: 404"), "{history}");
}

#[test]
fn one_that_dies_at_once() {
    let hello = serving();
    let dies =
        "components.hello.command=[sh, -c, 'for i in $(seq 30); do echo line $i; done; exit 3']";
    let stderr = refused(&hello, 5, &[dies]);
    assert!(stderr.contains("hello keeps crashing: exited with status 3"), "{stderr}");
    let lines = log_lines(&stderr);
    assert_eq!(
        (lines.len(), lines.first(), lines.last()),
        (20, Some(&"line 11"), Some(&"line 30"))
    );
    let stderr = refused(&hello, 5, &["components.hello.command=[sh, -c, 'kill -SEGV $$']"]);
    assert!(stderr.contains("was killed by SIGSEGV"), "{stderr}");
}

#[test]
fn one_that_dies_when_nobody_watches_any_more() {
    let hello = serving();
    // Short, so that what is asked is the time after it.
    hello.apply(0, &["rollout.watch=10ms", "components.hello.restart.backoff=1s"]);
    let die = || hello.ask("/die");
    die();
    // While it is away, and what it said.
    let mut text = String::new();
    until("the crash in the status", || {
        text = hello.expect(0, &["status", "development"]).0;
        text.contains("exited with status 7; starting again")
    });
    assert!(text.contains("  | last words"), "{text}");
    until("it is back", || hello.is_answering());
    let (text, _) = hello.expect(0, &["status", "development"]);
    assert!(text.contains("serving, 1 crash"), "{text}");
    // Each time it waits longer.
    die();
    let began = Instant::now();
    until("it is back", || hello.is_answering());
    assert!(began.elapsed() >= Duration::from_millis(1_900), "twice the back-off");
}

#[test]
fn one_that_ignores_sigterm() {
    let hello = serving();
    let deaf = ["components.hello.env.DEAF=1", "components.hello.env.GREETING=deaf"];
    hello.apply(0, &[&deaf[..], &["rollout.rollback_window=0s"]].concat());
    assert_eq!(hello.answer(), "deaf");
    let pids = hello.component_pids();
    hello.apply(0, &["components.hello.env.GREETING=three", "rollout.rollback_window=0s"]);
    assert_eq!(hello.answer(), "three");
    until("the old one is gone", || hello.component_pids().is_disjoint(&pids));
    let log = hello.log_of("deaf");
    assert!(log.contains("did not end within 1 s after SIGTERM; killed"), "{log}");

    // The same for one that is not accepted.
    let sick = ["components.hello.env.DEAF=1", "components.hello.env.SICK=yes", SOON];
    hello.apply(5, &sick);
    assert_eq!(hello.answer(), "three");
    assert_eq!(hello.component_pids().len(), 1);
}
