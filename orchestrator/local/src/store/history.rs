//! Releases and what became of them.

use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::release::{Release, ReleaseId};
use neuroca_deploy_engine::ports::{HistoryEntry, StoreError, Who};
use rusqlite::OptionalExtension;

use super::{Store, from_json};

impl Store {
    /// Releases that were left half-way since the last run that left everything in order, newest first.
    pub(super) fn stranded(&self) -> Result<Vec<ReleaseId>, StoreError> {
        let ended =
            "SELECT release, outcome FROM journals WHERE outcome IS NOT NULL ORDER BY id DESC";
        let left: Vec<(String, String)> = self.read(|db| {
            let mut query = db.prepare_cached(ended)?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let stranded = |row: &rusqlite::Result<(String, String)>| match row {
                Ok((_, outcome)) => {
                    matches!(serde_json::from_str(outcome), Ok(Outcome::Stranded { .. }))
                }
                Err(_) => true,
            };
            rows.take_while(stranded).collect()
        })?;
        Ok(left.into_iter().map(|(release, _)| ReleaseId(release)).collect())
    }

    pub(crate) fn current_release(&self) -> Result<Option<(u64, ReleaseId)>, StoreError> {
        self.read(|db| {
            db.query_row(
                "SELECT id, release FROM journals WHERE deployed = 1 ORDER BY id DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, ReleaseId(row.get(1)?))),
            )
            .optional()
        })
    }

    /// The place in the history at which the release was last put into force.
    pub(crate) fn last_in_force(&self, release: &ReleaseId) -> Result<Option<u64>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT max(id) FROM journals WHERE release = ?1 AND deployed = 1")?
                .query_row([&release.0], |row| row.get(0))
        })
    }

    /// A release's record, as long as it is kept.
    pub fn release_record(&self, id: &ReleaseId) -> Result<Option<Release>, StoreError> {
        let found: Option<String> = self.read(|db| {
            db.query_row("SELECT record FROM releases WHERE id = ?1", [&id.0], |row| row.get(0))
                .optional()
        })?;
        found.map(|text| from_json("release record", &text)).transpose()
    }

    pub(super) fn latest(&self, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        let current = self.current_release()?.map(|(sequence, _)| sequence);
        let rows: Vec<(HistoryEntry, Option<String>)> = self.read(|db| {
            let mut query = db.prepare(
                "SELECT id, release, version, rollback, user, reason, started_ms, ended_ms, outcome \
                 FROM journals ORDER BY id DESC LIMIT ?1",
            )?;
            let rows = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                let sequence = row.get(0)?;
                let entry = HistoryEntry {
                    sequence,
                    release: ReleaseId(row.get(1)?),
                    version: row.get(2)?,
                    rollback: row.get(3)?,
                    who: Who { user: row.get(4)?, reason: row.get(5)? },
                    started_ms: row.get(6)?,
                    ended_ms: row.get(7)?,
                    current: Some(sequence) == current,
                    outcome: None,
                };
                Ok((entry, row.get(8)?))
            })?;
            rows.collect()
        })?;
        rows.into_iter()
            .map(|(mut entry, outcome)| {
                entry.outcome = outcome.map(|text| from_json("outcome", &text)).transpose()?;
                Ok(entry)
            })
            .collect()
    }
}
