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

use crate::grpc;
use crate::log::AccessLine;
use crate::metrics::{Counters, Ended};
use crate::pool::Lease;
use crate::slots::{Fate, Sample, Unit};

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
    sample: Option<Sample>,
    fate: Fate,
}

/// Ready when a stream is to end.
pub type End = Pin<Box<dyn Future<Output = ()>>>;

impl InFlight {
    pub fn new(counters: Arc<Counters>, line: Option<AccessLine>, unit: Unit) -> Self {
        counters.in_flight.fetch_add(1, Relaxed);
        let (started, era) = (Instant::now(), counters.era());
        let sample = counters.slots.sent(unit);
        let (ended, fate) = (Ended::Aborted, Fate::Aborted);
        Self { counters, started, era, ended, stream: None, bytes: 0, line, sample, fate }
    }

    /// There is an answer, or none will come, or it broke off.
    pub fn ends_with(&mut self, ended: Ended) {
        self.ended = ended;
        match ended {
            Ended::Status(..500) | Ended::Aborted => {}
            Ended::Status(_) | Ended::ConnectError | Ended::Timeout | Ended::Broken => self.fails(),
        }
        if let Some(sample) = self.sample.as_mut().filter(|_| ended != Ended::Aborted) {
            self.counters.slots.answered(sample, self.started.elapsed());
        }
    }

    /// The component failed, whatever the status says.
    pub fn fails(&mut self) {
        self.fate = Fate::Failed;
    }

    /// All of the answer is there: whoever leaves now has not given up.
    pub fn is_whole(&mut self) {
        if self.fate == Fate::Aborted && self.ended != Ended::Aborted {
            self.fate = Fate::Good;
        }
    }

    /// From here on it is a stream, which an operator's drain limit may end.
    pub fn becomes_stream(&mut self) -> End {
        if self.stream.replace(self.started.elapsed()).is_none() {
            // Never in neither of the two: a drain looks at both.
            self.counters.streams.fetch_add(1, Relaxed);
            self.counters.in_flight.fetch_sub(1, Release);
            // That it goes on for hours is not to hold up a judge.
            self.is_whole();
            self.judge(self.started.elapsed());
        }
        Box::pin(self.counters.clone().era_over(self.era))
    }
}

impl InFlight {
    fn judge(&mut self, took: Duration) {
        if let Some(sample) = self.sample.take() {
            self.counters.slots.ended(sample, took, self.fate);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.judge(took);
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
                if frame.trailers_ref().is_some_and(grpc::is_failure) {
                    self.in_flight.fails();
                }
                // Nobody asks for more after trailers.
                if frame.is_trailers() || self.body.is_end_stream() {
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
        self.in_flight.is_whole();
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}
