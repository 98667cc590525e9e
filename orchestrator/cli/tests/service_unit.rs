//! The unit that `local install` writes, and its command run as systemd would run it.
#![allow(clippy::print_stderr)] // what is left out is said

mod hello;

use std::process::{Child, Command, Stdio};

use hello::{Hello, signal, until};
use rustix::process::Signal;

/// The lines of the unit, as far as a service manager acts on them.
struct Unit {
    start: Vec<String>,
    folder: String,
    environment: Vec<(String, String)>,
}

impl Unit {
    fn read(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("no {name} in\n{text}")).to_string()
        };
        let (name, path) = words(&value("Environment"))
            .remove(0)
            .split_once('=')
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .expect("NAME=VALUE");
        Self {
            start: words(&value("ExecStart")),
            folder: value("WorkingDirectory"),
            environment: vec![(name, path)],
        }
    }

    /// Runs ExecStart with what systemd gives: nothing of any shell's.
    fn started(&self, home: &std::path::Path) -> Child {
        Command::new(&self.start[0])
            .args(&self.start[1..])
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", home)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }
}

/// Words as systemd reads them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => {
                word.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            '%' | '$' if chars.peek() == Some(&c) => {
                chars.next();
                word.push(c);
            }
            _ => word.push(c),
        }
    }
    words.push(word);
    words
}

fn keeper(hello: &Hello) -> Option<u64> {
    let out = hello.run(&["--json", "local", "status", "development"]);
    let status: serde_json::Value = serde_json::from_slice(&out.stdout).ok()?;
    status["keeper"]["pid"].as_u64()
}

fn until_kept_by(hello: &Hello, child: &Child) {
    until("the service is the keeper", || keeper(hello) == Some(child.id().into()));
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_does_what_a_service_should() {
    let hello = Hello::new();
    // What is started on demand and what is a service later are the same.
    hello.apply(0, &[]);
    hello.expect(0, &["local", "install", "development", "--out", "."]);
    let file = hello.path().join("neuroca-deploy-hello-development.service");
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success() && said.is_empty(), "{said}");
        }
        Err(error) => eprintln!("!!! LEFT OUT: systemd-analyze verify: {error}"),
    }
    let unit = Unit::read(&std::fs::read_to_string(&file).expect("the unit"));
    let pids = hello.component_pids();

    // It takes over from the keeper that was there.
    let mut service = unit.started(hello.path());
    until_kept_by(&hello, &service);
    assert_eq!((hello.answer().as_str(), hello.component_pids()), ("one", pids.clone()));

    // Another one waits and takes nothing.
    let mut second = unit.started(hello.path());
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(keeper(&hello), Some(service.id().into()));
    signal(&second, Signal::TERM);
    second.wait().expect("ends");

    // Killed, and started again as `Restart=on-failure` says: before or after somebody else did.
    for pause in [0, 4_000] {
        service.kill().expect("killed");
        service.wait().expect("ends");
        std::thread::sleep(std::time::Duration::from_millis(pause));
        service = unit.started(hello.path());
        until_kept_by(&hello, &service);
        assert_eq!((hello.answer().as_str(), hello.component_pids()), ("one", pids.clone()));
    }

    // An upgrade keeps the process that the manager knows, and that it is a service.
    hello.expect(0, &["local", "upgrade", "development"]);
    until_kept_by(&hello, &service);
    let mut second = unit.started(hello.path());
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(keeper(&hello), Some(service.id().into()));
    signal(&second, Signal::TERM);
    second.wait().expect("ends");
    hello.apply(0, &["components.hello.env.GREETING=two"]);

    // Stopped: all of it, in order.
    signal(&service, Signal::TERM);
    assert_eq!(service.wait().expect("ends").code(), Some(0));
    assert!(hello.component_pids().is_empty() && hello.ask("/").is_none());

    // After a reboot.
    let mut service = unit.started(hello.path());
    until("it serves", || hello.is_answering());
    assert_eq!(hello.answer(), "two");
    hello.expect(0, &["rollback", "development", "-y"]);
    assert_eq!(hello.answer(), "one");
    // `local stop` ends it as well, and not as a failure: it is not started again.
    hello.expect(0, &["local", "stop", "development"]);
    assert_eq!(service.wait().expect("ends").code(), Some(0));
}

#[test]
fn a_service_can_be_installed_before_anything_is_deployed() {
    let hello = Hello::new();
    hello.expect(0, &["local", "install", "development", "--out", "."]);
    let file = hello.path().join("neuroca-deploy-hello-development.service");
    let unit = Unit::read(&std::fs::read_to_string(&file).expect("the unit"));
    let mut service = unit.started(hello.path());
    until_kept_by(&hello, &service);
    hello.apply(0, &[]);
    assert_eq!(hello.answer(), "one");
    assert_eq!(keeper(&hello), Some(service.id().into()));
    signal(&service, Signal::TERM);
    assert_eq!(service.wait().expect("ends").code(), Some(0));
}
