//! What is there now, as the engine sees it.

use neuroca_deploy_core::effect::Traffic;
use neuroca_deploy_core::observed::{Observed, RevisionObserved};

use super::Supervisor;
use super::edges::Edge;
use crate::store::Warm;

impl Supervisor {
    pub(crate) async fn observe(&self) -> Observed {
        // Taken first: a change while we look makes the watcher look again.
        let version = *self.version.borrow();
        let edges = self.edges.living().await;
        let traffic = self.in_force(&edges);
        let world = self.world();
        let revisions = world.revisions.iter().map(|(id, revision)| {
            let numbers = self.edges.numbers(&edges, &id.0);
            let seen = RevisionObserved {
                component: revision.component.clone(),
                wanted: revision.wanted,
                alive: revision.alive(),
                ready: revision.ready(),
                crashes: revision.crashes(),
                crash_loop: revision.is_crash_loop(),
                trouble: revision.trouble().cloned(),
                in_flight: numbers.in_flight,
                streams: numbers.streams,
                requests: numbers.requests,
                errors: numbers.errors,
                warm_until_ms: revision.warm.as_ref().map(Warm::until_wall_ms),
            };
            (id.clone(), seen)
        });
        Observed { version, revisions: revisions.collect(), traffic, ..Observed::default() }
    }

    /// The split that the edges report, if those that serve agree on one.
    pub(crate) fn in_force(&self, edges: &[Edge]) -> Option<Traffic> {
        let mut serving = edges.iter().filter(|e| !e.status.draining);
        let of = |edge: &Edge| self.store.traffic_of(edge.status.generation).ok().flatten();
        let first = of(serving.next()?)?;
        serving.all(|edge| of(edge).as_ref() == Some(&first)).then_some(first)
    }
}
