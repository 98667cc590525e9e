//! What may go. Never anything that a kept release, a running process or an open run needs.

use std::collections::BTreeSet;

use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::release::{Release, ReleaseId, RevisionId};
use neuroca_deploy_engine::ports::StoreError;
use rusqlite::params;

use super::{Store, from_json};
use crate::{artifacts, logs};

/// Runs whose journals are kept for a look back; the history itself stays whole.
const JOURNALS_KEPT: i64 = 50;

/// What was removed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pruned {
    pub releases: usize,
    pub artifacts: usize,
}

impl Store {
    /// Removes what the retention of the current release does not keep.
    pub fn prune(&self) -> Result<Pruned, StoreError> {
        let Some((_, current)) = self.current_release()? else { return Ok(Pruned::default()) };
        let Some(record) = self.release_record(&current)? else { return Ok(Pruned::default()) };
        let keep = self.kept_releases(record.retention.releases)?;
        let gone: Vec<String> =
            self.release_ids()?.into_iter().filter(|id| !keep.contains(id)).collect();
        if !gone.is_empty() {
            self.write(|tx| {
                for id in &gone {
                    tx.execute("DELETE FROM releases WHERE id = ?1", [id])?;
                    tx.execute("DELETE FROM sealed WHERE release = ?1", [id])?;
                }
                Ok(())
            })?;
        }
        self.write(|tx| {
            let oldest: i64 = tx.query_row(
                "SELECT coalesce(max(id), 0) - ?1 FROM journals",
                [JOURNALS_KEPT],
                |row| row.get(0),
            )?;
            let closed =
                "journal <= ?1 AND journal NOT IN (SELECT id FROM journals WHERE ended_ms IS NULL)";
            tx.execute(&format!("DELETE FROM records WHERE {closed}"), [oldest])?;
            tx.execute(&format!("DELETE FROM plans WHERE {closed}"), [oldest])?;
            Ok(())
        })?;
        let (needed, revisions) = self.needed()?;
        let removed =
            artifacts::remove_unneeded(&self.state, &needed, record.retention.artifact_bytes.0);
        logs::remove_unneeded(&self.state, &revisions);
        Ok(Pruned { releases: gone.len(), artifacts: removed })
    }

    /// The newest `count` releases that were deployed, the newest that were tried, and those that
    /// something depends on.
    fn kept_releases(&self, count: u32) -> Result<BTreeSet<String>, StoreError> {
        let mut keep: BTreeSet<String> = self.read(|db| {
            let mut query = db.prepare(
                "SELECT release FROM journals WHERE deployed = 1 GROUP BY release \
                 ORDER BY max(id) DESC LIMIT ?1",
            )?;
            let deployed: Vec<String> = query
                .query_map(params![count.max(1)], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut query = db.prepare("SELECT release FROM journals ORDER BY id DESC LIMIT ?1")?;
            let tried: Vec<String> = query
                .query_map(params![count.max(1)], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut query = db.prepare(
                "SELECT release FROM wanted UNION SELECT release FROM journals WHERE ended_ms IS NULL",
            )?;
            let in_use: Vec<String> =
                query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(deployed.into_iter().chain(tried).chain(in_use).collect())
        })?;
        keep.extend(self.traffic()?.map(|(_, t)| t.settings.0));
        if let Some(open) = self.unfinished_journal()? {
            keep.extend(open.plan.base.release.map(|r| r.0));
            keep.extend(open.plan.rollout.previous.map(|r| r.0));
        }
        Ok(keep)
    }

    fn release_ids(&self) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            let mut query = db.prepare("SELECT id FROM releases")?;
            query.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// The artifacts and the revisions of the releases that are kept.
    fn needed(&self) -> Result<(BTreeSet<Digest>, BTreeSet<RevisionId>), StoreError> {
        let (mut artifacts, mut revisions) = (BTreeSet::new(), BTreeSet::new());
        let texts: Vec<String> = self.read(|db| {
            let mut query = db.prepare("SELECT record FROM releases")?;
            query.query_map([], |row| row.get(0))?.collect()
        })?;
        for text in texts {
            let release: Release = from_json("release record", &text)?;
            for (name, component) in release.components {
                revisions.insert(component.revision(&name));
                artifacts.insert(component.artifact);
            }
        }
        revisions.extend(self.wanted()?.into_keys());
        Ok((artifacts, revisions))
    }

    /// Whether the record is still there; without it there is no way back to the release.
    pub fn is_kept(&self, id: &ReleaseId) -> Result<bool, StoreError> {
        Ok(self.release_record(id)?.is_some())
    }
}
