//! The engine's counts of requests: those of the edge, through the supervisor's API.

use std::time::Duration;

use async_trait::async_trait;
use neuroca_deploy_core::judge::{Compared, Window};
use neuroca_deploy_engine::ports::{Metrics, MetricsError};

use crate::client::Client;
use crate::layout::StateDir;

/// More than the supervisor waits for an edge.
const ANSWERS: Duration = Duration::from_secs(5);

/// Windows counted where the clients are.
pub struct LocalMetrics {
    client: Client,
    interval_ms: u64,
}

impl LocalMetrics {
    /// Windows of so many milliseconds, a whole number of seconds.
    pub fn new(state: &StateDir, interval_ms: u64) -> Self {
        Self { client: Client::new(state), interval_ms }
    }
}

#[async_trait]
impl Metrics for LocalMetrics {
    async fn windows(
        &self,
        compared: &[Compared],
        after_ms: u64,
    ) -> Result<Vec<Window>, MetricsError> {
        let json = serde_json::to_string(compared).map_err(|e| MetricsError(e.to_string()))?;
        let (interval, compared) = (self.interval_ms, encoded(&json));
        let path =
            format!("/v1/windows?after_ms={after_ms}&interval_ms={interval}&compared={compared}");
        let answer = self.client.get::<Result<Vec<Window>, String>>(&path);
        match tokio::time::timeout(ANSWERS, answer).await {
            Ok(Ok(windows)) => windows.map_err(MetricsError),
            Ok(Err(error)) => Err(MetricsError(error.to_string())),
            Err(_) => Err(MetricsError("the supervisor does not answer".into())),
        }
    }
}

/// As a query's value.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    })
}
