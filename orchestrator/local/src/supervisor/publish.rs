//! Bringing the edge's table in line with the split that is wanted and with what is ready.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neuroca_deploy_core::effect::{Share, Traffic};
use neuroca_deploy_edge::Table;

use super::edges::Edge;
use super::launch::PROJECT_SETTING;
use super::table::{self, Named};
use super::{Supervisor, World};
use crate::layout::StateDir;

/// How often a new edge or one that was away is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// The table that was put last; its generation is that of the wanted one.
pub(crate) struct Published {
    table: Table,
    /// The lowest generation that is still free.
    next: u64,
}

impl Published {
    /// As an earlier supervisor left it.
    pub fn found(state: &StateDir, known: u64) -> Self {
        let table = read(state).unwrap_or_default();
        let next = known.max(table.generation) + 1;
        Self { table, next }
    }
}

/// Whether the edge has the address in its table.
pub(crate) fn is_in_table(state: &StateDir, address: &str) -> bool {
    read(state).is_some_and(|table| {
        let backends = table.routes.iter().flat_map(|r| &r.backends);
        backends.flat_map(|b| &b.addresses).any(|a| a == address)
    })
}

fn read(state: &StateDir) -> Option<Table> {
    serde_json::from_slice(&std::fs::read(state.edge_table()).ok()?).ok()
}

/// Publishes after every change, and once in a while for edges that came up.
pub(crate) async fn keep_publishing(supervisor: &Arc<Supervisor>) {
    let mut version = supervisor.version.subscribe();
    let (mut before, mut told) = (String::new(), String::new());
    loop {
        version.borrow_and_update();
        match supervisor.publish().await {
            Ok(_) => (before, told) = Default::default(),
            // Once is no news: an edge that is being started or replaced is away for a moment.
            Err(why) if why != before => before = why,
            Err(why) if why == told => {}
            Err(why) => {
                tracing::warn!(%why, "the edge does not have the table");
                told = why;
            }
        }
        let _ = tokio::time::timeout(LOOK, version.changed()).await;
    }
}

impl Supervisor {
    /// Brings every living edge to the wanted table; returns the generation that is in force.
    /// Nothing wanted is nothing to do.
    pub(crate) async fn publish(&self) -> Result<u64, String> {
        let mut published = self.published.lock().await;
        if !self.write_table(&mut published).await? {
            return Ok(published.table.generation);
        }
        self.put_everywhere(&published.table, &self.edges.living().await).await
    }

    /// Puts the split into force: the table is written, `listen` brings an edge up that reads it
    /// when it starts, and the edges that are there already get it last. When `listen` refuses,
    /// none of them has it.
    pub(crate) async fn publish_split<E>(
        &self,
        traffic: &Traffic,
        listen: impl Future<Output = Result<(), E>>,
        silent: impl FnOnce(String) -> E,
    ) -> Result<(), E> {
        let mut published = self.published.lock().await;
        let before = self.world().traffic.replace(traffic.clone());
        let put = match self.write_table(&mut published).await {
            Ok(_) => match listen.await {
                Ok(()) => {
                    let edges = self.edges.living().await;
                    self.put_everywhere(&published.table, &edges).await.map(|_| ()).map_err(silent)
                }
                Err(error) => {
                    self.world().traffic = before;
                    if let Err(why) = self.write_table(&mut published).await {
                        tracing::warn!(%why, "the table of before is not written");
                    }
                    Err(error)
                }
            },
            Err(why) => {
                self.world().traffic = before;
                Err(silent(why))
            }
        };
        drop(published);
        self.change(|_| ());
        put
    }

    /// Makes the wanted table and writes it where an edge that starts reads it; false when no
    /// split is wanted yet.
    async fn write_table(&self, published: &mut Published) -> Result<bool, String> {
        let Some((traffic, mut table)) = self.wanted_table()? else { return Ok(false) };
        let edges = self.edges.living().await;
        let seen = edges.iter().map(|e| e.status.generation).max().unwrap_or(0);
        published.next = published.next.max(seen + 1);
        table.generation = published.table.generation;
        if table != published.table
            || self.store.traffic_of(table.generation).ok().flatten().as_ref() != Some(&traffic)
        {
            table.generation = published.next;
            // Known before it is in force, so that what the edge reports can always be told.
            self.store.put_generation(table.generation, &traffic).map_err(|e| e.to_string())?;
            let json = serde_json::to_vec(&table).map_err(|e| e.to_string())?;
            self.state
                .replace(&self.state.edge_table(), &json)
                .map_err(|e| format!("cannot write {}: {e}", self.state.edge_table().display()))?;
            published.next += 1;
            published.table = table;
        }
        Ok(true)
    }

    async fn put_everywhere(&self, table: &Table, edges: &[Edge]) -> Result<u64, String> {
        let mut serving = 0;
        for edge in edges {
            let put = if edge.status.generation == table.generation {
                Ok(table.generation)
            } else {
                edge.put(table).await
            };
            match put {
                Ok(_) if !edge.status.draining => serving += 1,
                Ok(_) => {}
                // What drains may end at any time.
                Err(error) if edge.status.draining => tracing::debug!(%error, "draining"),
                Err(error) => return Err(error.to_string()),
            }
        }
        if serving == 0 {
            return Err("no edge is running; it is being started".into());
        }
        Ok(table.generation)
    }

    fn wanted_table(&self) -> Result<Option<(Traffic, Table)>, String> {
        let Some(traffic) = self.world().traffic.clone() else { return Ok(None) };
        let settings = self
            .store
            .release_record(&traffic.settings)
            .map_err(|e| e.to_string())?
            .ok_or_else(|| format!("the record of release {} is gone", traffic.settings))?;
        let world = self.world();
        let shares = traffic.shares.values().flatten();
        let named: BTreeMap<_, _> = shares
            .filter_map(|share| {
                let revision = world.revisions.get(&share.revision)?;
                let spec = revision.spec.spec.clone();
                let addresses = match answers(&world, &traffic, share) {
                    true => revision.ready_addresses(),
                    false => revision.addresses(),
                };
                Some((share.revision.clone(), Named { spec, addresses }))
            })
            .collect();
        drop(world);
        let table = table::table(&settings, &traffic, &named, &self.project());
        Ok(Some((traffic, table)))
    }

    /// Where relative paths of the environment begin.
    pub(crate) fn project(&self) -> PathBuf {
        let setting = self.store.setting(PROJECT_SETTING).ok().flatten();
        PathBuf::from(setting.unwrap_or_default())
    }
}

/// Whether somebody ready answers the requests of this share's component: then nobody who is not
/// ready gets any.
fn answers(world: &World, traffic: &Traffic, share: &Share) -> bool {
    let component = traffic.shares.values().find(|shares| shares.contains(share));
    let mut others = component.into_iter().flatten().filter(|other| other.weight > 0);
    others.any(|other| world.revisions.get(&other.revision).is_some_and(|r| r.ready() > 0))
}
