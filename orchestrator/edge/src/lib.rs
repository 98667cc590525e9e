//! The edge proxy: a table in, traffic and counters out.
//!
//! It knows components, revisions and weights by name, and nothing of plans, releases or
//! processes. [`run`] serves on sockets that somebody else bound; [`Control`] talks to it.

mod control;
mod error;
mod forward;
mod listen;
mod log;
mod metrics;
mod pick;
mod pool;
mod server;
mod table;
mod track;

pub use control::Control;
pub use error::EdgeError;
pub use metrics::{RevisionStatus, Status};
pub use server::{EdgeOptions, run};
pub use table::{
    Backend, HeaderRoute, Limits, Listener, ListenerKind, Mirror, Route, Sticky, Table, TlsFiles,
};
