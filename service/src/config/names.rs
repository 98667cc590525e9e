//! The names of the parameters: the closed set of `NEUROCA_*`, and what a stranger meant.
//!
//! Knows no values.

/// Every parameter, sorted. Each can also be given as `NAME_FILE`: a file that holds the value.
pub const NAMES: [&str; 50] = [
    "NEUROCA_AUTH",
    "NEUROCA_DB_HOST",
    "NEUROCA_DB_NAME",
    "NEUROCA_DB_PASSWORD",
    "NEUROCA_DB_POOL_SIZE",
    "NEUROCA_DB_PORT",
    "NEUROCA_DB_READ_URL",
    "NEUROCA_DB_STATEMENT_TIMEOUT_MS",
    "NEUROCA_DB_URL",
    "NEUROCA_DB_USER",
    "NEUROCA_DEBUG",
    "NEUROCA_DRAIN_DELAY_MS",
    "NEUROCA_EMBEDDINGS_API_KEY",
    "NEUROCA_EMBEDDINGS_CACHE_MB",
    "NEUROCA_EMBEDDINGS_MODEL",
    "NEUROCA_EMBEDDINGS_PATH",
    "NEUROCA_EMBEDDINGS_TIMEOUT_MS",
    "NEUROCA_EMBEDDINGS_URL",
    "NEUROCA_ENV",
    "NEUROCA_KMS_KEY",
    "NEUROCA_KMS_TOKEN_PATH",
    "NEUROCA_KMS_URL",
    "NEUROCA_LLM_API_KEY",
    "NEUROCA_LLM_BASE_URL",
    "NEUROCA_LLM_MAX_TOKENS",
    "NEUROCA_LLM_MODEL",
    "NEUROCA_LLM_PROVIDER",
    "NEUROCA_LLM_TIMEOUT_MS",
    "NEUROCA_LLM_TOKENS_PER_DAY",
    "NEUROCA_LOG_LEVEL",
    "NEUROCA_MASK",
    "NEUROCA_MASK_PATTERNS",
    "NEUROCA_MEMORY_LONG_TERM_BACKEND",
    "NEUROCA_MEMORY_LONG_TERM_SIZE",
    "NEUROCA_MEMORY_RETENTION_DAYS",
    "NEUROCA_MEMORY_SHORT_TERM_SIZE",
    "NEUROCA_MEMORY_WORKING_SIZE",
    "NEUROCA_OIDC_AUDIENCE",
    "NEUROCA_OIDC_ISSUER",
    "NEUROCA_OIDC_JWKS_URL",
    "NEUROCA_OIDC_ROLE_CLAIM",
    "NEUROCA_OIDC_TENANT_CLAIM",
    "NEUROCA_RATE_LIMIT_PER_MINUTE",
    "NEUROCA_REDIS_URL",
    "NEUROCA_REVISION",
    "NEUROCA_SECRET_KEY",
    "NEUROCA_SECRET_KEY_PREVIOUS",
    "NEUROCA_TLS_CERT_PATH",
    "NEUROCA_TLS_CLIENT_CA_PATH",
    "NEUROCA_TLS_KEY_PATH",
];

/// The parameter that `variable` sets and whether it names a file; `None` for a stranger.
pub fn parameter_of(variable: &str) -> Option<(&'static str, bool)> {
    let exact = |wanted: &str| NAMES.into_iter().find(|name| *name == wanted);
    if let Some(name) = exact(variable) {
        return Some((name, false));
    }
    variable.strip_suffix("_FILE").and_then(exact).map(|name| (name, true))
}

/// The parameter that was probably meant.
pub fn suggestion(variable: &str) -> Option<String> {
    let (stem, suffix) = match variable.strip_suffix("_FILE") {
        Some(stem) => (stem, "_FILE"),
        None => (variable, ""),
    };
    NAMES
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(stem, name), name))
        .filter(|(distance, _)| *distance <= 4)
        .min()
        .map(|(_, name)| format!("{name}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn a_near_miss_is_recognised() {
        assert_eq!(suggestion("NEUROCA_DB_PASWORD").as_deref(), Some("NEUROCA_DB_PASSWORD"));
        assert_eq!(
            suggestion("NEUROCA_SECRETKEY_FILE").as_deref(),
            Some("NEUROCA_SECRET_KEY_FILE")
        );
        assert_eq!(suggestion("NEUROCA_API_SERVICE_HOST"), None);
    }
}
