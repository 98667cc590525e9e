//! Sealed secrets by release. What is in here is useless without the key, which is elsewhere.

use std::collections::BTreeMap;

use neuroca_deploy_core::release::ReleaseId;
use neuroca_deploy_engine::ports::StoreError;
use rusqlite::{OptionalExtension, params};

use super::{Store, from_json, to_json};

/// Versions by component and name.
pub type Versions = BTreeMap<String, BTreeMap<String, String>>;

impl Store {
    pub fn put_sealed(
        &self,
        release: &ReleaseId,
        versions: &Versions,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT OR REPLACE INTO sealed VALUES (?1, ?2, ?3)",
                params![release.0, to_json(versions), sealed],
            )?;
            Ok(())
        })
    }

    /// Whether a secret is sealed in this version, for the release or for the one in force.
    pub fn has_sealed(&self, release: &ReleaseId, version: &str) -> Result<bool, StoreError> {
        let current = self.current_release()?.map(|(_, id)| id);
        for id in [Some(release), current.as_ref()].into_iter().flatten() {
            let found = self.sealed(id)?.map(|(versions, _)| versions).unwrap_or_default();
            if found.values().flat_map(|of_one| of_one.values()).any(|known| known == version) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub fn sealed(&self, release: &ReleaseId) -> Result<Option<(Versions, Vec<u8>)>, StoreError> {
        let found: Option<(String, Vec<u8>)> = self.read(|db| {
            db.query_row(
                "SELECT versions, secrets FROM sealed WHERE release = ?1",
                [&release.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
        })?;
        found
            .map(|(versions, sealed)| Ok((from_json("secret versions", &versions)?, sealed)))
            .transpose()
    }
}
