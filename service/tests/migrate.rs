//! `neuroca migrate` beside processes that write without a pause.

mod harness;

use std::process::Output;
use std::time::{Duration, Instant};

use harness::{migrated, neuroca};
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};

async fn writer(dir: &std::path::Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("neuroca.db"));
    let mut connection = options.connect().await.expect("connects");
    connection.execute("BEGIN IMMEDIATE").await.expect("takes the write lock");
    connection.execute("UPDATE schema_state SET version = version").await.expect("writes");
    connection
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn with_nothing_to_do_it_does_not_wait_for_a_writer() {
    let dir = migrated();
    let mut holding = writer(dir.path()).await;
    let begun = Instant::now();
    let output = neuroca(dir.path(), "migrate").output().expect("it runs");
    let text = text(&output);
    assert!(output.status.success() && text.contains("nothing to do"), "{text}");
    // Waiting for the lock takes 30 s and more.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    holding.execute("ROLLBACK").await.expect("rolls back");
    holding.close().await.expect("closes");
}

#[tokio::test]
async fn other_contents_of_an_applied_migration_are_told_at_once_too() {
    let dir = migrated();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("neuroca.db"));
    let mut connection = options.connect().await.expect("connects");
    connection
        .execute("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2")
        .await
        .expect("updates");
    connection.close().await.expect("closes");
    let mut holding = writer(dir.path()).await;
    let output = neuroca(dir.path(), "migrate").output().expect("it runs");
    let text = text(&output);
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains("migration 2 was applied to this database with other contents"),
        "{text}"
    );
    holding.execute("ROLLBACK").await.expect("rolls back");
    holding.close().await.expect("closes");
}

#[tokio::test]
async fn with_something_to_do_it_waits_for_its_turn() {
    let dir = migrated();
    let undone = neuroca(dir.path(), "rollback").output().expect("it runs");
    assert!(undone.status.success(), "{}", text(&undone));
    let mut holding = writer(dir.path()).await;
    let waiting = neuroca(dir.path(), "migrate")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    holding.execute("COMMIT").await.expect("commits");
    holding.close().await.expect("closes");
    let output = waiting.wait_with_output().expect("it ends");
    let text = text(&output);
    assert!(output.status.success() && text.contains("went from schema"), "{text}");
}
