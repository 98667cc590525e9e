//! Digests of files that were read before, so that a plan without changes stays quick.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::{OptionalExtension, params};

use super::Store;

/// A file that changed less than this ago may change again without another time stamp.
const SETTLED_AFTER_NS: i64 = 2_000_000_000;

impl Store {
    /// The digest of the file as it was seen with the same size, inode and times.
    pub fn known_digest(&self, path: &Path, found: &Metadata) -> Option<String> {
        let path = path.to_str()?;
        self.read(|db| {
            db.prepare_cached(
                "SELECT digest FROM digests WHERE path = ?1 AND size = ?2 AND inode = ?3 \
                 AND modified_ns = ?4 AND changed_ns = ?5",
            )?
            .query_row(
                params![path, found.size(), found.ino() as i64, modified(found), changed(found)],
                |row| row.get(0),
            )
            .optional()
        })
        .ok()
        .flatten()
    }

    /// Remembers digests. That is a convenience: a failure to do so changes nothing.
    pub fn remember_digests(&self, digests: &[(&Path, &Metadata, &str)]) {
        let now = crate::process_id::wall_ms() as i64 * 1_000_000;
        let settled: Vec<_> = digests
            .iter()
            .filter(|(_, m, _)| changed(m).max(modified(m)) + SETTLED_AFTER_NS < now)
            .collect();
        // Not worth the room that is set aside for going back.
        if settled.is_empty() || !self.state.has_room() {
            return;
        }
        let written = self.write(|tx| {
            for (path, found, digest) in &settled {
                let Some(path) = path.to_str() else { continue };
                tx.execute(
                    "INSERT OR REPLACE INTO digests VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        path,
                        found.size(),
                        found.ino() as i64,
                        modified(found),
                        changed(found),
                        digest
                    ],
                )?;
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::debug!(%error, "digests were not remembered");
        }
    }
}

fn modified(found: &Metadata) -> i64 {
    found.mtime() * 1_000_000_000 + found.mtime_nsec()
}

fn changed(found: &Metadata) -> i64 {
    found.ctime() * 1_000_000_000 + found.ctime_nsec()
}
