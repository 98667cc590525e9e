//! The bundled NCA service: an agent's memory over HTTP.
//!
//! It knows nothing of the orchestrator that deploys it: everything it is told comes in through
//! `NEUROCA_*`, `PORT` and `HOST`, and everything it tells goes out through its routes, its log
//! and its exit code.

pub mod accesses;
pub mod audit;
pub mod auth;
pub mod config;
pub mod consolidate;
pub mod embed;
pub mod embedding;
pub mod flags;
pub mod http;
pub mod keys_command;
pub mod lifecycle;
pub mod llm;
pub mod log;
pub mod maintenance;
pub mod maintenance_command;
pub mod masking;
pub mod memory;
pub mod outbound;
pub mod rekey_command;
pub mod schema;
pub mod sealing;
pub mod search;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod tenant;
pub mod tls;
pub mod worker;
