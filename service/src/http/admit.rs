//! In front of every operation that has a role: who asks, and whether they may, now.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Problem, Shared};
use crate::auth::{Principal, Role, Unknown};
use crate::maintenance::{Access, Notice};
use crate::memory::Moment;
use crate::tenant::Tenant;

/// Whether the other end of the connection has shown a certificate that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified(pub bool);

/// What an operation asks for.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) shared: Arc<Shared>,
    pub(super) role: Role,
    pub(super) access: Access,
}

pub(super) async fn through(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Response {
    let certified = request.extensions().get() == Some(&Certified(true));
    match admitted(&gate, certified, request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(Caller(principal));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admitted(gate: &Gate, certified: bool, headers: &HeaderMap) -> Result<Principal, Problem> {
    let shared = &gate.shared;
    if shared.tls == Some(true) && !certified {
        return Err(Problem::not_certified());
    }
    let repository = shared.repository()?;
    // Before it is asked who they are: that is in a database which may be away for maintenance.
    admits_anybody(shared, gate.access)?;
    let token = match headers.get(AUTHORIZATION).map(|value| value.to_str()) {
        None => None,
        Some(Ok(value)) => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ => Some(""),
        },
        Some(Err(_)) => Some(""),
    };
    let known = shared.authenticator.principal(token, &**repository, Moment::now()).await;
    let principal = known.map_err(|unknown| match unknown {
        Unknown::Nobody => {
            Problem::unauthorized("send Authorization: Bearer with a key or a token")
        }
        Unknown::Refused(why) => Problem::unauthorized(&why),
        Unknown::Unavailable => Problem::unavailable("the OIDC issuer does not answer"),
        Unknown::Store(error) => error.into(),
    })?;
    let who = format!("{}/{}", principal.tenant, principal.name);
    shared.limiter.take(&who).await.map_err(Problem::too_many)?;
    if principal.role < gate.role {
        return Err(Problem::forbidden(gate.role.name()));
    }
    admits(shared, &principal.tenant, gate.access)?;
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

/// Refuses `access` to everybody, if there is a notice that does.
fn admits_anybody(shared: &Shared, access: Access) -> Result<(), Problem> {
    refused(shared.maintenance.notices().service.as_ref(), access)
}

/// Refuses `access` to `tenant`, if there is a notice that does.
pub(super) fn admits(shared: &Shared, tenant: &Tenant, access: Access) -> Result<(), Problem> {
    refused(shared.maintenance.notices().of(tenant), access)
}

fn refused(notice: Option<&Notice>, access: Access) -> Result<(), Problem> {
    match notice.filter(|notice| access.is_refused_by(notice)) {
        None => Ok(()),
        Some(notice) => Err(Problem::maintenance(notice)),
    }
}
