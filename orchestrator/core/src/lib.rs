//! Every decision of neuroca-deploy, as pure functions on plain values.
//!
//! Nothing here reads a file, opens a socket, looks at a clock or asks for randomness: time,
//! file contents and random numbers come in as values. `tests/house.rs` in the CLI checks that.

pub mod config;
pub mod digest;
pub mod effect;
pub mod id;
pub mod journal;
pub mod judge;
pub mod manifests;
pub mod observed;
pub mod plan;
pub mod preview;
pub mod release;
pub mod render;
pub mod retention;
pub mod rollout;
pub mod traffic;
