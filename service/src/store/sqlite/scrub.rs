//! Takes out of the files what was replaced by something sealed: pages are overwritten as they are let go of
//! (`secure_delete`), but hashes stay in the index until it is merged, and pages in the log until it is emptied.

use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Executor};

use super::writer::Writer;
use crate::store::StoreError;

/// Pages that one transaction merges: others write between two.
const PAGES: i64 = 500;
/// Readers that hold the log open are waited for so long.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn scrub(writer: &Writer, path: &Path) -> Result<(), StoreError> {
    for table in ["memory_terms", "memory_grams"] {
        // Negative: of all segments, however few there are.
        let mut pages = -PAGES;
        while merge(writer, table, pages).await? {
            pages = PAGES;
        }
    }
    empty_log(path).await
}

/// Whether there was something to merge.
async fn merge(writer: &Writer, table: &'static str, pages: i64) -> Result<bool, StoreError> {
    let sql = match table {
        "memory_terms" => "INSERT INTO memory_terms (memory_terms, rank) VALUES ('merge', $1)",
        _ => "INSERT INTO memory_grams (memory_grams, rank) VALUES ('merge', $1)",
    };
    writer
        .run(move |on| {
            Box::pin(async move {
                const CHANGES: &str = "SELECT total_changes()";
                let before: i64 = sqlx::query_scalar(CHANGES).fetch_one(&mut *on).await?;
                sqlx::query(sql).bind(pages).execute(&mut *on).await?;
                let after: i64 = sqlx::query_scalar(CHANGES).fetch_one(on).await?;
                // The insertion itself counts one.
                Ok(after - before >= 2)
            })
        })
        .await
}

async fn empty_log(path: &Path) -> Result<(), StoreError> {
    let mut connection = super::options(path).connect().await?;
    for _ in 0..TRIES {
        let row: (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await?;
        if row.0 == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    connection.execute("PRAGMA optimize").await?;
    connection.close().await?;
    Ok(())
}
