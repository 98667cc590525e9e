//! Commands that go on showing: what they show as it changes, and how they end.

mod hello;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use hello::{Hello, signal, until};
use rustix::process::Signal;

/// A command in the background, and what it has said so far.
struct Shown {
    child: Child,
    text: Arc<Mutex<String>>,
}

impl Shown {
    fn by(hello: &Hello, words: &[&str]) -> Self {
        let mut command = hello.command(words);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let text = Arc::new(Mutex::new(String::new()));
        let (stdout, said) = (child.stdout.take().expect("piped"), text.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut said = said.lock().expect("no panic");
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, text }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no panic").clone()
    }

    fn until(&self, what: &str) {
        until(&format!("`{what}` is shown"), || self.text().contains(what));
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) -> String {
        use std::os::unix::process::ExitStatusExt;
        assert!(self.child.try_wait().expect("a child").is_none(), "it goes on: {}", self.text());
        // A job in the background of a shell without a terminal ignores Ctrl-C, and so do its children.
        let (asked, exit) = match ignores_interrupts() {
            false => (Signal::INT, (130, 2)),
            true => (Signal::TERM, (143, 15)),
        };
        signal(&self.child, asked);
        let end = self.child.wait().expect("it ends");
        assert!(end.code() == Some(exit.0) || end.signal() == Some(exit.1), "{end}");
        self.text()
    }
}

fn ignores_interrupts() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (2 - 1)) != 0
}

#[test]
fn status_is_shown_again_when_it_changes_and_only_then() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    let people = Shown::by(&hello, &["status", "development", "--watch"]);
    let scripts = Shown::by(&hello, &["--json", "status", "development", "--watch"]);
    people.until("serving");
    scripts.until("\"kind\":\"status\"");
    let first = people.text().matches("serving").count();
    let run = hello.begin(&["rollout.watch=2s", "components.hello.env.GREETING=two"]);
    people.until("rollout r-");
    people.until("watching; waits for");
    people.until("warm until");
    assert!(run.wait_with_output().expect("ends").status.success());
    scripts.until("\"number\":2");
    hello.ask("/die");
    people.until("exited with status 7; starting again");
    people.until("  | last words");
    people.until("serving, 1 crash");

    let quiet = people.text().len();
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    assert_eq!(people.text().len(), quiet, "nothing changed");
    assert_eq!(first, 1);
    people.interrupt();
    for line in scripts.interrupt().lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        assert_eq!((&event["kind"], &event["format"]), (&"status".into(), &1.into()));
    }
}

#[test]
fn logs_are_followed_through_rotation_and_into_the_next_release() {
    let hello = Hello::new();
    hello.apply(0, &["components.hello.env.LINES=3"]);
    let all = Shown::by(&hello, &["logs", "development", "-f"]);
    let last = Shown::by(&hello, &["logs", "development", "hello", "-f", "-n", "1"]);
    let scripts = Shown::by(&hello, &["--json", "logs", "development", "-f", "-n", "0"]);
    all.until("/0 line 0\n");
    all.until("/0 listening as ");
    last.until("/0 listening as ");
    assert!(!last.text().contains("line 2"), "{}", last.text());

    // Large enough that its log is rotated while it starts.
    hello.apply(
        0,
        &[
            "components.hello.env.LINES=400",
            "components.hello.env.GREETING=two",
            "components.hello.logs.max_size=1KiB",
            "components.hello.logs.keep=9",
        ],
    );
    all.until("/0 listening as two\n");
    scripts.until("\"line\":\"listening as two\"");
    hello.ask("/die");
    all.until("/0 last words\n");
    let text = last.interrupt();
    assert!(text.contains("/0 line 399\n"), "{text}");
    all.interrupt();
    for line in scripts.interrupt().lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
        assert_eq!((&event["kind"], &event["component"]), (&"log".into(), &"hello".into()));
    }
    // What is asked for and is not there.
    let (_, stderr) = hello.expect(64, &["logs", "development", "helo"]);
    assert!(stderr.contains("did you mean `hello`?"), "{stderr}");
    let (_, stderr) = hello.expect(64, &["logs", "development", "--revision", "hello-0"]);
    assert!(stderr.contains("no log of revision `hello-0`"), "{stderr}");
}
