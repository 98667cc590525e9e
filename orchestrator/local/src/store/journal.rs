//! The journal of a run: durable when a call returns, and written by the lock's holder alone.

use neuroca_deploy_core::effect::Outcome;
use neuroca_deploy_core::journal::Record;
use neuroca_deploy_core::plan::Plan;
use neuroca_deploy_engine::ports::{Epoch, JournalId, StoreError, Unfinished, Who};
use rusqlite::{OptionalExtension, params};

use super::lock::check;
use super::{Store, from_json, to_json};
use crate::process_id::wall_ms;

impl Store {
    pub(super) fn open_journal(
        &self,
        epoch: Epoch,
        plan: &Plan,
        who: &Who,
    ) -> Result<JournalId, StoreError> {
        self.write(|tx| {
            check(tx, epoch)?;
            tx.execute(
                "INSERT INTO releases (id, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![plan.rollout.release.0, to_json(&plan.release)],
            )?;
            tx.execute(
                "INSERT INTO journals (release, version, rollback, user, reason, started_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    plan.rollout.release.0,
                    plan.release.version,
                    plan.rollout.rollback,
                    who.user,
                    who.reason,
                    wall_ms()
                ],
            )?;
            let journal = tx.last_insert_rowid();
            tx.execute("INSERT INTO plans VALUES (?1, ?2)", params![journal, to_json(plan)])?;
            // What operators wanted of an earlier run must not hit this one.
            tx.execute("DELETE FROM intents", [])?;
            Ok(JournalId(journal))
        })
    }

    pub(super) fn append_record(
        &self,
        epoch: Epoch,
        journal: JournalId,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.write(|tx| {
            check(tx, epoch)?;
            tx.execute(
                "INSERT INTO records SELECT ?1, coalesce(max(position) + 1, 0), ?2 \
                 FROM records WHERE journal = ?1",
                params![journal.0, to_json(record)],
            )?;
            Ok(())
        })
    }

    pub(super) fn close_journal(
        &self,
        epoch: Epoch,
        journal: JournalId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        self.write(|tx| {
            check(tx, epoch)?;
            tx.execute(
                "UPDATE journals SET ended_ms = ?2, outcome = ?3, deployed = ?4 \
                 WHERE id = ?1 AND ended_ms IS NULL",
                params![journal.0, wall_ms(), to_json(outcome), *outcome == Outcome::Deployed],
            )?;
            Ok(())
        })?;
        // The run is over whether or not there is less on the disk afterwards.
        if let Err(error) = self.prune() {
            tracing::warn!(%error, "could not remove what is no longer needed");
        }
        Ok(())
    }

    pub(super) fn unfinished_journal(&self) -> Result<Option<Unfinished>, StoreError> {
        let found = self.read(|db| {
            let open = db
                .query_row(
                    "SELECT j.id, p.plan FROM journals j JOIN plans p ON p.journal = j.id \
                     WHERE j.ended_ms IS NULL ORDER BY j.id DESC LIMIT 1",
                    [],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
                )
                .optional()?;
            let Some((journal, plan)) = open else { return Ok(None) };
            let mut query =
                db.prepare("SELECT record FROM records WHERE journal = ?1 ORDER BY position")?;
            let records: Vec<String> =
                query.query_map([journal], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(Some((journal, plan, records)))
        })?;
        let Some((journal, plan, records)) = found else { return Ok(None) };
        Ok(Some(Unfinished {
            journal: JournalId(journal),
            plan: from_json("plan", &plan)?,
            records: records
                .iter()
                .map(|r| from_json("journal record", r))
                .collect::<Result<_, _>>()?,
        }))
    }
}
