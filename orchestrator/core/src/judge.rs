//! The judge: whether a new release answers as well as the old one, from counts alone.
//!
//! It is fed windows and holds evidence; it knows no clock, no router and no metrics server. What
//! a verdict does to the traffic is the rollout machine's business.

pub mod recorded;
mod stub;
mod window;

pub use stub::{Acceptance, Analysis, Judge, OnInconclusive};
pub use window::{Compared, Counts, Ratio, Sides, Slower, Window};
