//! Measures the judge by simulation: false alarms, detection, promotion, and its rivals on the same streams.
//!
//! It feeds made-up traffic to the judge that ships, and knows nothing of how that comes to a verdict.

pub mod detection;
pub mod false_alarms;
pub mod figure;
pub mod parallel;
pub mod promotion;
pub mod rivals;
pub mod side_by_side;
pub mod watch;
