//! What objects of the cluster mean, as pure functions: what runs and why not, and which split is in force.

mod job;
mod pod;
mod revision;
mod route;
mod workload;

pub use job::{JobEnd, end_of};
pub use pod::{is_going, is_running, telling, trouble, waits_for_probe};
pub use revision::{View, revisions};
pub use route::{Standing, standing};
pub use workload::{Complaint, Workload, complaint, is_hopeless};
