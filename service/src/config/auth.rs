//! Who is asked who they are, and whose word is taken for it.

use super::Stage;
use super::source::Source;
use crate::auth::{AuthSettings, OidcSettings, RedisAddress};

pub(super) fn read(source: &mut Source, stage: Stage) -> AuthSettings {
    let issuer = source.text("NEUROCA_OIDC_ISSUER");
    let audience = source.text("NEUROCA_OIDC_AUDIENCE");
    let jwks_url = source.text("NEUROCA_OIDC_JWKS_URL");
    let tenant_claim = source.text("NEUROCA_OIDC_TENANT_CLAIM");
    let role_claim = source.text("NEUROCA_OIDC_ROLE_CLAIM");
    // Whoever names an issuer means to ask.
    let required = source.choice(
        "NEUROCA_AUTH",
        stage == Stage::Production || issuer.is_some(),
        &[("required", true), ("off", false)],
    );
    if stage == Stage::Production && !required {
        source.problem("NEUROCA_AUTH is off, which NEUROCA_ENV=production does not allow");
    }
    if issuer.is_some() && !required {
        source.problem("NEUROCA_OIDC_ISSUER means nothing while NEUROCA_AUTH is off");
    }
    let oidc = match (issuer, audience) {
        (Some(issuer), Some(audience)) => Some(OidcSettings {
            issuer,
            audience,
            jwks_url,
            tenant_claim: tenant_claim.unwrap_or_else(|| "tenant".into()),
            role_claim: role_claim.unwrap_or_else(|| "role".into()),
        }),
        (Some(_), None) => {
            source.problem(
                "NEUROCA_OIDC_ISSUER needs NEUROCA_OIDC_AUDIENCE: a token for somebody else must \
                 not open this service",
            );
            None
        }
        (None, audience) => {
            if audience.or(jwks_url).or(tenant_claim).or(role_claim).is_some() {
                source.problem("NEUROCA_OIDC_* mean nothing without NEUROCA_OIDC_ISSUER");
            }
            None
        }
    };
    let per_minute = source.number("NEUROCA_RATE_LIMIT_PER_MINUTE", 0, 0, 10_000_000);
    let redis = redis(source, per_minute);
    AuthSettings { required, oidc, per_minute, redis }
}

fn redis(source: &mut Source, per_minute: u32) -> Option<RedisAddress> {
    let url = source.text("NEUROCA_REDIS_URL")?;
    if per_minute == 0 {
        source.problem(
            "NEUROCA_REDIS_URL means nothing without NEUROCA_RATE_LIMIT_PER_MINUTE: replicas share \
             nothing else",
        );
    }
    let address = RedisAddress::new(url);
    if address.is_none() {
        // What it is instead is not quoted: it may hold a password.
        source.problem(
            "NEUROCA_REDIS_URL is no address such as redis://redis:6379 or \
             rediss://user:password@redis:6379",
        );
    }
    address
}
