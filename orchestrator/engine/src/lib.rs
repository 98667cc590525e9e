//! The one place that acts: runs a plan's effects, holds the lock, writes the journal.
//!
//! It knows the ports and nothing behind them; what to do next is decided by the rollout machine
//! in `core`, which it feeds with what it observes.

#[cfg(feature = "contract")]
pub mod contract;
mod driver;
mod error;
pub mod ports;
mod report;
mod run;

pub use driver::Options;
pub use error::EngineError;
pub use ports::Ports;
pub use report::{EffectPhase, Quiet, Reporter};
pub use run::{apply, resume};
