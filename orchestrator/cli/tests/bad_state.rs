//! A state directory that cannot be written or read: the exit code, what is said, and that the release
//! goes on serving.

#[path = "hello/apart.rs"]
mod apart;
mod hello;

use apart::{SmallDisk, may_mount, read_only};
use hello::Hello;

const TWO: &str = "components.hello.env.GREETING=two";

/// Serves `one`, with `zero` to go back to.
fn serving(hello: &Hello) {
    hello.apply(0, &["components.hello.env.GREETING=zero"]);
    hello.apply(0, &[]);
    assert_eq!(hello.answer(), "one");
}

#[test]
fn a_full_disk_refuses_the_new_and_not_the_way_back() {
    if !may_mount() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let disk = SmallDisk::on(place.path(), 24);
    let mut hello = Hello::new();
    hello.variables = vec![("NEUROCA_DEPLOY_STATE_DIR".into(), place.path().display().to_string())];
    hello.before = disk.seen_from(hello.path());
    serving(&hello);

    disk.fill();
    let (_, stderr) = hello.apply(1, &[TWO]);
    assert!(stderr.contains("error: the disk is full: 0 KiB are free in "), "{stderr}");
    assert!(stderr.contains("hint: make room, then run the same command again"), "{stderr}");
    let (stdout, _) = hello.expect(1, &["doctor", "development"]);
    assert!(stdout.contains("only 0 MiB are free"), "{stdout}");
    assert_eq!(hello.answer(), "one");

    // Nothing of ours dies of it, and what dies otherwise comes back.
    let processes = hello.json(&["local", "status", "development"]);
    let supervisor = &processes["supervisor"]["pid"];
    hello::kill(supervisor.as_i64());
    hello::until("another supervisor", || {
        let out = hello.run(&["--json", "local", "status", "development"]);
        let now: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        out.status.success() && now["supervisor"]["pid"] != *supervisor
    });
    let now = hello.json(&["local", "status", "development"]);
    assert_eq!(
        (&now["keeper"]["pid"], &now["edges"][0]["pid"]),
        (&processes["keeper"]["pid"], &processes["edges"][0]["pid"])
    );
    assert_eq!(hello.answer(), "one");

    let (_, stderr) = hello.expect(0, &["rollback", "development", "-y"]);
    assert!(stderr.contains("going on with the 2 MiB that were set aside"), "{stderr}");
    assert_eq!(hello.answer(), "zero");

    disk.make_room();
    hello.apply(0, &[TWO]);
    assert_eq!(hello.answer(), "two");
    // Room is set aside anew.
    disk.fill();
    hello.expect(0, &["rollback", "development", "-y"]);
    disk.make_room();
}

#[test]
fn an_artifact_for_which_there_is_no_room() {
    if !may_mount() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let disk = SmallDisk::on(place.path(), 24);
    let mut hello = Hello::new();
    hello.variables = vec![("NEUROCA_DEPLOY_STATE_DIR".into(), place.path().display().to_string())];
    hello.before = disk.seen_from(hello.path());
    serving(&hello);
    std::fs::write(hello.path().join("app/large"), vec![7; 40 << 20]).expect("written");
    let (_, stderr) = hello.apply(1, &[]);
    assert!(stderr.contains("cannot store the artifact in "), "{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert!(stderr.contains("hint: make room"), "{stderr}");
    assert_eq!(hello.answer(), "one");
    std::fs::remove_file(hello.path().join("app/large")).expect("removed");
    hello.apply(0, &[TWO]);
    assert_eq!(hello.answer(), "two");
}

#[test]
fn a_read_only_state_directory() {
    if !may_mount() {
        return;
    }
    let mut hello = Hello::new();
    serving(&hello);
    hello.before = read_only(&hello.path().join("state"));
    for words in [
        &["apply", "development", "-y", "--set", TWO][..],
        &["rollback", "development", "-y"],
        &["restart", "development"],
        &["rollout", "abort", "development"],
    ] {
        let (_, stderr) = hello.expect(1, words);
        let aborts = words[0] == "rollout";
        assert!(aborts || stderr.contains("attempt to write a readonly database"), "{stderr}");
        assert!(stderr.contains("hint: "), "{stderr}");
    }
    let (stdout, _) = hello.expect(1, &["doctor", "development"]);
    assert!(stdout.contains("readonly database"), "{stdout}");
    // Looking needs no writing.
    hello.expect(0, &["plan", "development"]);
    hello.expect(0, &["history", "development"]);
    let (status, _) = hello.expect(0, &["status", "development"]);
    assert!(status.contains("serving"), "{status}");
    assert_eq!(hello.answer(), "one");
    hello.before.clear();
    hello.expect(0, &["rollback", "development", "-y"]);
    assert_eq!(hello.answer(), "zero");

    // From the beginning.
    let mut fresh = Hello::new();
    std::fs::create_dir(fresh.path().join("state")).expect("made");
    fresh.before = read_only(&fresh.path().join("state"));
    let (_, stderr) = fresh.apply(1, &[]);
    assert!(stderr.contains("as state directory: Read-only file system"), "{stderr}");
    assert!(
        stderr.contains("hint: it is on a read-only file system; choose another one"),
        "{stderr}"
    );
    fresh.before.clear();
}

#[test]
fn a_damaged_or_newer_database_while_it_serves() {
    let hello = Hello::new();
    serving(&hello);
    let database = hello.state().join("state.db");
    let told = |exit: i32, text: &str| {
        for words in [
            &["status", "development"][..],
            &["plan", "development"],
            &["apply", "development", "-y", "--set", TWO],
            &["rollback", "development", "-y"],
            &["rollout", "pause", "development"],
            &["destroy", "development", "-y"],
        ] {
            let (_, stderr) = hello.expect(exit, words);
            assert!(stderr.contains(text) && stderr.contains("hint:"), "{words:?}: {stderr}");
        }
        let mut words = vec!["--json"];
        words.extend(["status", "development"]);
        let (stdout, _) = hello.expect(exit, &words);
        let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(document["reason"], "state");
        assert_eq!(hello.answer(), "one");
    };
    let version = |version: Option<i64>| {
        let db = rusqlite::Connection::open(&database).expect("opened");
        let found: i64 = db.pragma_query_value(None, "user_version", |r| r.get(0)).expect("read");
        if let Some(version) = version {
            db.pragma_update(None, "user_version", version).expect("written");
        }
        found
    };
    let ours = version(Some(99));
    told(7, "has version 99, this neuroca-deploy reads up to");
    version(Some(ours));
    hello.expect(0, &["rollback", "development", "-y"]);
    hello.expect(0, &["apply", "development", "-y"]);

    let copy = hello.path().join("copy.db");
    rusqlite::Connection::open(&database)
        .and_then(|db| db.execute("VACUUM INTO ?1", [copy.to_str()]))
        .expect("copied");
    for end in ["", "-wal"] {
        let file = format!("{}{end}", database.display());
        std::fs::write(file, "this was a database").expect("written");
    }
    told(7, "damaged");
    // Not even the supervisor has to live.
    hello::kill(hello.json(&["local", "status", "development"])["supervisor"]["pid"].as_i64());
    told(7, "damaged");

    // As the hint says.
    hello.expect(0, &["local", "stop", "development"]);
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
    std::fs::rename(&copy, &database).expect("restored");
    hello.expect(0, &["local", "start", "development"]);
    hello::until("it serves", || hello.is_answering());
    assert_eq!(hello.answer(), "one");
    hello.expect(0, &["rollback", "development", "-y"]);
    assert_eq!(hello.answer(), "zero");
}
