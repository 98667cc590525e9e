//! The supervisor: brings about what the database says is to run, and does the engine's effects.
//!
//! It may be killed at any time. Processes belong to shims and traffic to the edge; a successor
//! finds them again and goes on. It decides nothing about releases.

mod api;
mod edges;
mod effects;
mod guard;
mod jobs;
mod launch;
mod observe;
mod probe;
mod publish;
mod replica;
mod retire;
mod revision;
mod route;
mod status;
mod table;
mod windows;

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard};

use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::release::RevisionId;
use neuroca_deploy_engine::ports::StoreError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::home::Home;
use crate::keeper;
use crate::layout::StateDir;
use crate::process_id::ProcessId;
use crate::spawn::{self, own_executable};
use crate::store::Store;
pub(crate) use api::Asked;
use edges::Edges;
pub(crate) use launch::{KEY_SETTING, PROJECT_SETTING};
use publish::Published;
use revision::Revision;

/// Everything that the supervisor's tasks share.
pub(crate) struct Supervisor {
    pub state: StateDir,
    pub store: Store,
    world: Mutex<World>,
    /// Grows with every change of the world.
    version: watch::Sender<u64>,
    edges: Edges,
    published: tokio::sync::Mutex<Published>,
    /// Held while an effect is done: a driver that lost the lock may have left one under way.
    doing: tokio::sync::Mutex<()>,
    /// Set when everything is to be stopped, and when it has been.
    stopping: watch::Sender<bool>,
    ending: watch::Sender<bool>,
}

/// What runs, and what the edge is to do.
#[derive(Default)]
pub(crate) struct World {
    pub revisions: BTreeMap<RevisionId, Revision>,
    pub traffic: Option<Traffic>,
}

/// Why the supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    #[error("{what}: {error}")]
    Io { what: &'static str, error: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs until SIGTERM, which leaves components running, or a wish to stop everything.
pub fn run(state: StateDir, api: UnixListener) -> Result<(), SupervisorError> {
    let io = |what| move |error| SupervisorError::Io { what, error };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io("the supervisor's runtime"))?;
    runtime.block_on(async {
        let supervisor = Arc::new(Supervisor::new(state)?);
        supervisor.begin()?;
        api.set_nonblocking(true).map_err(io("the API's socket"))?;
        let api = tokio::net::UnixListener::from_std(api).map_err(io("the API's socket"))?;
        let mut terminate =
            signal(SignalKind::terminate()).map_err(io("the handler of SIGTERM"))?;
        let mut ended = supervisor.ending.subscribe();
        tokio::select! {
            served = axum::serve(api, api::routes(supervisor.clone())) => {
                served.map_err(io("the API"))
            }
            () = publish::keep_publishing(&supervisor) => Ok(()),
            () = retire::keep_retiring(&supervisor) => Ok(()),
            () = guard::keep_guarding(&supervisor) => Ok(()),
            () = keep_a_keeper(&supervisor) => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = ended.wait_for(|ended| *ended) => {
                // The answer to whoever asked is still on its way.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                Ok(())
            }
        }
    })
}

/// Starts a keeper when there is none: one that was killed is not to stay away until somebody
/// runs a command. A service manager that starts its own is let go first.
async fn keep_a_keeper(supervisor: &Arc<Supervisor>) {
    const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
    let (mut missing, mut stopped) = (0, false);
    let home = Home::of(&supervisor.state);
    while !*supervisor.stopping.borrow() {
        tokio::time::sleep(LOOK).await;
        // Whoever started this process is the keeper; a stopped one can be neither asked nor missed.
        let keeper = ProcessId::of(std::os::unix::process::parent_id() as i32);
        if let Some(keeper) = keeper.filter(ProcessId::is_stopped) {
            if std::mem::replace(&mut stopped, true) {
                tracing::warn!(pid = keeper.pid, "the keeper was stopped; waking it");
                keeper.signal(rustix::process::Signal::CONT);
            }
        } else {
            stopped = false;
        }
        // The lock is held to the very end of a keeper that stops everything.
        // Where the directory was removed there is none to look for, and another one is not this one's.
        let is_missing = home.is_there(&supervisor.state) && !keeper::is_there(&supervisor.state);
        missing = if is_missing { missing + 1 } else { 0 };
        if missing >= 2 && !*supervisor.stopping.borrow() {
            tracing::warn!("the keeper is gone; starting another");
            let started = own_executable()
                .map_err(|e| e.to_string())
                .and_then(|exe| spawn::keeper(&supervisor.state, &exe).map_err(|e| e.to_string()));
            match started {
                // It replaces this process; until then its end is to be taken note of.
                Ok(mut keeper) => {
                    tokio::task::spawn_blocking(move || keeper.wait());
                }
                Err(why) => tracing::error!(%why, "no keeper"),
            }
            missing = 0;
        }
    }
    std::future::pending::<()>().await;
}

impl Supervisor {
    fn new(state: StateDir) -> Result<Self, SupervisorError> {
        let store = Store::open(&state)?;
        let traffic = store.traffic()?;
        let published = Published::found(&state, traffic.as_ref().map_or(0, |(n, _)| *n));
        Ok(Self {
            edges: Edges::new(&state),
            published: tokio::sync::Mutex::new(published),
            world: Mutex::new(World {
                traffic: traffic.map(|(_, traffic)| traffic),
                ..World::default()
            }),
            // Starts above what any earlier supervisor can have told.
            version: watch::Sender::new(crate::process_id::wall_ms()),
            doing: tokio::sync::Mutex::new(()),
            stopping: watch::Sender::new(false),
            ending: watch::Sender::new(false),
            store,
            state,
        })
    }

    /// Takes up what is running and starts what is missing.
    fn begin(self: &Arc<Self>) -> Result<(), SupervisorError> {
        let wanted = self.store.wanted()?;
        launch::end_unwanted(&self.state, &wanted);
        for (id, wanted) in wanted {
            match self.store.release_record(&wanted.release)? {
                Some(release) => revision::ensure(self, &id, &wanted, &release),
                None => {
                    tracing::error!(revision = %id, release = %wanted.release, "its record is gone")
                }
            }
        }
        Ok(())
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Changes the world and tells whoever waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let value = change(&mut self.world());
        self.version.send_modify(|version| *version += 1);
        value
    }
}
