//! The processes that are to run and the split that is to be in force: what a supervisor that
//! starts has to bring about.

use std::collections::BTreeMap;

use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::release::{ReleaseId, RevisionId};
use neuroca_deploy_engine::ports::StoreError;
use rusqlite::{OptionalExtension, params};

use super::{Store, from_json, to_json};

/// An edge that drains may still report an old one.
const GENERATIONS_KEPT: u64 = 100;

/// A revision that is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub component: String,
    pub release: ReleaseId,
    pub replicas: u32,
    pub warm: Option<Warm>,
}

/// Until when a revision is kept without traffic. Within one boot the boot's own clock counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warm {
    pub until_ms: u64,
    pub boot: String,
    pub until_boot_ms: u64,
}

impl Warm {
    /// From now on.
    pub fn lasting(for_ms: u64) -> Self {
        Self {
            until_ms: crate::process_id::wall_ms() + for_ms,
            boot: crate::process_id::boot_id(),
            until_boot_ms: crate::process_id::boot_ms() + for_ms,
        }
    }

    /// When it is over by the machine's clock as it is set now.
    pub fn until_wall_ms(&self) -> u64 {
        if self.boot == crate::process_id::boot_id() {
            let left = self.until_boot_ms.saturating_sub(crate::process_id::boot_ms());
            let until = crate::process_id::wall_ms() + left;
            // The two clocks are not read at the same time: only what was set counts.
            if until.abs_diff(self.until_ms) < 2_000 { self.until_ms } else { until / 1000 * 1000 }
        } else {
            self.until_ms
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        if self.boot == crate::process_id::boot_id() {
            crate::process_id::boot_ms() >= self.until_boot_ms
        } else {
            crate::process_id::wall_ms() >= self.until_ms
        }
    }
}

impl Store {
    /// Makes this what is wanted of the revision.
    pub fn want(&self, revision: &RevisionId, wanted: &Wanted) -> Result<(), StoreError> {
        let warm = wanted.warm.as_ref();
        self.write(|tx| {
            tx.execute(
                "INSERT OR REPLACE INTO wanted VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    revision.0,
                    wanted.component,
                    wanted.release.0,
                    wanted.replicas,
                    warm.map(|w| w.until_ms),
                    warm.map(|w| &w.boot),
                    warm.map(|w| w.until_boot_ms)
                ],
            )?;
            Ok(())
        })
    }

    /// The revision is not to run any more.
    pub fn unwant(&self, revision: &RevisionId) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute("DELETE FROM wanted WHERE revision = ?1", [&revision.0])?;
            Ok(())
        })
    }

    pub fn wanted(&self) -> Result<BTreeMap<RevisionId, Wanted>, StoreError> {
        self.read(|db| {
            let mut query = db.prepare("SELECT * FROM wanted")?;
            let rows = query.query_map([], |row| {
                let warm = match row.get::<_, Option<u64>>(4)? {
                    Some(until_ms) => {
                        Some(Warm { until_ms, boot: row.get(5)?, until_boot_ms: row.get(6)? })
                    }
                    None => None,
                };
                let wanted = Wanted {
                    component: row.get(1)?,
                    release: ReleaseId(row.get(2)?),
                    replicas: row.get(3)?,
                    warm,
                };
                Ok((RevisionId(row.get(0)?), wanted))
            })?;
            rows.collect()
        })
    }

    /// Says which split the generation of the edge's table stands for, before it is put into force.
    pub fn put_generation(&self, generation: u64, traffic: &Traffic) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT OR REPLACE INTO routing VALUES (?1, ?2)",
                params![generation, to_json(traffic)],
            )?;
            tx.execute(
                "DELETE FROM routing WHERE generation < ?1",
                [generation.saturating_sub(GENERATIONS_KEPT)],
            )?;
            Ok(())
        })
    }

    /// The split that is to be in force, and the generation it was first put with.
    pub fn traffic(&self) -> Result<Option<(u64, Traffic)>, StoreError> {
        self.generation("SELECT * FROM routing ORDER BY generation DESC LIMIT 1", &[])
    }

    /// The split that the generation stands for.
    pub fn traffic_of(&self, generation: u64) -> Result<Option<Traffic>, StoreError> {
        let found =
            self.generation("SELECT * FROM routing WHERE generation = ?1", &[&generation])?;
        Ok(found.map(|(_, traffic)| traffic))
    }

    fn generation(
        &self,
        query: &str,
        with: &[&dyn rusqlite::ToSql],
    ) -> Result<Option<(u64, Traffic)>, StoreError> {
        let found: Option<(u64, String)> = self.read(|db| {
            db.query_row(query, with, |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })?;
        found.map(|(n, text)| Ok((n, from_json("split", &text)?))).transpose()
    }

    /// A setting that the supervisor needs and the command gives, such as where the key is.
    pub fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        if self.setting(name)?.as_deref() == Some(value) {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", [name, value])?;
            Ok(())
        })
    }

    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read(|db| {
            db.query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
                .optional()
        })
    }
}
