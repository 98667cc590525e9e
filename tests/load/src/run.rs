//! Sends until the end is reached, from all connections at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::connection::{Answer, Connection, Lost, Protocol};
use crate::options::Load;
use crate::record::{Report, Tally};
use crate::streams;

/// Nobody is helped by asking a closed port ten thousand times a second.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);

/// What a run leaves.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The counts.
    pub report: Report,
    /// In the content of each memory of this run.
    pub run_id: String,
    /// The number of each acknowledged POST and the id that it was given.
    pub acknowledged: BTreeMap<u64, String>,
}

pub(crate) struct Run {
    pub(crate) load: Load,
    pub(crate) tally: Tally,
    run_id: String,
    next: AtomicU64,
    over: AtomicBool,
    acknowledged: Mutex<BTreeMap<u64, String>>,
}

/// The content of the memory that POST `number` of a run makes.
pub(crate) fn content(run_id: &str, number: u64) -> String {
    format!("load {run_id} {number}")
}

/// Runs `load` until its end or until `stop`, whichever comes first. Requests that are under way
/// then are still waited for.
pub async fn run(load: &Load, stop: impl Future<Output = ()>) -> Outcome {
    let run = Arc::new(Run {
        load: load.clone(),
        tally: Tally::new(),
        run_id: format!("{:016x}", fastrand::u64(..)),
        next: AtomicU64::new(0),
        over: AtomicBool::new(false),
        acknowledged: Mutex::default(),
    });
    let mut background = JoinSet::new();
    streams::start(&run, &mut background);
    let mut senders = JoinSet::new();
    for _ in 0..load.h1_connections {
        let connection = Arc::new(Connection::new(&load.authority, Protocol::Http1));
        senders.spawn(send(run.clone(), connection, Protocol::Http1));
    }
    for _ in 0..load.h2_connections {
        let connection = Arc::new(Connection::new(&load.authority, Protocol::Http2));
        for _ in 0..load.h2_concurrency {
            senders.spawn(send(run.clone(), connection.clone(), Protocol::Http2));
        }
    }
    let time_is_up = async {
        match (load.duration, load.requests) {
            (Some(duration), _) => tokio::time::sleep(duration).await,
            // Ends when all are sent.
            (None, Some(_)) => std::future::pending().await,
            (None, None) => tokio::time::sleep(Duration::from_secs(10)).await,
        }
    };
    // With streams alone, time and `stop` decide.
    let all_sent = async {
        if senders.is_empty() {
            std::future::pending::<()>().await;
        }
        while senders.join_next().await.is_some() {}
    };
    tokio::select! {
        () = all_sent => {}
        () = time_is_up => {}
        () = stop => {}
    }
    run.over.store(true, Ordering::Relaxed);
    while senders.join_next().await.is_some() {}
    // Streams end by our hand now: that is no end worth a count.
    background.shutdown().await;
    let acknowledged = run.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Outcome { report: run.tally.report(), run_id: run.run_id.clone(), acknowledged }
}

impl Run {
    /// The number of the next request once its time has come; `None` at the end.
    async fn ticket(&self) -> Option<u64> {
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.load.requests.is_some_and(|limit| number >= limit) {
            return None;
        }
        if let Some(rate) = self.load.rate {
            let due = self.tally.started() + Duration::from_secs_f64(number as f64 / rate);
            // At low rates a ticket may lie far ahead: look up for the end meanwhile.
            while Instant::now() < due {
                if self.over.load(Ordering::Relaxed) {
                    return None;
                }
                let step = due.saturating_duration_since(Instant::now());
                tokio::time::sleep(step.min(Duration::from_millis(100))).await;
            }
        }
        (!self.over.load(Ordering::Relaxed)).then_some(number)
    }

    /// Whether request `number` is a POST: the same for the same seed.
    fn is_post(&self, number: u64) -> bool {
        let mut random = fastrand::Rng::with_seed(self.load.seed.wrapping_mul(1_000_003) ^ number);
        random.f64() < self.load.post_fraction
    }
}

async fn send(run: Arc<Run>, connection: Arc<Connection>, protocol: Protocol) {
    while let Some(number) = run.ticket().await {
        let post = run.is_post(number);
        let (method, request) = if post {
            let body = serde_json::json!({
                "content": content(&run.run_id, number),
                // The other tiers forget, which would look like a loss.
                "tier": "long_term",
            });
            ("POST", connection.request("POST", &run.load.path, Bytes::from(body.to_string())))
        } else {
            ("GET", connection.request("GET", &run.load.get_path, Bytes::new()))
        };
        let sent = Instant::now();
        let outcome = connection
            .ask(request, run.load.timeout, &run.tally)
            .await
            .and_then(|answer| judge(&run, post, number, answer));
        let refused = matches!(&outcome, Err(lost) if lost.kind == "connect");
        match outcome {
            Ok(revision) => run.tally.ended(method, protocol, sent, Ok(&revision)),
            Err(lost) => run.tally.ended(method, protocol, sent, Err(lost)),
        }
        if refused {
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }
}

/// The revision of a good answer; an acknowledged POST is remembered.
fn judge(run: &Run, post: bool, number: u64, answer: Answer) -> Result<String, Lost> {
    let good = if post { answer.status == 201 } else { answer.status.is_success() };
    if !good {
        let text = String::from_utf8_lossy(&answer.body);
        let text: String = text.chars().take(160).collect();
        let detail = format!("{} {text}", answer.status);
        return Err(Lost { kind: "status", detail, revision: revision(&answer.headers) });
    }
    if post {
        let id = serde_json::from_slice::<serde_json::Value>(&answer.body)
            .ok()
            .and_then(|body| body["id"].as_str().map(str::to_owned));
        let Some(id) = id else {
            let detail = "201 without an id in the body".to_owned();
            return Err(Lost { kind: "answer", detail, revision: revision(&answer.headers) });
        };
        run.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(number, id);
    }
    Ok(revision(&answer.headers).unwrap_or_else(|| "-".to_owned()))
}

pub(crate) fn revision(headers: &hyper::HeaderMap) -> Option<String> {
    headers.get("x-nca-revision").and_then(|value| value.to_str().ok()).map(str::to_owned)
}
