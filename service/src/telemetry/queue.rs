//! Spans that have ended, on their way out. Bounded: whoever does not take them costs spans, and never a request or
//! memory; how many, a metric says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Spans that wait at most: some megabytes.
const WAITING: usize = 4096;
/// Spans of one request to the receiver.
const BATCH: usize = 512;
/// How long the first of a batch waits for others.
const LINGER: Duration = Duration::from_millis(500);

/// Spans that nobody got, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// There were too many at once.
    pub full: u64,
    /// The receiver did not take them.
    pub refused: u64,
}

static FULL: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Since the process began.
pub fn dropped() -> Dropped {
    Dropped { full: FULL.load(Ordering::Relaxed), refused: REFUSED.load(Ordering::Relaxed) }
}

/// Puts ended spans into the queue.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<SpanData>);

/// Ends the queue.
pub(super) struct Handle {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Sends what waits.
    pub(super) async fn end(self) {
        // It may have ended by itself.
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

pub(super) fn start(exporter: impl SpanExporter + 'static) -> (Handle, Queue) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(send(exporter, waiting, ended));
    (Handle { end, task }, Queue(sender))
}

async fn send(
    exporter: impl SpanExporter,
    mut waiting: mpsc::Receiver<SpanData>,
    mut ended: oneshot::Receiver<()>,
) {
    let mut works = true;
    let mut last = false;
    while !last {
        let mut batch = Vec::with_capacity(BATCH);
        tokio::select! {
            count = waiting.recv_many(&mut batch, BATCH) => if count == 0 { return },
            _ = &mut ended => last = true,
        }
        if !last && batch.len() < BATCH {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                _ = &mut ended => last = true,
            }
        }
        loop {
            while batch.len() < BATCH {
                match waiting.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => break,
                }
            }
            if batch.is_empty() {
                break;
            }
            let count = batch.len() as u64;
            let sent = exporter.export(std::mem::take(&mut batch)).await;
            if let Err(error) = &sent {
                REFUSED.fetch_add(count, Ordering::Relaxed);
                // Once, and not for every batch.
                if works {
                    tracing::warn!(%error, "the receiver of traces does not take them");
                }
            } else if !works {
                tracing::info!("the receiver of traces takes them again");
            }
            works = sent.is_ok();
            if !last {
                break;
            }
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            FULL.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tokio::sync::watch;

    use super::*;

    const MANY: u64 = 3 * WAITING as u64;

    /// A receiver that takes nothing until it is let.
    #[derive(Debug)]
    struct Stuck {
        takes: watch::Receiver<bool>,
        taken: Arc<AtomicU64>,
    }

    impl SpanExporter for Stuck {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.takes.clone().wait_for(|takes| *takes).await.expect("the test goes on");
            self.taken.fetch_add(batch.len() as u64, Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_costs_spans_and_no_memory() {
        let (takes, taken) = (watch::Sender::new(false), Arc::new(AtomicU64::new(0)));
        let (handle, queue) = start(Stuck { takes: takes.subscribe(), taken: taken.clone() });
        let spans = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(queue)
            .build();
        let before = dropped().full;
        for _ in 0..MANY {
            spans.tracer("test").start("a request").end();
        }
        assert_eq!(dropped().full - before, MANY - WAITING as u64);
        takes.send_replace(true);
        handle.end().await;
        assert_eq!(taken.load(Ordering::Relaxed), WAITING as u64, "what waits is sent at the end");
    }
}
