//! A load client that never sends a request twice.
//!
//! Usual clients repeat a request on a new connection when the old one breaks, and so hide what a
//! deployment dropped. This one stands on hyper's bare connections: a request that was written,
//! or may have been, and got no good answer is a failure, counted once. It knows the HTTP of the
//! service and nothing of what is deployed how.

mod connection;
mod options;
mod record;
mod run;
mod streams;
mod verify;

pub use options::Load;
pub use record::{Ending, Failure, Latency, Report, RevisionSeen, StreamReport};
pub use run::{Outcome, run};
pub use verify::{Verified, verify};
