//! What somebody sees who has the database and not the key.

use std::path::Path;
use std::process::Command;

use neuroca::search::Vocabulary;
use neuroca::tenant::Tenant;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::harness::database::Database;
use super::{JSON, KEY, rekeyed, search, tell};

/// Does `sql` on the database itself; the only column of what comes, which has to be text.
pub fn column(database: &Database, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(sql.to_owned());
    let work = async {
        match database.url.strip_prefix("sqlite://") {
            Some(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                let mut raw = options.connect().await.expect("opens");
                let rows = sqlx::query_scalar(sql).fetch_all(&mut raw).await.expect("answers");
                raw.close().await.expect("closes");
                rows
            }
            None => {
                let options: PgConnectOptions = database.url.parse().expect("a URL");
                let mut raw = options.connect().await.expect("connects");
                let rows = sqlx::query_scalar(sql).fetch_all(&mut raw).await.expect("answers");
                raw.close().await.expect("closes");
                rows
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Everything that a wrong key could spoil.
pub fn rows(database: &Database) -> Vec<String> {
    column(
        database,
        "SELECT content || metadata || CAST(key_version AS TEXT) FROM memories UNION ALL \
         SELECT tenant || wrapped_by || CAST(version AS TEXT) FROM data_keys UNION ALL \
         SELECT wrapped_by FROM sealing ORDER BY 1",
    )
}

pub fn sealed_under(database: &Database, version: i64) -> i64 {
    let sql = format!("SELECT CAST(count(*) AS TEXT) FROM memories WHERE key_version = {version}");
    column(database, &sql)[0].parse().expect("a number")
}

/// Of the keys that there are.
pub fn versions(database: &Database) -> Vec<i64> {
    let all = column(database, "SELECT CAST(version AS TEXT) FROM data_keys ORDER BY version");
    all.iter().map(|version| version.parse().expect("a number")).collect()
}

/// The files, the write-ahead log and the dump of a database, one after the other.
fn everything(database: &Database, log_from: &str) -> Vec<u8> {
    if database.url.starts_with("sqlite://") {
        let files = std::fs::read_dir(database.dir.path()).expect("a folder");
        return files
            .flat_map(|file| std::fs::read(file.expect("a file").path()).expect("is read"))
            .collect();
    }
    column(database, "CHECKPOINT");
    let mut all = hex(&column(
        database,
        "SELECT encode(pg_read_binary_file(pg_relation_filepath(oid)), 'hex') FROM pg_class \
         WHERE relkind IN ('r', 'i', 't') AND relname NOT LIKE 'pg\\_%' OR relkind = 't'",
    ));
    all.extend(hex(&column(
        database,
        &format!(
            "SELECT encode(pg_read_binary_file('pg_wal/' || name), 'hex') FROM pg_ls_waldir() \
             WHERE name BETWEEN '{log_from}' AND pg_walfile_name(pg_current_wal_lsn())"
        ),
    )));
    let programs = &column(database, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")[0];
    let dump = Command::new(Path::new(programs).join("pg_dump")).arg(&database.url).output();
    let dump = dump.expect("pg_dump runs");
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    all.extend(dump.stdout);
    all
}

/// Where the write-ahead log of a server is now.
fn log_now(database: &Database) -> String {
    match database.url.starts_with("sqlite://") {
        true => String::new(),
        false => column(database, "SELECT pg_walfile_name(pg_current_wal_lsn())").remove(0),
    }
}

fn hex(texts: &[String]) -> Vec<u8> {
    let digits = texts.iter().flat_map(|text| text.as_bytes().chunks(2));
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).expect("digits"), 16);
    digits.map(|two| byte(two).expect("a byte")).collect()
}

fn holds(all: &[u8], what: &[u8]) -> bool {
    let mut from = all;
    while let Some(at) = from.iter().position(|byte| *byte == what[0]) {
        if from[at..].starts_with(what) {
            return true;
        }
        from = &from[at + 1..];
    }
    false
}

/// What is told in one test, and in no other: a server has one log for all of its databases.
struct Canary {
    word: &'static str,
    stem: &'static str,
    note: &'static str,
}

const SEALED: Canary = Canary { word: "xylocanary", stem: "xylocanari", note: "quizzacanary" };
const CLEAR: Canary = Canary { word: "zephocanary", stem: "zephocanari", note: "vexxacanary" };

impl Canary {
    fn content(&self) -> String {
        format!("Ann told us of the {}", self.word)
    }
}

/// The words, and the hashes that a dictionary could be tried on.
fn traces(all: &[u8], canary: &Canary) -> Vec<String> {
    let words = Vocabulary::new(&Tenant::default());
    let term = words.term(canary.stem);
    let mut found = Vec::new();
    for (what, bytes) in [
        ("the word", canary.stem.into()),
        ("a note", canary.note.into()),
        ("a hashed word", format!("{term:08x}").into_bytes()),
        ("a hashed word as a number", term.to_string().into_bytes()),
        ("a hashed word in bytes", term.to_le_bytes().to_vec()),
        ("a hash of the content", words.content_hash(&canary.content())),
    ] {
        if holds(all, &bytes) {
            found.push(what.to_owned());
        }
    }
    found
}

fn story(running: &super::Running, canary: &Canary) {
    let body = serde_json::json!({
        "content": canary.content(), "tier": "long_term", "subject": "ann",
        "metadata": {"note": canary.note},
    });
    let key = [("idempotency-key", "k")];
    let answer = running.post(&key, &body.to_string());
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = format!("/v1/memories/{}", answer.json()["id"].as_str().expect("an id"));
    let change = serde_json::json!({"content": canary.content() + " and a dog"}).to_string();
    let answer = running.connect().request("PATCH", &path, &[JSON], &change);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn what_was_told_is_in_no_file_no_log_and_no_dump() {
    for database in Database::each_with(&[KEY]) {
        let log_from = log_now(&database);
        let running = database.serve(&[]);
        story(&running, &SEALED);
        assert_eq!(search(&running, SEALED.word).len(), 1, "its owner finds it");
        let export = running.get("/v1/subjects/ann/export");
        assert!(export.body.contains(SEALED.note), "{export:?}");
        assert_eq!(traces(&everything(&database, &log_from), &SEALED), [""; 0], "{}", database.url);
        drop(running);
        assert_eq!(traces(&everything(&database, &log_from), &SEALED), [""; 0], "{}", database.url);
        let running = database.serve(&[]);
        let gone = running.connect().request("DELETE", "/v1/subjects/ann", &[], "");
        assert_eq!(gone.json()["removed"]["memories"], 1, "{gone:?}");
        for table in ["memories", "memory_versions", "memory_vectors", "idempotency_keys"] {
            let left = column(&database, &format!("SELECT CAST(count(*) AS TEXT) FROM {table}"));
            assert_eq!(left, ["0"], "{table}");
        }
    }
}

#[test]
fn without_a_key_the_search_for_traces_finds_them() {
    for database in Database::each() {
        let log_from = log_now(&database);
        let running = database.serve(&[]);
        story(&running, &CLEAR);
        let found = traces(&everything(&database, &log_from), &CLEAR);
        assert!(found.len() >= 4, "{}: {found:?}", database.url);
    }
}

#[test]
fn nothing_is_left_in_a_sqlite_file_of_what_was_there_before_encryption() {
    let database = Database::each().remove(0);
    let running = database.serve(&[]);
    story(&running, &SEALED);
    drop(running);
    let database = database.with(&[KEY]);
    rekeyed(&database, &[]);
    assert_eq!(traces(&everything(&database, ""), &SEALED), [""; 0]);
    let running = database.serve(&[]);
    assert_eq!(search(&running, SEALED.word).len(), 1);
}

#[test]
fn a_row_that_was_moved_or_changed_is_refused() {
    for database in Database::each_with(&[KEY]) {
        let running = database.serve(&[]);
        let id = |content| {
            let answer = tell(&running, content, &[]);
            answer.json()["id"].as_str().expect("an id").to_owned()
        };
        let (one, two, three) = (id("Ann likes tea"), id("Bob likes coffee"), id("Eve likes milk"));
        let name = |id: &str| match database.url.starts_with("sqlite") {
            true => format!("x'{}'", id.replace('-', "")),
            false => format!("'{id}'"),
        };
        // One gets the text of another, one its own text as metadata.
        column(
            &database,
            &format!(
                "UPDATE memories SET content = (SELECT content FROM memories WHERE id = {}) \
                 WHERE id = {} RETURNING content",
                name(&one),
                name(&two)
            ),
        );
        let own = format!(
            "UPDATE memories SET metadata = content WHERE id = {} RETURNING content",
            name(&three)
        );
        column(&database, &own);
        for id in [&two, &three] {
            let answer = running.get(&format!("/v1/memories/{id}"));
            assert_eq!(answer.status, 500, "{answer:?}");
            assert!(!answer.body.contains("likes"), "{answer:?}");
        }
        assert_eq!(running.get(&format!("/v1/memories/{one}")).json()["content"], "Ann likes tea");
    }
}

#[test]
fn neither_a_row_nor_a_key_of_one_tenant_opens_for_another() {
    for database in Database::each_with(&[KEY, super::harness::REQUIRED]) {
        let token = |tenant: &str| {
            let mut command = database.command("keys");
            command.args(["create", "--tenant", tenant, "--name", "k", "--role", "agent"]);
            let output = command.output().expect("it runs");
            format!("Bearer {}", super::text(&output).trim())
        };
        let (a, b) = (token("a"), token("b"));
        let running = database.serve(&[]);
        let told = tell(&running, "a has a secret", &[("authorization", &a)]);
        assert_eq!(told.status, 201, "{told:?}");
        assert_eq!(tell(&running, "b has another", &[("authorization", &b)]).status, 201);
        drop(running);
        // Whoever can write to the database gives a's row to b, and then a's key as well.
        column(&database, "UPDATE memories SET tenant = 'b' WHERE tenant = 'a' RETURNING tenant");
        let path = format!("/v1/memories/{}", told.json()["id"].as_str().expect("an id"));
        let asked = || {
            let running = database.serve(&[]);
            let answer = running.connect().request("GET", &path, &[("authorization", &b)], "");
            assert!(!answer.body.contains("secret"), "{answer:?}");
            answer.status
        };
        assert_eq!(asked(), 500);
        column(
            &database,
            "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE tenant = 'a') \
             WHERE tenant = 'b' RETURNING tenant",
        );
        assert_eq!(asked(), 500);
    }
}
