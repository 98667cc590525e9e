//! The adapter for one machine: components are processes behind the edge proxy.
//!
//! It implements the engine's ports with a database, an artifact store and four kinds of process
//! (keeper, supervisor, edge, shim). It knows no command line and decides nothing about releases.

pub mod artifacts;
mod client;
pub mod control;
mod edge_process;
mod home;
mod keeper;
pub mod kill_point;
pub mod layout;
pub mod logs;
mod metrics;
pub mod process_id;
pub mod processes;
mod reserve;
pub mod secrets;
mod shim;
mod spawn;
pub mod store;
mod supervisor;
mod target;

pub use layout::StateDir;
pub use metrics::LocalMetrics;
pub use store::Store;
pub use target::{LocalTarget, TargetFailed};
