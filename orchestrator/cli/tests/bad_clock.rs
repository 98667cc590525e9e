//! Somebody sets the machine's clock while a rollout runs. The clock of this machine is left alone: a
//! library of a few lines in C tells the processes of the environment another time.
#![allow(clippy::print_stderr)] // what is left out is said

mod hello;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hello::{Hello, signal, told, until};
use rustix::process::Signal;

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, time), file;
    if (id == CLOCK_REALTIME && (file = open(OFFSET, O_RDONLY)) >= 0) {
        char text[32] = {0};
        if (read(file, text, 31) > 0) time->tv_sec += atol(text);
        close(file);
    }
    return done;
}
"#;

const HOUR: i64 = 3600;

/// A project whose processes are told the time by a file.
struct Clocked {
    hello: Hello,
    offset: PathBuf,
    keeper: Child,
}

impl Clocked {
    /// `None` where no C compiler is.
    fn new() -> Option<Self> {
        let mut hello = Hello::new();
        hello.write("clock.c", LIBRARY);
        let offset = hello.path().join("offset");
        let library = hello.path().join("clock.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(hello.path().join("clock.c"))
            .arg(format!("-DOFFSET=\"{}\"", offset.display()))
            .arg("-ldl")
            .status();
        if !built.is_ok_and(|built| built.success()) {
            assert!(std::env::var_os("CI").is_none(), "CI leaves nothing out: cc is missing");
            eprintln!("!!! LEFT OUT: no C compiler, so no clock that can be set");
            return None;
        }
        hello.variables = vec![("LD_PRELOAD".into(), library.display().to_string())];
        // The supervisor has the variables of a keeper in the foreground.
        let mut command = hello.command(&["local", "supervise", "development"]);
        let keeper = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        until("the supervisor", || hello.run(&["local", "status", "development"]).status.success());
        Some(Self { hello, offset, keeper })
    }

    /// Sets the clock this many seconds off.
    fn set(&self, seconds: i64) {
        std::fs::write(&self.offset, seconds.to_string()).expect("written");
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        signal(&self.keeper, Signal::TERM);
        let _ = self.keeper.wait();
    }
}

#[test]
fn the_clock_is_set_while_a_rollout_watches() {
    let Some(clocked) = Clocked::new() else { return };
    let hello = &clocked.hello;
    hello.apply(0, &[]);
    for (n, offset) in [HOUR, -24 * HOUR].into_iter().enumerate() {
        let greeting = format!("components.hello.env.GREETING={offset}");
        let began = Instant::now();
        let run = hello.begin(&["rollout.watch=3s", &greeting]);
        hello.until_phase("watching");
        clocked.set(offset);
        // The lock is still held, and the watch is neither over nor without end.
        let (_, stderr) = hello.apply(4, &["components.hello.env.GREETING=other"]);
        assert!(stderr.contains("the lock is held by"), "{stderr}");
        assert_eq!(hello.json(&["rollout", "status", "development"])["phase"], "watching");
        told(0, &["apply"], run.wait_with_output().expect("ends"));
        let took = began.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(15)).contains(&took), "{n}: {took:?}");
        assert_eq!(hello.answer(), offset.to_string());
    }
}

#[test]
fn the_clock_is_set_while_a_release_starts() {
    let Some(clocked) = Clocked::new() else { return };
    let hello = &clocked.hello;
    hello.apply(0, &[]);
    let run = hello.begin(&["components.hello.env.SLOW=2", "components.hello.env.GREETING=slow"]);
    hello.until_phase("starting");
    clocked.set(HOUR);
    // Neither its start timeout of 10 s nor the deadline of 30 s has passed.
    told(0, &["apply"], run.wait_with_output().expect("ends"));
    assert_eq!(hello.answer(), "slow");
    // A deadline that passes is one that passed by this machine's own count.
    clocked.set(0);
    let sick = ["components.hello.env.SICK=1", "components.hello.health.start_timeout=2s"];
    let (run, began) = (hello.begin(&sick), Instant::now());
    hello.until_phase("starting");
    clocked.set(-24 * HOUR);
    let (_, stderr) = told(5, &["apply"], run.wait_with_output().expect("ends"));
    assert!(stderr.contains("was not ready within 2 s"), "{stderr}");
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(hello.answer(), "slow");
}

#[test]
fn the_clock_is_set_while_the_old_release_is_kept_warm() {
    let Some(clocked) = Clocked::new() else { return };
    let hello = &clocked.hello;
    hello.apply(0, &[]);
    let pids = hello.component_pids();
    hello.apply(0, &["components.hello.env.GREETING=two"]);
    clocked.set(24 * HOUR);
    // It is told by the clock as it is now.
    let warm_for = || {
        let status = hello.json(&["status", "development"]);
        let revisions = status["observed"]["revisions"].as_object().expect("revisions").values();
        let until: Vec<u64> = revisions.filter_map(|r| r["warm_until_ms"].as_u64()).collect();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        until[0] as i64 - (now.expect("after 1970").as_millis() as i64 + 24 * HOUR * 1000)
    };
    assert!((30_000..=60_000).contains(&warm_for()), "{}", warm_for());
    // The retirement is looked at every second; what was to go would be gone.
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(hello.component_pids().is_superset(&pids), "the old one is still there");
    hello.expect(0, &["rollback", "development", "-y"]);
    assert_eq!(hello.answer(), "one");
    assert!(hello.component_pids().is_superset(&pids), "by the same processes");
    // What crashed counts by the boot's clock as well.
    hello.ask("/die");
    clocked.set(0);
    until("the crash is seen", || {
        let (text, _) = hello.expect(0, &["status", "development"]);
        text.contains("serving, 1 crash")
    });
}
