//! What a keeper leaves for its successor: which processes are there, and after an `exec`, which
//! descriptors are whose.

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

use super::Keeper;
use crate::layout::{StateDir, write_atomically};
use crate::process_id::ProcessId;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub supervisor: Option<ProcessId>,
    pub edges: Vec<(u64, ProcessId)>,
    pub upgrades: u64,
    /// Only while one program of the keeper becomes the next.
    pub handed: Option<Handed>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Handed {
    pub lock: RawFd,
    pub control: RawFd,
    pub api: RawFd,
    pub sockets: Vec<(String, RawFd)>,
}

pub(super) fn read(state: &StateDir) -> Record {
    std::fs::read(state.keeper_record())
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

impl Keeper {
    /// Writes down what runs. A failure costs a later takeover its grace, nothing now.
    pub(super) fn remember(&self) {
        if let Err(error) = self.write_record(None) {
            tracing::warn!(%error, "cannot write {}", self.state.keeper_record().display());
        }
    }

    pub(super) fn write_record(&self, handed: Option<Handed>) -> std::io::Result<()> {
        let record = Record {
            supervisor: self.supervisor.id,
            edges: self.edges.iter().map(|e| (e.number, e.id)).collect(),
            upgrades: self.upgrades,
            handed,
        };
        let json = serde_json::to_vec(&record).map_err(std::io::Error::other)?;
        write_atomically(&self.state.keeper_record(), &json)
    }
}
