//! A database of its own for each test: a SQLite file, or one on the server that
//! `NEUROCA_TEST_POSTGRES_URL` names. It is gone when this is dropped.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use uuid::Uuid;

use super::{Running, neuroca};

pub struct Database {
    pub url: String,
    pub dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    server: Option<(PgConnectOptions, String)>,
}

impl Database {
    /// One of each kind that can be had here, migrated.
    pub fn each() -> Vec<Self> {
        Self::each_with(&[])
    }

    /// The same, for a service that has these variables.
    pub fn each_with(env: &[(&str, &str)]) -> Vec<Self> {
        let all = std::iter::once(Self::sqlite()).chain(Self::postgres());
        all.map(|database| database.with(env).migrated()).collect()
    }

    /// Other variables for what is started from now on.
    pub fn with(mut self, env: &[(&str, &str)]) -> Self {
        self.env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self
    }

    fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", dir.path().join("neuroca.db").display());
        Self { url, dir, env: Vec::new(), server: None }
    }

    fn postgres() -> Option<Self> {
        let address = std::env::var("NEUROCA_TEST_POSTGRES_URL").ok()?;
        let server: PgConnectOptions = address.parse().expect("a postgres:// URL");
        let name = format!("neuroca_test_{}", Uuid::now_v7().simple());
        execute(&server, format!("CREATE DATABASE {name}"));
        let (front, _) = address.rsplit_once('/').expect("a URL with a database");
        let dir = tempfile::tempdir().expect("a folder");
        let url = format!("{front}/{name}");
        Some(Self { url, dir, env: Vec::new(), server: Some((server, name)) })
    }

    fn migrated(self) -> Self {
        let output = self.command("migrate").output().expect("neuroca runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self
    }

    /// `neuroca VERB` on it.
    pub fn command(&self, verb: &str) -> std::process::Command {
        let mut command = neuroca(self.dir.path(), verb);
        command.env("NEUROCA_DB_URL", &self.url);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A ready service on it.
    pub fn serve(&self, env: &[(&str, &str)]) -> Running {
        let mut all = vec![("NEUROCA_DB_URL", self.url.as_str())];
        all.extend(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend(env);
        Running::serve(self.dir.path(), &all)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.server {
            execute(server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// On a thread of its own: a test that is asynchronous itself may not block its own runtime.
fn execute(server: &PgConnectOptions, sql: String) {
    let work = async {
        let mut connection = server.connect().await.expect("NEUROCA_TEST_POSTGRES_URL answers");
        connection.execute(AssertSqlSafe(sql)).await.expect("the server does it");
        connection.close().await.expect("closes");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work);
        });
    });
}
