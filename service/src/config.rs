//! The settings of the service, read from `NEUROCA_*`, `PORT` and `HOST`.
//!
//! A value with everything checked; it does not touch the process's environment itself (the
//! variables come in), and it never shows the value of a secret.

mod auth;
mod database;
mod embedding;
mod llm;
mod names;
mod sealing;
mod source;
mod telemetry;
mod tls;
mod url;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use database::{Database, Server};
pub use names::{NAMES, parameter_of, suggestion};
use source::Source;

use crate::auth::AuthSettings;
use crate::embedding::EmbeddingSettings;
use crate::llm::LlmSettings;
use crate::masking::Masking;
use crate::sealing::SealingSettings;
use crate::telemetry::TelemetrySettings;
use crate::tls::TlsSettings;

/// Where it runs, as the operator calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A developer's machine.
    Development,
    /// Rehearsal.
    Staging,
    /// The real thing.
    Production,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(secret)")
    }
}

/// How many memories a subject may have in the tiers that forget, and a tenant in the one that does
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Working memory.
    pub working: u32,
    /// Short-term memory.
    pub short_term: u32,
    /// Long-term memory of a tenant: full, it refuses.
    pub long_term: u32,
}

impl Capacity {
    /// How many of a subject `tier` keeps, if it lets others go for new ones.
    pub fn of(&self, tier: crate::memory::Tier) -> Option<u32> {
        match tier {
            crate::memory::Tier::Working => Some(self.working),
            crate::memory::Tier::ShortTerm => Some(self.short_term),
            crate::memory::Tier::LongTerm => None,
        }
    }
}

/// Everything that the service is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `NEUROCA_ENV`.
    pub stage: Stage,
    /// `NEUROCA_LOG_LEVEL`, or debug when `NEUROCA_DEBUG` is on.
    pub log_level: tracing::Level,
    /// `NEUROCA_SECRET_KEY` or `NEUROCA_KMS_*`: with what memory content is sealed.
    pub sealing: Option<SealingSettings>,
    /// `NEUROCA_DB_*`.
    pub database: Database,
    /// `NEUROCA_MEMORY_*_SIZE`.
    pub capacity: Capacity,
    /// `NEUROCA_MEMORY_RETENTION_DAYS`: what nobody has looked at for so long is removed.
    pub retention_days: Option<u32>,
    /// `NEUROCA_MASK` and `NEUROCA_MASK_PATTERNS`.
    pub masking: Masking,
    /// `NEUROCA_AUTH`, `NEUROCA_OIDC_*`, `NEUROCA_RATE_LIMIT_PER_MINUTE`, `NEUROCA_REDIS_URL`.
    pub auth: AuthSettings,
    /// `NEUROCA_LLM_*`: the language model that may be asked; everything else works without one.
    pub llm: Option<LlmSettings>,
    /// `NEUROCA_TLS_*`; plain HTTP without.
    pub tls: Option<TlsSettings>,
    /// `NEUROCA_EMBEDDINGS_*`: vectors for a search by meaning; without, search goes by words.
    pub embeddings: Option<EmbeddingSettings>,
    /// `OTEL_*`: where traces go; nowhere without an endpoint.
    pub telemetry: Option<TelemetrySettings>,
    /// `NEUROCA_DRAIN_DELAY_MS`.
    pub drain_delay: Duration,
    /// `NEUROCA_REVISION`: what the answers call this deployment.
    pub revision: String,
    /// `HOST` and `PORT`.
    pub listen: SocketAddr,
}

/// Every problem of the variables at once.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "the configuration is not valid:")?;
        for problem in &self.0 {
            write!(out, "\n  {problem}")?;
        }
        write!(out, "\n`neuroca parameters` prints the known names")
    }
}

impl std::error::Error for ConfigError {}

impl Settings {
    /// Reads and checks all `variables`.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut source = Source::new(variables);
        let stage = source.choice(
            "NEUROCA_ENV",
            Stage::Development,
            &[
                ("development", Stage::Development),
                ("staging", Stage::Staging),
                ("production", Stage::Production),
            ],
        );
        let debug = source.choice(
            "NEUROCA_DEBUG",
            false,
            &[("true", true), ("false", false), ("1", true), ("0", false)],
        );
        let log_level = source.choice(
            "NEUROCA_LOG_LEVEL",
            if debug { tracing::Level::DEBUG } else { tracing::Level::INFO },
            &[
                ("debug", tracing::Level::DEBUG),
                ("info", tracing::Level::INFO),
                ("warning", tracing::Level::WARN),
                ("error", tracing::Level::ERROR),
            ],
        );
        let database = database::read(&mut source);
        let settings = Self {
            stage,
            log_level,
            sealing: sealing::read(&mut source),
            capacity: Capacity {
                working: source.number("NEUROCA_MEMORY_WORKING_SIZE", 100, 1, 1_000_000),
                short_term: source.number("NEUROCA_MEMORY_SHORT_TERM_SIZE", 1000, 1, 1_000_000),
                long_term: source.number(
                    "NEUROCA_MEMORY_LONG_TERM_SIZE",
                    10_000_000,
                    1,
                    1_000_000_000,
                ),
            },
            retention_days: Some(source.number("NEUROCA_MEMORY_RETENTION_DAYS", 0, 0, 36_500))
                .filter(|days| *days > 0),
            masking: read_masking(&mut source),
            auth: auth::read(&mut source, stage),
            llm: llm::read(&mut source),
            tls: tls::read(&mut source),
            embeddings: embedding::read(&mut source),
            telemetry: telemetry::read(&mut source),
            drain_delay: Duration::from_millis(
                source.number("NEUROCA_DRAIN_DELAY_MS", 0, 0, 600_000).into(),
            ),
            revision: read_revision(&mut source),
            listen: read_listen(&mut source),
            database,
        };
        source.finish().map(|()| settings)
    }
}

