//! One worker at a time: a lock on a file beside the database, which ends with the process.

use std::fs::{File, OpenOptions, TryLockError};

use async_trait::async_trait;

use super::Backend;
use crate::store::{Lead, StoreError};

struct Held(#[expect(dead_code, reason = "locked as long as it is open")] File);

impl Backend {
    pub(super) async fn take_lead(&self) -> Result<Option<Box<dyn Lead>>, StoreError> {
        let path = &self.lead;
        let fault = |error: std::io::Error| {
            StoreError::Fault(format!("cannot lock {}: {error}", path.display()))
        };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Held(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }
}

#[async_trait]
impl Lead for Held {
    async fn holds(&mut self) -> bool {
        true
    }
}
