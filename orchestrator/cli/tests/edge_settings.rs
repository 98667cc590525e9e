//! What an environment file says of the edge, seen by clients of a real deployment.
#![allow(clippy::print_stderr)] // what is left out is said

mod hello;

use std::process::Command;

use hello::{Hello, told, until};

/// A certificate for `localhost` and its key, in the project's folder.
fn certificate(hello: &Hello, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("made");
    hello.write(&format!("{name}.pem"), &made.cert.pem());
    hello.write(&format!("{name}.key"), &made.signing_key.serialize_pem());
}

fn has_curl() -> bool {
    let has = Command::new("curl").arg("--version").output().is_ok();
    if !has {
        assert!(std::env::var_os("CI").is_none(), "CI leaves nothing out: curl is missing");
        eprintln!("!!! LEFT OUT: curl is missing");
    }
    has
}

/// What a client that is not ours says: the answer and the version of HTTP.
fn curl(hello: &Hello, trusted: &str, more: &[&str]) -> Result<String, String> {
    let out = Command::new("curl")
        .args(["-sS", "-w", " HTTP/%{http_version}", "--cacert", trusted])
        .args(more)
        .arg(format!("https://localhost:{}/", hello.port))
        .current_dir(hello.path())
        .output()
        .expect("curl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

#[test]
fn tls_from_files_that_are_read_again_when_they_change() {
    if !has_curl() {
        return;
    }
    let hello = Hello::new();
    certificate(&hello, "one");
    certificate(&hello, "two");
    let copy = |from: &str| {
        for end in ["pem", "key"] {
            // Replaced in one step, as those who renew certificates do.
            let (from, to) = (format!("{from}.{end}"), hello.path().join(format!("edge.{end}")));
            let new = hello.path().join("new");
            std::fs::copy(hello.path().join(from), &new).expect("copied");
            std::fs::rename(new, to).expect("renamed");
        }
    };
    copy("one");
    let tls = "edge.tls={cert: edge.pem, key: edge.key}";
    let (stdout, _) = hello.apply(0, &[tls]);
    assert!(stdout.contains(&format!("https://127.0.0.1:{}", hello.port)), "{stdout}");
    assert_eq!(curl(&hello, "one.pem", &[]), Ok("one HTTP/2".into()));
    assert_eq!(curl(&hello, "one.pem", &["--http1.1"]), Ok("one HTTP/1.1".into()));
    assert!(curl(&hello, "two.pem", &[]).is_err_and(|e| e.contains("certificate")));

    copy("two");
    until("the new certificate", || curl(&hello, "two.pem", &[]).is_ok());
    // What cannot be used changes nothing.
    hello.write("edge.pem", "no certificate\n");
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(curl(&hello, "two.pem", &[]), Ok("one HTTP/2".into()));
    copy("two");

    // A release with files that are not there, or do not belong together, is turned back.
    for (tls, what) in [
        ("edge.tls={cert: nowhere.pem, key: edge.key}", "nowhere.pem"),
        ("edge.tls={cert: one.pem, key: two.key}", "one.pem"),
        ("edge.tls={cert: environments/base.yaml, key: two.key}", "environments/base.yaml"),
    ] {
        let (_, stderr) = hello.apply(5, &[tls, "components.hello.env.GREETING=two"]);
        assert!(stderr.contains(what) && stderr.contains("\nhint: "), "{stderr}");
        assert_eq!(curl(&hello, "two.pem", &[]), Ok("one HTTP/2".into()));
    }
    hello.apply(0, &[tls, "components.hello.env.GREETING=two"]);
    assert_eq!(curl(&hello, "two.pem", &[]), Ok("two HTTP/2".into()));

    // Somebody goes back from a folder that has no files.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let words = ["rollback", "development", "-y"];
    let out = hello.command(&words).current_dir(elsewhere.path()).output().expect("runs");
    told(0, &words, out);
    assert_eq!(curl(&hello, "two.pem", &[]), Ok("one HTTP/2".into()));
    // From TLS to none on the same address.
    hello.apply(0, &["components.hello.env.GREETING=plain"]);
    assert_eq!(hello.answer(), "plain");
}

/// Holds a rollout in its test phase, where the new revision gets what asks for it and nothing else.
fn held(hello: &Hello, more: &[&str]) -> std::process::Child {
    let go = hello.path().join("go");
    let hook = format!(
        "components.hello.hooks.smoke_test=[sh, -c, 'until test -e {}; do sleep 0.05; done']",
        go.display()
    );
    let run = hello.begin(&[&[hook.as_str(), "components.hello.env.GREETING=two"], more].concat());
    hello.until_phase("testing");
    run
}

#[test]
fn headers_choose_the_side_while_both_are_there() {
    let hello = Hello::new();
    let routes = "edge.header_routes=[{header: x-group, value: beta, to: canary}, \
                  {header: x-group, value: old, to: stable}]";
    hello.apply(0, &[routes]);
    assert_eq!(hello.get_with("/", "x-group: beta"), "one", "there is nothing else");
    let run = held(&hello, &[routes]);
    assert_eq!(hello.answer(), "one");
    assert_eq!(hello.get_with("/", "x-neuroca-preview: 1"), "two");
    assert_eq!(hello.get_with("/", "X-Group: beta"), "two");
    assert_eq!(hello.get_with("/", "x-group: old"), "one");
    assert_eq!(hello.get_with("/", "x-group: other"), "one");
    hello.write("go", "");
    told(0, &["apply"], run.wait_with_output().expect("ends"));
    for header in ["x-group: old", "x-group: beta", "x-group: other"] {
        assert_eq!(hello.get_with("/", header), "two");
    }
}

#[test]
fn requests_are_mirrored_to_the_new_and_answered_by_the_old() {
    let hello = Hello::new();
    let mirror = "edge.mirror_percent=100";
    hello.apply(0, &[mirror]);
    let run = held(&hello, &[mirror, "components.hello.env.TRACE=1"]);
    for n in 0..20 {
        assert_eq!(hello.get(&format!("/mirrored-{n}")), "one");
    }
    until("all of them came", || {
        let log = hello.log_of("two");
        (0..20).all(|n| log.contains(&format!("asked /mirrored-{n}\n")))
    });
    hello.write("go", "");
    told(0, &["apply"], run.wait_with_output().expect("ends"));
    // Nothing is asked twice once there is one side.
    assert_eq!(hello.get("/alone"), "two");
    assert_eq!(hello.log_of("two").matches("asked /alone\n").count(), 1);
}

#[test]
fn the_access_log_is_whole_after_edges_took_over_from_each_other() {
    let hello = Hello::new();
    hello.apply(0, &[]);
    for n in 0..5 {
        for m in 0..20 {
            hello.get(&format!("/{n}-{m}"));
        }
        hello.expect(0, &["local", "upgrade", "development"]);
    }
    let folder = hello.state().join("edge");
    let lines = || -> Vec<String> {
        let files = std::fs::read_dir(&folder).expect("there").flatten();
        let logs = files.filter(|f| f.file_name().to_string_lossy().starts_with("access.log"));
        let texts = logs.map(|f| std::fs::read_to_string(f.path()).expect("readable"));
        texts.flat_map(|t| t.lines().map(str::to_string).collect::<Vec<_>>()).collect()
    };
    until("every request has its line", || {
        let all = lines();
        let has = |path: String| all.iter().filter(|l| l.contains(&path)).count() == 1;
        (0..5).all(|n| (0..20).all(|m| has(format!("\"/{n}-{m}\""))))
    });
    assert!(lines().iter().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
}
