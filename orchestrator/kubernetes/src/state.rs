//! The tool's own state as plain values: what a head says, how pieces are packed, when a lock is free.
//!
//! Nothing in here speaks to a cluster or reads a clock.

pub mod head;
pub mod lease;
pub mod pack;
