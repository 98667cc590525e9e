//! The parameters of the bundled service (`NEUROCA_*`), so that a misspelt one is found before a
//! process starts and refuses it.
//!
//! The list is the deployment guide's; a test holds it against the service's own.

use super::errors::suggest;

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Text,
    Words(&'static [&'static str]),
    Number(u32, u32),
    /// Belongs under `secrets`.
    Secret,
    /// Text that may carry a password.
    Url,
}

/// Every parameter, sorted. Each can be given as `NAME_FILE`, a file that holds the value.
pub const PARAMETERS: &[(&str, Takes)] = &[
    ("NEUROCA_AUTH", Takes::Words(&["required", "off"])),
    ("NEUROCA_DB_HOST", Takes::Text),
    ("NEUROCA_DB_NAME", Takes::Text),
    ("NEUROCA_DB_PASSWORD", Takes::Secret),
    ("NEUROCA_DB_POOL_SIZE", Takes::Number(1, 1000)),
    ("NEUROCA_DB_PORT", Takes::Number(1, 65_535)),
    ("NEUROCA_DB_READ_URL", Takes::Url),
    ("NEUROCA_DB_STATEMENT_TIMEOUT_MS", Takes::Number(100, 600_000)),
    ("NEUROCA_DB_URL", Takes::Url),
    ("NEUROCA_DB_USER", Takes::Text),
    ("NEUROCA_DEBUG", Takes::Words(&["true", "false", "1", "0"])),
    ("NEUROCA_DRAIN_DELAY_MS", Takes::Number(0, 600_000)),
    ("NEUROCA_EMBEDDINGS_API_KEY", Takes::Secret),
    ("NEUROCA_EMBEDDINGS_CACHE_MB", Takes::Number(1, 65_536)),
    ("NEUROCA_EMBEDDINGS_MODEL", Takes::Text),
    ("NEUROCA_EMBEDDINGS_PATH", Takes::Text),
    ("NEUROCA_EMBEDDINGS_TIMEOUT_MS", Takes::Number(10, 60_000)),
    ("NEUROCA_EMBEDDINGS_URL", Takes::Url),
    ("NEUROCA_ENV", Takes::Words(&["development", "staging", "production"])),
    ("NEUROCA_KMS_KEY", Takes::Text),
    ("NEUROCA_KMS_TOKEN_PATH", Takes::Text),
    ("NEUROCA_KMS_URL", Takes::Url),
    ("NEUROCA_LLM_API_KEY", Takes::Secret),
    ("NEUROCA_LLM_BASE_URL", Takes::Url),
    ("NEUROCA_LLM_MAX_TOKENS", Takes::Number(1, 200_000)),
    ("NEUROCA_LLM_MODEL", Takes::Text),
    (
        "NEUROCA_LLM_PROVIDER",
        Takes::Words(&["openai", "anthropic", "ollama", "vllm", "openai-compatible"]),
    ),
    ("NEUROCA_LLM_TIMEOUT_MS", Takes::Number(100, 600_000)),
    ("NEUROCA_LLM_TOKENS_PER_DAY", Takes::Number(0, 2_000_000_000)),
    ("NEUROCA_LOG_LEVEL", Takes::Words(&["debug", "info", "warning", "error"])),
    ("NEUROCA_MASK", Takes::Text),
    ("NEUROCA_MASK_PATTERNS", Takes::Text),
    ("NEUROCA_MEMORY_LONG_TERM_BACKEND", Takes::Words(&["sqlite", "postgres"])),
    ("NEUROCA_MEMORY_LONG_TERM_SIZE", Takes::Number(1, 1_000_000_000)),
    ("NEUROCA_MEMORY_RETENTION_DAYS", Takes::Number(0, 36_500)),
    ("NEUROCA_MEMORY_SHORT_TERM_SIZE", Takes::Number(1, 1_000_000)),
    ("NEUROCA_MEMORY_WORKING_SIZE", Takes::Number(1, 1_000_000)),
    ("NEUROCA_OIDC_AUDIENCE", Takes::Text),
    ("NEUROCA_OIDC_ISSUER", Takes::Text),
    ("NEUROCA_OIDC_JWKS_URL", Takes::Text),
    ("NEUROCA_OIDC_ROLE_CLAIM", Takes::Text),
    ("NEUROCA_OIDC_TENANT_CLAIM", Takes::Text),
    ("NEUROCA_RATE_LIMIT_PER_MINUTE", Takes::Number(0, 10_000_000)),
    ("NEUROCA_REDIS_URL", Takes::Url),
    ("NEUROCA_REVISION", Takes::Text),
    ("NEUROCA_SECRET_KEY", Takes::Secret),
    ("NEUROCA_SECRET_KEY_PREVIOUS", Takes::Secret),
    ("NEUROCA_TLS_CERT_PATH", Takes::Text),
    ("NEUROCA_TLS_CLIENT_CA_PATH", Takes::Text),
    ("NEUROCA_TLS_KEY_PATH", Takes::Text),
];

/// What `name` takes: a file's path for `NAME_FILE`; `None` for a stranger.
pub fn takes(name: &str) -> Option<Takes> {
    let exact =
        |wanted: &str| PARAMETERS.iter().find(|(n, _)| *n == wanted).map(|(_, takes)| *takes);
    exact(name).or_else(|| exact(name.strip_suffix("_FILE")?).map(|_| Takes::Text))
}

/// "did you mean" for a stranger.
pub(super) fn suggestion(name: &str) -> Option<String> {
    let files: Vec<String> = PARAMETERS.iter().map(|(name, _)| format!("{name}_FILE")).collect();
    let known = PARAMETERS.iter().map(|(name, _)| *name).chain(files.iter().map(String::as_str));
    suggest(name, known)
}

/// What is wrong with a plain value; never quotes what may be a secret.
pub(super) fn wrong_value(name: &str, value: &str) -> Option<String> {
    match takes(name)? {
        Takes::Text => None,
        Takes::Secret => Some(format!("`{name}` is a secret and must not be written here")),
        Takes::Url => has_password(value).then(|| {
            format!("the URL in `{name}` holds a password, which must not be written here")
        }),
        Takes::Words(words) => (!words.contains(&value))
            .then(|| format!("`{name}` must be one of {}, not `{value}`", words.join(", "))),
        Takes::Number(min, max) => {
            let fits = value.parse::<u32>().is_ok_and(|n| (min..=max).contains(&n));
            (!fits).then(|| format!("`{name}` must be a number from {min} to {max}, not `{value}`"))
        }
    }
}

fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        || url.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_the_service_s_own() {
        assert!(PARAMETERS.is_sorted_by_key(|(name, _)| name));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../service/src/config/names.rs");
        let source = std::fs::read_to_string(path).expect("the service's list of names");
        let (_, list) = source.split_once("NAMES: [").expect("a list called NAMES");
        let (list, _) = list.split_once("];").expect("the end of the list");
        let theirs: Vec<&str> =
            list.split('"').filter(|word| word.starts_with("NEUROCA_")).collect();
        let ours: Vec<&str> = PARAMETERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_password_in_a_url_is_seen() {
        assert!(has_password("postgres://u:p@db/neuroca"));
        assert!(has_password("postgres://db/neuroca?user=u&password=p"));
        assert!(!has_password("postgres://u@db:5432/neuroca"));
        assert!(!has_password("sqlite://${data_dir}/nca.db"));
    }
}
