//! From environment files to one typed, checked [`Environment`](model::Environment).
//!
//! File contents, variables and flags come in as values; which files there are is the caller's business.
//! The way through: text, tree with places ([`read`]), layer of checked values ([`check`]), sum of the
//! layers ([`typed`]), environment ([`resolve()`]), rules that types cannot say ([`rules`]).

mod bare;
mod check;
mod errors;
pub mod fractions;
pub mod model;
mod origins;
mod overrides;
mod read;
mod resolve;
mod rules;
mod schema;
pub mod service_parameters;
mod shape;
mod shipped;
#[cfg(test)]
mod tests;
mod tree;
mod typed;
pub mod units;

pub use errors::{ConfigError, ConfigErrors, Place};
pub(crate) use errors::{one_below_the_other, suggest};
pub use origins::{Explained, Origins};
pub use resolve::{Inputs, Resolved, SourceFile, base_of, extends_of, resolve};
pub use schema::schema;
pub use shipped::defaults;
