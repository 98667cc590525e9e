//! Where vectors come from, and how patiently they are waited for.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Secret;

/// Who computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This process, with the model of a directory.
    Directory(PathBuf),
    /// A server.
    Server {
        /// What stands before `/embeddings`.
        base_url: hyper::Uri,
        /// As the server calls it.
        model: String,
        /// How to get in.
        api_key: Option<Secret>,
    },
}

/// Vectors, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingSettings {
    /// Who computes.
    pub source: Source,
    /// How long a search waits for the vector of its question.
    pub timeout: Duration,
    /// Bytes of vectors that a process keeps in memory.
    pub cache_bytes: usize,
}
