//! A request is in flight until the last byte of its answer went out, or the client went away.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::log::AccessLine;
use crate::metrics::{Counters, Ended};
use crate::pool::Lease;

/// Counts one request from when its revision was picked until it is dropped.
pub struct InFlight {
    counters: Arc<Counters>,
    started: Instant,
    era: u64,
    ended: Ended,
    /// How long a stream's head took: how long it stays open says nothing about the revision.
    stream: Option<Duration>,
    bytes: u64,
    line: Option<AccessLine>,
}

/// Ready when a stream is to end.
pub type End = Pin<Box<dyn Future<Output = ()>>>;

impl InFlight {
    pub fn new(counters: Arc<Counters>, line: Option<AccessLine>) -> Self {
        counters.in_flight.fetch_add(1, Relaxed);
        let (started, era) = (Instant::now(), counters.era());
        Self { counters, started, era, ended: Ended::Aborted, stream: None, bytes: 0, line }
    }

    pub fn ends_with(&mut self, ended: Ended) {
        self.ended = ended;
    }

    /// From here on it is a stream, which an operator's drain limit may end.
    pub fn becomes_stream(&mut self) -> End {
        if self.stream.replace(self.started.elapsed()).is_none() {
            // Never in neither of the two: a drain looks at both.
            self.counters.streams.fetch_add(1, Relaxed);
            self.counters.in_flight.fetch_sub(1, Release);
        }
        Box::pin(self.counters.clone().era_over(self.era))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.counters.record(self.ended, self.stream.unwrap_or(took));
        if let Some(line) = self.line.take() {
            let (component, revision) = (&self.counters.component, &self.counters.revision);
            line.write(component, revision, self.ended, took, self.bytes);
        }
        // Last: who sees nothing in flight sees everything counted.
        let streams = self.stream.is_some();
        let counted = if streams { &self.counters.streams } else { &self.counters.in_flight };
        counted.fetch_sub(1, Release);
    }
}

/// The body of an answer to a client.
pub enum Answer {
    /// The edge's own words.
    Own(Full<Bytes>),
    /// What the component sends, as it sends it.
    Passed(Box<Passed>),
}

/// A component's body on its way, with all that ends when it does.
pub struct Passed {
    pub body: Incoming,
    pub in_flight: InFlight,
    pub lease: Option<Lease>,
    pub end: Option<End>,
}

impl Answer {
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Own(Full::new(text.into()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed(passed) => passed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Passed(passed) => passed.body.size_hint(),
        }
    }
}

impl Passed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            // A clean end, so that an event source reconnects instead of reporting an error.
            self.lease = None;
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.in_flight.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.give_back();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                self.in_flight.ends_with(Ended::Broken);
                self.lease = None;
            }
            Poll::Ready(None) => self.give_back(),
            Poll::Pending => {}
        }
        frame
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}
