//! The vectors of the tenants that search, held in memory so that a search scans them at once.
//!
//! One task reads them from the database (`keep`); a search never does. What is held may be a few
//! seconds old: a memory without a vector is found by its words.

mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::lifecycle::{Lifecycle, Phase};
use crate::memory::Moment;
use crate::store::{Repository, StoreError};
use crate::tenant::Tenant;
pub(super) use table::{Near, Table};

const PERIOD: Duration = Duration::from_secs(2);
/// A tenant that nobody has searched for so long makes room.
const UNUSED: Duration = Duration::from_secs(600);
/// How often all is read anew, so that the vectors of what is gone make room.
const WHOLE: Duration = Duration::from_secs(3600);
/// A vector may become visible a little after others that were made later.
const OVERLAP_MILLIS: i64 = 5_000;
/// Of one reading: who else wants the database does not wait long.
const PAGE: u32 = 1_000;

struct Place {
    used: Instant,
    /// When all was read.
    whole: Option<Instant>,
    table: Arc<RwLock<Table>>,
    /// Whether the last reading worked; nothing before the first.
    read: watch::Sender<Option<bool>>,
}

/// Who holds what.
pub(super) struct Shelf {
    places: Mutex<HashMap<Tenant, Place>>,
    wanted: Notify,
    most_bytes: usize,
}

impl Shelf {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { places: Mutex::default(), wanted: Notify::new(), most_bytes }
    }

    fn places<T>(&self, with: impl FnOnce(&mut HashMap<Tenant, Place>) -> T) -> T {
        with(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The vectors of `tenant`; `None` if they could not be read within `patience`.
    pub(super) async fn of(
        &self,
        tenant: &Tenant,
        patience: Duration,
    ) -> Option<Arc<RwLock<Table>>> {
        let (table, mut read) = self.places(|places| {
            let place = places.entry(tenant.clone()).or_insert_with(|| Place {
                used: Instant::now(),
                whole: None,
                table: Arc::new(RwLock::new(Table::new(self.most_bytes))),
                read: watch::Sender::new(None),
            });
            place.used = Instant::now();
            (place.table.clone(), place.read.subscribe())
        });
        if read.borrow_and_update().is_none() {
            self.wanted.notify_one();
        }
        let read = tokio::time::timeout(patience, read.wait_for(Option::is_some)).await;
        let worked = *read.ok()?.ok()?;
        (worked == Some(true)).then_some(table)
    }

    /// Keeps what is held as the database has it, until the process stops.
    pub(super) async fn keep(
        &self,
        repository: &dyn Repository,
        model: &str,
        lifecycle: &Lifecycle,
    ) {
        loop {
            tokio::select! {
                () = lifecycle.reached(Phase::Stopping) => return,
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
            self.make_room();
            let tenants: Vec<Tenant> = self.places(|places| places.keys().cloned().collect());
            for tenant in tenants {
                let read = self.read(repository, &tenant, model).await;
                if let Err(error) = &read {
                    tracing::debug!(%error, "vectors are not read");
                }
                self.places(|places| {
                    let Some(place) = places.get_mut(&tenant) else { return };
                    // What was read once is good enough until the database is back.
                    let worked = read.is_ok() || place.whole.is_some();
                    place.read.send_if_modified(|last| last.replace(worked) != Some(worked));
                });
            }
        }
    }

    /// Reads what is new of one tenant, or all, page by page.
    async fn read(
        &self,
        repository: &dyn Repository,
        tenant: &Tenant,
        model: &str,
    ) -> Result<(), StoreError> {
        let found = self.places(|places| {
            let place = places.get(tenant)?;
            Some((place.whole.is_none_or(|read| read.elapsed() > WHOLE), place.table.clone()))
        });
        let Some((whole, held)) = found else { return Ok(()) };
        let mut fresh = whole.then(|| Table::new(self.most_bytes));
        let newest = held.read().unwrap_or_else(PoisonError::into_inner).newest();
        let mut from = (if whole { Moment(0) } else { newest.plus(-OVERLAP_MILLIS) }, None);
        loop {
            let page = repository.vectors(tenant, model, from, PAGE).await?;
            let more = page.len() == PAGE as usize;
            if let Some(last) = page.last() {
                from = (last.embedded_at, Some(last.memory));
            }
            match &mut fresh {
                Some(table) => page.into_iter().for_each(|vector| table.put(vector)),
                None => {
                    let mut table = held.write().unwrap_or_else(PoisonError::into_inner);
                    page.into_iter().for_each(|vector| table.put(vector));
                }
            }
            if !more {
                break;
            }
        }
        if let Some(fresh) = fresh {
            *held.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        if whole {
            let now = Some(Instant::now());
            self.places(|places| places.get_mut(tenant).map(|place| place.whole = now));
        }
        Ok(())
    }

    /// Lets go of who has not searched for long, and of the longest unused while there is too much.
    fn make_room(&self) {
        self.places(|places| {
            places.retain(|_, place| place.used.elapsed() < UNUSED);
            let bytes =
                |place: &Place| place.table.read().unwrap_or_else(PoisonError::into_inner).bytes();
            while places.len() > 1 && places.values().map(bytes).sum::<usize>() > self.most_bytes {
                let oldest = places.iter().min_by_key(|(_, place)| place.used);
                let Some(oldest) = oldest.map(|(tenant, _)| tenant.clone()) else { return };
                places.remove(&oldest);
            }
        });
    }
}
