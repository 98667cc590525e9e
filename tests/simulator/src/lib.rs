//! A simulated world behind the engine's ports, in which the production machine, engine and
//! journal live through histories: seeded, replayable, with whatever can go wrong, at the worst
//! moment. The invariants of `design` are checked after every event.
//!
//! It knows the ports and the plain values that pass through them, and no real target. A
//! history is a [`Script`]: a setting, a few releases and a list of faults. The same script is
//! the same history, so a failing one is made shorter fault by fault and told as a story.

mod campaign;
mod catalogue;
mod check;
mod coverage;
mod faults;
mod generate;
mod history;
mod look;
mod metrics;
mod mutation;
mod people;
mod ports;
mod reachable;
mod script;
mod shrink;
mod store;
mod target;
mod words;
mod world;

pub use campaign::{Campaign, Totals, campaign};
pub use check::{Rule, Violation};
pub use coverage::{Coverage, Pair};
pub use generate::script;
pub use history::{End, Play, Played, play};
pub use mutation::Mutation;
pub use reachable::reachable;
pub use script::{
    Change, Fate, Fault, Place, Refuses, Run, Script, Setting, Side, Undecided, Way, What, Wish,
};
pub use shrink::shrink;
pub use words::tell;
