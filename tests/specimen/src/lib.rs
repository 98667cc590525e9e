//! A component whose faults are chosen beforehand: how well it answers is said by its settings.
//!
//! Knows nothing of who deploys or judges it.

mod behaviour;
mod counts;
mod serve;

pub use behaviour::{Answer, Behaviour, Faults, Settings};
pub use serve::{Identity, serve};
