//! `neuroca worker`: removes what has expired, without a port.
//!
//! Reads already hide expired memories; this gives their space back and makes them really gone.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;
use crate::lifecycle::Shutdown;
use crate::memory::Moment;
use crate::serve::{ServeError, open_patiently};
use crate::store::{Removed, Repository, StoreError};

const PERIOD: Duration = Duration::from_secs(5);
/// Rows of one transaction, so that writers of the service never wait long.
const BATCH: u32 = 500;

/// Works until `shutdown`.
pub async fn work(settings: Settings, mut shutdown: Shutdown) -> Result<(), ServeError> {
    tracing::info!(revision = settings.revision, database = %settings.database, "worker starts");
    let repository = tokio::select! {
        opened = open_patiently(&settings.database) => opened
            .map_err(|error| ServeError::Database(settings.database.to_string(), error))?,
        () = shutdown.requested() => return Ok(()),
    };
    tracing::info!("ready");
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            removed = remove_all(&repository) => report(removed),
        }
    }
    repository.close().await;
    tracing::info!("worker ends");
    Ok(())
}

async fn remove_all(repository: &Arc<dyn Repository>) -> Result<Removed, StoreError> {
    while repository.index_missing(BATCH).await? > 0 {}
    let now = Moment::now();
    let mut total = Removed::default();
    loop {
        let some = repository.remove_expired(now, BATCH).await?;
        total.memories += some.memories;
        total.keys += some.keys;
        if some.memories < u64::from(BATCH) && some.keys < u64::from(BATCH) {
            return Ok(total);
        }
    }
}

fn report(removed: Result<Removed, StoreError>) {
    match removed {
        Ok(Removed { memories: 0, keys: 0 }) => {}
        Ok(removed) => {
            tracing::info!(
                memories = removed.memories,
                keys = removed.keys,
                "removed what expired"
            );
        }
        // Tried again with the next tick.
        Err(error) => tracing::warn!(%error, "cannot remove what expired"),
    }
}
