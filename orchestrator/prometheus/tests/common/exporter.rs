//! A real Prometheus, and what it scrapes.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::server;

/// Serves the text it was given last; without one it answers 500.
#[derive(Clone)]
pub struct Exporter {
    pub address: String,
    text: Arc<Mutex<Option<String>>>,
}

impl Exporter {
    pub async fn start() -> Self {
        let text: Arc<Mutex<Option<String>>> = Arc::default();
        let shown = text.clone();
        let server = server::serve(move |_| match &*shown.lock().expect("no panic") {
            Some(text) => server::ok(text),
            None => server::http("500 Internal Server Error", ""),
        });
        let url = server.await.url;
        Self { address: url.trim_start_matches("http://").into(), text }
    }

    pub fn shows(&self, text: String) {
        *self.text.lock().expect("no panic") = Some(text);
    }

    pub fn fails(&self) {
        *self.text.lock().expect("no panic") = None;
    }
}

/// One revision's lines as the edge writes them.
pub fn edge(revision: &str, requests: u64, errors: u64, slow: u64) -> String {
    let labels = format!("component=\"api\",revision=\"{revision}\"");
    let mut out = format!("edge_requests_total{{{labels},status=\"2xx\"}} {}\n", requests - errors);
    // The edge shows no status that never happened.
    if errors > 0 {
        out += &format!("edge_requests_total{{{labels},status=\"5xx\"}} {errors}\n");
    }
    let name = "edge_request_duration_seconds";
    for (bound, n) in [("0.1", requests - slow), ("1.78", requests), ("+Inf", requests)] {
        out += &format!("{name}_bucket{{{labels},le=\"{bound}\"}} {n}\n");
    }
    out + &format!("{name}_count{{{labels}}} {requests}\n")
}

/// A Prometheus of its own, which ends with it.
pub struct Scraper {
    pub url: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Scraper {
    /// None where it is not installed, which only CI calls a failure.
    pub async fn start(exporters: &[&Exporter]) -> Option<Self> {
        let found = Command::new("prometheus").arg("--version").output().await.is_ok();
        if !found {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "prometheus is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let targets: Vec<&str> = exporters.iter().map(|one| one.address.as_str()).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: edge, static_configs: [{{targets: {targets:?}}}]}}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("a file");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let child = run(folder.path(), &address);
        let started = Self { url: format!("http://{address}"), folder, child };
        started.ready().await;
        Some(started)
    }

    pub async fn stop(&mut self) {
        let pid = self.child.id().expect("it runs").to_string();
        Command::new("kill").arg(&pid).status().await.expect("kill");
        self.child.wait().await.expect("it ends");
    }

    pub async fn start_again(&mut self) {
        self.child = run(self.folder.path(), self.url.trim_start_matches("http://"));
        self.ready().await;
    }

    async fn ready(&self) {
        let address = self.url.trim_start_matches("http://");
        for _ in 0..300 {
            if let Ok(mut stream) = tokio::net::TcpStream::connect(address).await {
                let head = "GET /-/ready HTTP/1.0\r\n\r\n";
                let mut answer = String::new();
                if stream.write_all(head.as_bytes()).await.is_ok()
                    && stream.read_to_string(&mut answer).await.is_ok()
                    && answer.contains("200 OK")
                {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Prometheus is not ready after 30 s");
    }
}

fn run(folder: &std::path::Path, address: &str) -> Child {
    Command::new("prometheus")
        .current_dir(folder)
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus")
}
