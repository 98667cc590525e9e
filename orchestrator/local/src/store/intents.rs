//! What operators want of whoever drives.

use neuroca_deploy_core::rollout::Intent;
use neuroca_deploy_engine::ports::{Epoch, StoreError, Who};
use rusqlite::params;

use super::lock::check;
use super::{Store, from_json, to_json};
use crate::process_id::wall_ms;

impl Store {
    pub(super) fn put_intent(&self, intent: &Intent, who: &Who) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.execute(
                "INSERT INTO intents (intent, user, reason, left_ms) VALUES (?1, ?2, ?3, ?4)",
                params![to_json(intent), who.user, who.reason, wall_ms()],
            )?;
            Ok(())
        })
    }

    pub(super) fn open_intents(&self) -> Result<Vec<(u64, Intent)>, StoreError> {
        let rows: Vec<(u64, String)> = self.read(|db| {
            let mut query = db.prepare_cached("SELECT id, intent FROM intents ORDER BY id")?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })?;
        rows.into_iter().map(|(id, text)| Ok((id, from_json("intent", &text)?))).collect()
    }

    pub(super) fn remove_intent(&self, epoch: Epoch, id: u64) -> Result<(), StoreError> {
        self.write(|tx| {
            check(tx, epoch)?;
            tx.execute("DELETE FROM intents WHERE id = ?1", [id])?;
            Ok(())
        })
    }
}