fn read_masking(source: &mut Source) -> Masking {
    let kinds = source.text("NEUROCA_MASK").unwrap_or_default();
    let patterns = source.text("NEUROCA_MASK_PATTERNS").unwrap_or_default();
    Masking::new(&kinds, &patterns).unwrap_or_else(|problem| {
        source.problem(format!("NEUROCA_MASK and NEUROCA_MASK_PATTERNS: {problem}"));
        Masking::default()
    })
}

fn read_revision(source: &mut Source) -> String {
    let revision = source
        .text("NEUROCA_REVISION")
        .unwrap_or_else(|| concat!("v", env!("CARGO_PKG_VERSION")).to_owned());
    // It stands in a header and in a metric's label.
    if !revision.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
        source.problem("NEUROCA_REVISION holds something other than visible ASCII characters");
    }
    revision
}

fn read_listen(source: &mut Source) -> SocketAddr {
    let host = source.plain("HOST", IpAddr::V4(Ipv4Addr::LOCALHOST), "an IP address");
    let port = source.plain("PORT", 8000u16, "a port number");
    SocketAddr::new(host, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from_variables(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    fn problems(pairs: &[(&str, &str)]) -> String {
        settings(pairs).expect_err("a config error").to_string()
    }

    #[test]
    fn nothing_said_is_a_working_default() {
        let settings = settings(&[("PATH", "/bin")]).expect("valid");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(settings.database.to_string(), "sqlite neuroca.db");
    }

    #[test]
    fn all_problems_come_at_once() {
        insta::assert_snapshot!(problems(&[
            ("NEUROCA_DB_PASWORD", "hunter2-canary"),
            ("NEUROCA_API_SERVICE_HOST", "10.0.0.1"),
            ("NEUROCA_ENV", "prod"),
            ("NEUROCA_DEBUG", "no"),
            ("NEUROCA_MEMORY_WORKING_SIZE", "0"),
            ("NEUROCA_LLM_API_KEY", "hunter2-canary"),
            ("PORT", "eighty"),
        ]), @r"
        the configuration is not valid:
          NEUROCA_API_SERVICE_HOST is not a parameter of this service
          NEUROCA_DB_PASWORD is not a parameter of this service; did you mean NEUROCA_DB_PASSWORD?
          NEUROCA_ENV is not one of development, staging, production
          NEUROCA_DEBUG is not one of true, false, 1, 0
          NEUROCA_MEMORY_WORKING_SIZE is not a whole number from 1 to 1000000
          NEUROCA_LLM_API_KEY means nothing without NEUROCA_LLM_PROVIDER
          PORT is not a port number
        `neuroca parameters` prints the known names
        ");
    }

    #[test]
    fn secrets_are_never_shown() {
        let settings = settings(&[
            ("NEUROCA_SECRET_KEY", "hunter2-canary"),
            ("NEUROCA_DB_URL", "postgres://u:hunter2-canary@db.example.com/neuroca"),
            ("NEUROCA_LLM_PROVIDER", "openai"),
            ("NEUROCA_LLM_API_KEY", "hunter2-canary"),
        ])
        .expect("valid");
        let shown = format!("{settings:?} {}", settings.database);
        assert!(!shown.contains("hunter2"), "{shown}");
        for value in
            ["postgres://u:hunter2-canary@:99999999/x", "mysql://hunter2-canary", "hunter2-canary"]
        {
            let shown = problems(&[("NEUROCA_DB_URL", value)]);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_file_gives_the_value_without_its_last_line_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("key");
        std::fs::write(&path, "s3cret\n").expect("written");
        let path = path.to_str().expect("utf-8");
        let read = settings(&[("NEUROCA_SECRET_KEY_FILE", path)]).expect("valid");
        let current = read.sealing.expect("a key").current;
        assert_eq!(current, crate::sealing::WrappedBy::Secret(Secret("s3cret".into())));
        let both = problems(&[("NEUROCA_SECRET_KEY_FILE", path), ("NEUROCA_SECRET_KEY", "x")]);
        assert!(both.contains("are both set"), "{both}");
        let gone = problems(&[("NEUROCA_SECRET_KEY_FILE", "/nonexistent/key")]);
        assert!(gone.contains("/nonexistent/key"), "{gone}");
    }
}
