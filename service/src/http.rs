//! The routes: which path is answered by what, and what every answer has in common.
//!
//! Decides nothing about memories; speaks to the database through the `Repository` port only.

mod admit;
mod consolidations;
mod contract;
mod docs;
mod events;
mod experiments;
mod flags;
mod health;
mod input;
mod keys;
mod llm;
mod maintenance;
mod mcp;
mod memories;
mod metrics;
mod observe;
mod ofrep;
mod operations;
mod problem;
mod search;
mod subjects;
mod tiers;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;

pub use admit::Certified;
pub use events::Events;
pub use metrics::Metrics;
pub use operations::openapi;
pub use problem::Problem;

use crate::accesses::Accesses;
use crate::auth::{Authenticator, Limiter};
use crate::config::Capacity;
use crate::flags::KnownFlags;
use crate::lifecycle::Lifecycle;
use crate::llm::{Budget, Llm};
use crate::maintenance::Maintenance;
use crate::masking::Masking;
use crate::search::Searcher;
use crate::store::Repository;

/// Largest request body: the longest content and metadata with room for JSON's escapes.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// What the handlers share.
pub struct Shared {
    /// What the answers call this deployment.
    pub revision: String,
    /// Limits of the tiers.
    pub capacity: Capacity,
    /// What is never kept.
    pub masking: Masking,
    /// The language model, if there is one.
    pub llm: Option<Llm>,
    /// What a tenant may use of it.
    pub budget: Budget,
    /// Whether TLS is spoken, and if so, whether clients have to show a certificate.
    pub tls: Option<bool>,
    /// Where the process stands.
    pub lifecycle: Lifecycle,
    /// Counters.
    pub metrics: Metrics,
    /// Who listens to what happens.
    pub events: Events,
    /// Finds out who asks.
    pub authenticator: Authenticator,
    /// How much they may ask.
    pub limiter: Limiter,
    /// What is refused at the moment.
    pub maintenance: Maintenance,
    /// The feature flags.
    pub flags: KnownFlags,
    /// What was looked at.
    pub accesses: Accesses,
    /// Finds.
    pub searcher: Searcher,
    /// Set once the database is open.
    pub repository: OnceLock<Arc<dyn Repository>>,
}

impl Shared {
    /// The database, or the answer that it is not there yet.
    fn repository(&self) -> Result<&Arc<dyn Repository>, Problem> {
        self.repository.get().ok_or_else(|| Problem::unavailable("the service is starting"))
    }
}

/// All routes.
pub fn router(shared: Arc<Shared>) -> Router {
    contract::router(operations::all(), &shared)
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), observe::every_request))
        .with_state(shared)
}
