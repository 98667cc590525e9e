//! One revision of a component: its replicas and what is known of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use neuroca_deploy_core::observed::Trouble;
use neuroca_deploy_core::release::{ComponentRelease, Release, ReleaseId, RevisionId};
use tokio::sync::watch;

use super::replica::{self, ReplicaTask};
use super::status::{Status, address};
use super::{Supervisor, launch};
use crate::process_id::boot_ms;
use crate::store::{Wanted, Warm};

pub(crate) struct Revision {
    pub component: String,
    pub release: ReleaseId,
    pub spec: ComponentRelease,
    pub wanted: u32,
    pub warm: Option<Warm>,
    pub replicas: BTreeMap<u32, Replica>,
}

/// One replica: what its task reported, and how to end it.
pub(crate) struct Replica {
    pub status: Status,
    pub stop: watch::Sender<bool>,
    pub gone: watch::Receiver<bool>,
}

impl Revision {
    /// Addresses for the edge. When no replica is ready any more, those that are alive and once
    /// were get the requests: the edge could only refuse them otherwise.
    pub fn addresses(&self) -> Vec<String> {
        let ready = self.ready_addresses();
        if ready.is_empty() { self.addresses_where(|s| s.was_ready) } else { ready }
    }

    pub fn ready_addresses(&self) -> Vec<String> {
        self.addresses_where(|s| s.ready)
    }

    fn addresses_where(&self, wanted: fn(&Status) -> bool) -> Vec<String> {
        let replicas = self.replicas.values().map(|r| &r.status);
        replicas
            .filter(|s| s.alive && !s.leaving && wanted(s))
            .filter_map(|s| Some(address(s.port?)))
            .collect()
    }

    pub fn ready(&self) -> u32 {
        self.replicas.values().filter(|r| r.status.ready && !r.status.leaving).count() as u32
    }

    /// Whether it is known of every replica how it is.
    pub fn is_known(&self) -> bool {
        self.replicas.values().all(|r| r.status.known)
    }

    pub fn alive(&self) -> u32 {
        self.replicas.values().filter(|r| r.status.alive).count() as u32
    }

    /// Ends that nobody asked for, within the crash-loop window.
    pub fn crashes(&self) -> u32 {
        let window = self.spec.spec.restart.crash_loop_window.0;
        let since = boot_ms().saturating_sub(window);
        let crashes = self.replicas.values().flat_map(|r| &r.status.crashes);
        crashes.filter(|at| **at >= since).count() as u32
    }

    /// Whether one replica ended too often within the window.
    pub fn is_crash_loop(&self) -> bool {
        let restart = &self.spec.spec.restart;
        let since = boot_ms().saturating_sub(restart.crash_loop_window.0);
        self.replicas.values().any(|r| {
            let recent = r.status.crashes.iter().filter(|at| **at >= since).count();
            recent as u64 >= u64::from(restart.crash_loop_failures.max(1))
        })
    }

    /// The trouble of a replica that is not ready.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.replicas.values().filter(|r| !r.status.ready).find_map(|r| r.status.trouble.as_ref())
    }
}

/// Makes the revision run as wanted, at once: one that crashed is given a new beginning, since whoever asks
/// for it may have mended the cause. Replicas that are too many are not touched here.
pub(crate) fn ensure(
    supervisor: &Arc<Supervisor>,
    id: &RevisionId,
    wanted: &Wanted,
    release: &Release,
) {
    let Some(spec) = release.components.get(&wanted.component) else {
        tracing::error!(revision = %id, release = %wanted.release, "the release does not have it");
        return;
    };
    supervisor.change(|world| {
        let revision = world.revisions.entry(id.clone()).or_insert_with(|| Revision {
            component: wanted.component.clone(),
            release: wanted.release.clone(),
            spec: spec.clone(),
            wanted: 0,
            warm: None,
            replicas: BTreeMap::new(),
        });
        revision.release = wanted.release.clone();
        revision.spec = spec.clone();
        revision.wanted = wanted.replicas;
        revision.warm = wanted.warm.clone();
        for index in 0..wanted.replicas {
            let goes_on = |r: &Replica| !r.status.leaving && !r.status.rests();
            if revision.replicas.get(&index).is_some_and(goes_on) {
                continue;
            }
            let (stop, stopped) = watch::channel(false);
            let (ended, gone) = watch::channel(false);
            // A predecessor that is being stopped holds the instance until it is gone.
            let before = revision.replicas.remove(&index).map(|replica| {
                replica.stop.send_replace(true);
                replica.gone
            });
            let task = ReplicaTask {
                supervisor: supervisor.clone(),
                revision: id.clone(),
                component: wanted.component.clone(),
                index,
                stopped,
                before,
            };
            // Known before the first table is made: what serves now must not drop out of it.
            let status = Status::found(&supervisor.state, &launch::instance(id, index));
            revision.replicas.insert(index, Replica { status, stop, gone });
            tokio::spawn(async move {
                replica::run(task).await;
                ended.send_replace(true);
            });
        }
    });
}
