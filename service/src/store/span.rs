//! What a trace shows of the database: that somebody waited for it, with a connection or for one. No statement and
//! no value.

use tracing::Span;

/// Around the statements of one transaction.
pub(super) fn waited(system: &'static str, operation: &'static str) -> Span {
    tracing::info_span!(
        "database",
        otel.name = format!("{system} {operation}"),
        otel.kind = "client",
        db.system.name = system,
        db.operation.name = operation,
    )
}
