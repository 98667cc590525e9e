//! In front of every operation that has a role: who asks, and whether they may.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::auth::{Principal, Role};

/// What an operation asks for.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) role: Role,
}

pub(super) async fn through(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Response {
    match admitted(&gate, request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(Caller(principal));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admitted(gate: &Gate, _: &HeaderMap) -> Result<Principal, Problem> {
    let principal = Principal::anonymous();
    if principal.role < gate.role {
        return Err(Problem::forbidden(gate.role.name()));
    }
    Ok(principal)
}

/// Whoever asks, for handlers.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Principal);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Not there only if an operation was written down without a role.
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::internal)
    }
}
