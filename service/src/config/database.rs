//! Which database: a SQLite file by default, PostgreSQL by URL or by its parts.
//!
//! Connects to nothing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::source::Source;

/// Where memories are kept. Shows itself without the password.
#[derive(Clone)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<Server>),
}

/// A PostgreSQL server and how it is used.
#[derive(Clone)]
pub struct Server {
    /// Where writes go.
    pub primary: PgConnectOptions,
    /// Where reads go that may be a moment old.
    pub replica: Option<PgConnectOptions>,
    /// Connections to each of them at most.
    pub connections: u32,
    /// A statement that takes longer is ended.
    pub statement_timeout_ms: u32,
}

impl Server {
    /// `primary` alone, with the defaults.
    pub fn new(primary: PgConnectOptions) -> Self {
        Self { primary, replica: None, connections: 10, statement_timeout_ms: 10_000 }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::Sqlite(path) => write!(out, "sqlite {}", path.display()),
            Database::Postgres(server) => write!(
                out,
                "postgres {}:{}/{}",
                server.primary.get_host(),
                server.primary.get_port(),
                server.primary.get_database().unwrap_or("neuroca")
            ),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Database {}

impl Database {
    fn backend(&self) -> &'static str {
        match self {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(_) => "postgres",
        }
    }
}

pub(super) fn read(source: &mut Source) -> Database {
    let url = source.text("NEUROCA_DB_URL");
    let password = source.text("NEUROCA_DB_PASSWORD");
    let host = source.text("NEUROCA_DB_HOST");
    let name = source.text("NEUROCA_DB_NAME");
    let user = source.text("NEUROCA_DB_USER");
    let port = source.number("NEUROCA_DB_PORT", 5432, 1, 65_535) as u16;
    let mut database = match (url, host) {
        (Some(_), Some(_)) => {
            source.problem("NEUROCA_DB_URL and NEUROCA_DB_HOST are both set; keep one");
            default()
        }
        (Some(url), None) => from_url(source, &url, password),
        (None, Some(host)) => {
            let mut options = PgConnectOptions::new_without_pgpass()
                .host(&host)
                .port(port)
                .database(name.as_deref().unwrap_or("neuroca"))
                .username(user.as_deref().unwrap_or("neuroca"));
            if let Some(password) = password {
                options = options.password(&password);
            }
            Database::Postgres(Box::new(Server::new(options)))
        }
        (None, None) => {
            if name.is_some() || user.is_some() || password.is_some() {
                source.problem(
                    "NEUROCA_DB_NAME, NEUROCA_DB_USER and NEUROCA_DB_PASSWORD mean nothing \
                     without NEUROCA_DB_HOST or NEUROCA_DB_URL",
                );
            }
            default()
        }
    };
    read_server(source, &mut database);
    let backend = source.choice(
        "NEUROCA_MEMORY_LONG_TERM_BACKEND",
        database.backend(),
        &[("sqlite", "sqlite"), ("postgres", "postgres")],
    );
    if backend != database.backend() {
        source.problem(format!(
            "NEUROCA_MEMORY_LONG_TERM_BACKEND is {backend}, but NEUROCA_DB_* name a {} database; \
             all tiers live in one database",
            database.backend()
        ));
    }
    database
}

fn read_server(source: &mut Source, database: &mut Database) {
    let replica = source.text("NEUROCA_DB_READ_URL");
    let connections = source.number("NEUROCA_DB_POOL_SIZE", 10, 1, 1000);
    let statement_timeout_ms =
        source.number("NEUROCA_DB_STATEMENT_TIMEOUT_MS", 10_000, 100, 600_000);
    match database {
        Database::Postgres(server) => {
            server.connections = connections;
            server.statement_timeout_ms = statement_timeout_ms;
            server.replica = replica.and_then(|url| {
                let options = url
                    .starts_with("postgres")
                    .then(|| PgConnectOptions::from_str(&url).ok())
                    .flatten();
                if options.is_none() {
                    source.problem("NEUROCA_DB_READ_URL is not a valid postgres:// URL");
                }
                options
            });
        }
        Database::Sqlite(_) => {
            if replica.is_some() {
                source.problem("NEUROCA_DB_READ_URL means nothing for a SQLite database");
            }
        }
    }
}

fn default() -> Database {
    Database::Sqlite("neuroca.db".into())
}

fn from_url(source: &mut Source, url: &str, password: Option<String>) -> Database {
    if let Some(rest) = url.strip_prefix("sqlite:") {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.contains([':', '?']) {
            source.problem(
                "NEUROCA_DB_URL: a SQLite database is sqlite://PATH with nothing after the path, \
                 and a file: one in memory is lost at every deployment",
            );
        }
        return Database::Sqlite(path.into());
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        match PgConnectOptions::from_str(url) {
            Ok(options) => {
                let options = match password {
                    Some(password) => options.password(&password),
                    None => options,
                };
                return Database::Postgres(Box::new(Server::new(options)));
            }
            // The error may quote a piece of the URL, and with it the password.
            Err(_) => source.problem("NEUROCA_DB_URL is not a valid postgres:// URL"),
        }
    } else {
        source.problem("NEUROCA_DB_URL starts with neither sqlite:// nor postgres://");
    }
    default()
}
