//! The edge proxy: a table in, traffic and counters out.
//!
//! It knows components, revisions and weights by name, and nothing of plans, releases or
//! processes. [`run`] serves on sockets that somebody else bound; [`Control`] talks to it.

mod client;
mod compiled;
mod control;
mod error;
mod exposition;
mod farewell;
mod forward;
mod grpc;
mod headers;
mod listen;
mod log;
mod metrics;
mod mirror;
mod pick;
mod pool;
mod server;
mod shared;
mod slots;
mod table;
mod tls;
mod track;
mod tunnel;
mod upload;

pub use client::Control;
pub use error::EdgeError;
pub use metrics::{RevisionStatus, Status};
pub use server::{EdgeOptions, run};
pub use slots::{SlotCounts, SlotReport};
pub use table::{
    Backend, HeaderRoute, Limits, Listener, ListenerKind, Mirror, Route, Sticky, Table, TlsFiles,
};
pub use tls::check as check_certificate;
