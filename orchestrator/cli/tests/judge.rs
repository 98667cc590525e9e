//! `judge`: what a recording comes to, by its exit code and its lines.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let project = Self { dir };
        let made = project.run(&["init", "--name", "demo", "."], "");
        assert!(made.status.success(), "{}", text(&made.stderr));
        project
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"))
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        // A command that has seen enough closes its end.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    fn judge(&self, input: &str) -> Output {
        self.run(&["judge", "production"], input)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(out: &Output) -> Vec<Value> {
    let stdout = text(&out.stdout);
    stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// `count` windows of two seconds; `side(n)` gives (canary requests, errors, stable requests, errors).
fn windows(count: u64, side: impl Fn(u64) -> (u64, u64, u64, u64)) -> String {
    let mut text = String::new();
    for n in 1..=count {
        let (a, b, c, d) = side(n);
        writeln!(
            text,
            r#"{{"t": {}, "canary": {{"requests": {a}, "errors": {b}}}, "stable": {{"requests": {c}, "errors": {d}}}}}"#,
            2 * n
        )
        .expect("a string takes it");
    }
    text
}

/// The same with latencies: shares in percent slower than each bound.
fn with_latency(count: u64, canary: &[(&str, u64)], stable: &[(&str, u64)]) -> String {
    let side = |requests: u64, shares: &[(&str, u64)]| {
        let slower: Vec<String> = shares
            .iter()
            .map(|(bound, percent)| format!("\"{bound}\": {}", requests * percent / 100))
            .collect();
        format!(
            r#"{{"requests": {requests}, "errors": 0, "slower_than": {{{}}}}}"#,
            slower.join(", ")
        )
    };
    let (canary, stable) = (side(100, canary), side(900, stable));
    (1..=count)
        .map(|n| format!("{{\"t\": {}, \"canary\": {canary}, \"stable\": {stable}}}\n", 2 * n))
        .collect()
}

#[test]
fn a_release_with_more_errors_is_worse() {
    let out = Project::new().judge(&windows(30, |n| (20, n % 2 * 2, 180, n % 10 / 9)));
    assert_eq!(out.status.code(), Some(5), "{}", text(&out.stderr));
    let lines = lines(&out);
    assert_eq!(lines.len(), 31, "one line a window, and the last word");
    for line in &lines[..30] {
        assert_eq!((&line["format"], &line["kind"]), (&1.into(), &"window".into()));
    }
    assert_eq!(lines[0]["verdict"], "inconclusive");
    let last = &lines[30];
    assert_eq!((&last["kind"], &last["verdict"]), (&"verdict".into(), &"worse".into()));
    assert_eq!(last["windows"], 30);
    assert_eq!(last["alarm"]["metric"], "errors");
    assert!(last["reason"].as_str().expect("why").starts_with("api has more errors: "));
    assert_eq!(last["components"]["api"]["canary"]["requests"], 600);
    // It was known long before the end, and nothing later took it back.
    let decided = last["decided_t"].as_f64().expect("a time");
    assert!(decided < 40.0, "{decided}");
    let worse = lines[..30].iter().filter(|line| line["verdict"] == "worse");
    assert_eq!(worse.count(), 31 - (decided / 2.0) as usize);
}

#[test]
fn a_release_as_good_as_the_old_one_is_better_or_equal() {
    let shares = [("0.1", 50), ("0.115", 35), ("0.132", 20), ("0.152", 8), ("0.175", 2)];
    let out = Project::new().judge(&with_latency(200, &shares, &shares));
    let lines = lines(&out);
    let last = lines.last().expect("a verdict");
    assert_eq!(out.status.code(), Some(0), "{last}");
    assert_eq!(last["verdict"], "better_or_equal");
    assert_eq!(last["reason"], Value::Null);
    assert_eq!(last["notes"], Value::Array(Vec::new()));
}

#[test]
fn a_slower_release_is_worse() {
    let stable = [("0.1", 50), ("0.115", 35), ("0.132", 20), ("0.152", 8), ("0.175", 2)];
    let canary = [("0.1", 90), ("0.115", 80), ("0.132", 70), ("0.152", 50), ("0.175", 35)];
    let out = Project::new().judge(&with_latency(60, &canary, &stable));
    assert_eq!(out.status.code(), Some(5));
    let lines = lines(&out);
    assert_eq!(lines.last().expect("a verdict")["alarm"]["metric"], "latency");
}

#[test]
fn no_data_is_inconclusive() {
    let project = Project::new();
    for (input, windows) in [
        (String::new(), 0),
        ("\n\n".into(), 0),
        (self::windows(500, |_| (0, 0, 0, 0)), 500),
        (self::windows(500, |_| (0, 0, 100, 1)), 500),
        (self::windows(3, |_| (10, 0, 90, 0)), 3),
    ] {
        let out = project.judge(&input);
        assert_eq!(out.status.code(), Some(8), "{}", text(&out.stderr));
        let lines = lines(&out);
        let last = lines.last().expect("a verdict");
        assert_eq!(last["verdict"], "inconclusive");
        assert_eq!(last["windows"], windows);
        assert!(last["reason"].is_string(), "{last}");
    }
}

#[test]
fn an_incident_that_both_share_is_nobodys_fault() {
    let out = Project::new().judge(&windows(120, |n| match n {
        40..60 => (20, 10, 180, 90),
        _ => (20, 0, 180, 0),
    }));
    assert_ne!(out.status.code(), Some(5), "{}", text(&out.stdout));
}

#[test]
fn without_an_old_release_errors_are_held_against_the_budget() {
    let line = |n: u64, errors: u64| {
        format!("{{\"t\": {n}, \"canary\": {{\"requests\": 20, \"errors\": {errors}}}}}\n")
    };
    let set = ["judge", "production", "--set", "rollout.analysis.latency.judged=false"];
    let project = Project::new();
    let bad: String = (1..60).map(|n| line(n, n % 2 * 4)).collect();
    assert_eq!(project.run(&set, &bad).status.code(), Some(5));
    let good: String = (1..60).map(|n| line(n, 0)).collect();
    assert_eq!(project.run(&set, &good).status.code(), Some(0));
}

#[test]
fn the_environments_own_policy_decides() {
    let project = Project::new();
    let input = windows(60, |n| (20, u64::from(n % 3 == 0), 180, n % 2));
    let code = |ratio: &str| {
        let set = format!("rollout.analysis.errors.odds_ratio={ratio}");
        project.run(&["judge", "production", "--set", &set], &input).status.code()
    };
    assert_eq!((code("1"), code("20")), (Some(5), Some(8)));
}

#[test]
fn coarse_bounds_say_what_they_can_show() {
    let coarse = [("0.05", 90), ("0.1", 40), ("0.25", 1)];
    let lines = lines(&Project::new().judge(&with_latency(20, &coarse, &coarse)));
    let notes = &lines.last().expect("a verdict")["notes"];
    assert!(notes[0].as_str().expect("a note").contains("more than about 2.00x"), "{notes}");
}

#[test]
fn a_line_that_is_no_window_is_told_with_its_number() {
    let project = Project::new();
    let good = windows(2, |_| (10, 0, 90, 0));
    let bad = |line: &str| {
        let out = project.judge(&format!("{good}\n{line}\n{good}"));
        assert_eq!(out.status.code(), Some(64), "{line}");
        assert_eq!(lines(&out).len(), 2, "what came before it was judged");
        text(&out.stderr)
    };
    let told = bad(r#"{"t": 6, "canary": {"requests": 10, "errors": NaN}}"#);
    assert_snapshot!(told, @r"
    error: stdin, line 4: not JSON: expected value (column 47)
    hint: a count that is not known (NaN, Infinity) is no count: leave the whole window out
    ");
    let told = bad(r#"{"t": 2, "canary": {"requests": 10, "errors": 0}}"#);
    assert!(told.contains("line 4: `t` is 2 and falls: the window before it ended at 4"), "{told}");
    let told = bad(r#"{"t": 6, "canary": {"requests": 10, "error": 0}}"#);
    assert!(told.contains("unknown field `canary.error`") && told.contains("`errors`"), "{told}");
}

#[test]
fn bad_bytes_and_endless_lines_are_refused() {
    let project = Project::new();
    let long = format!("{{\"t\": 1, {}", " ".repeat(2 << 20));
    let out = project.judge(&long);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("line 1: longer than 1 MiB"), "{}", text(&out.stderr));
    let mut child = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"))
        .args(["--json", "judge", "production"])
        .current_dir(project.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(&[0xff, 0xfe, b'\n']).expect("it reads");
    let out = child.wait_with_output().expect("it ends");
    assert_eq!(out.status.code(), Some(64));
    let lines = lines(&out);
    assert_eq!((lines.len(), &lines[0]["kind"]), (1, &"error".into()));
    assert_eq!(lines[0]["problems"][0]["message"], "not UTF-8");
}

#[test]
fn an_unknown_environment_is_a_usage_error() {
    let out = Project::new().run(&["judge", "prodution"], "");
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("did you mean `production`?"));
}

#[test]
fn a_verdict_comes_with_its_window_and_not_at_the_end() {
    use std::io::{BufRead, BufReader};
    let project = Project::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"))
        .args(["judge", "production"])
        .current_dir(project.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for line in windows(3, |_| (10, 0, 90, 0)).lines() {
        writeln!(stdin, "{line}").expect("it reads");
        let mut told = String::new();
        stdout.read_line(&mut told).expect("an answer, while more is to come");
        assert!(told.contains("\"kind\":\"window\""), "{told}");
    }
    drop(stdin);
    assert_eq!(child.wait().expect("it ends").code(), Some(8));
}
