//! What gRPC says of itself, in headers or trailers: to HTTP each of its answers is a 200.

use http::HeaderMap;

/// Codes that are the component's fault, as a 5xx is: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL,
/// UNAVAILABLE.
const FAILURES: [&[u8]; 4] = [b"2", b"4", b"13", b"14"];

pub fn is_failure(headers: &HeaderMap) -> bool {
    headers.get("grpc-status").is_some_and(|status| FAILURES.contains(&status.as_bytes()))
}
