//! From environment files to one typed, checked [`Environment`](model::Environment).

pub mod model;
pub mod units;
