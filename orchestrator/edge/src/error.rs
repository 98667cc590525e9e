//! What can go wrong around the edge, not in a request: those are answered to the client.

/// Errors of starting the edge or talking to it.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    #[error("the edge does not answer at {path}: {why}")]
    Unreachable { path: String, why: String },
    #[error("the edge refuses: {0}")]
    Refused(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{file}: {why}\n  hint: give a PEM certificate chain and its private key")]
    Certificate { file: String, why: String },
}

impl EdgeError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
