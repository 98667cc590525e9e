//! The one place that acts: runs a plan's effects, holds the lock, writes the journal.
//!
//! It knows the ports and nothing behind them.

pub mod ports;
