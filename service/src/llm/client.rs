//! Asking: connections, silence, retries, and the stream of an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use tracing::{Instrument, Span, field};

use super::breaker::{Breaker, Pass};
use super::meter::Meter;
use super::sse::Events;
use super::wire::{self, Wire};
use super::{Failure, LlmSettings, Piece, Prompt, Usage, retry};
use crate::outbound::{Outbound, outbound};
use crate::telemetry::with_trace;

const CONNECT: Duration = Duration::from_secs(5);
/// An answer that takes longer is given up, however steadily it comes.
const LONGEST: Duration = Duration::from_secs(300);
/// Bytes of one answer, with all that is around its words.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const MOST_OF_A_REFUSAL: usize = 64 * 1024;

/// A language model.
pub struct Llm {
    settings: LlmSettings,
    model: String,
    endpoint: Uri,
    client: Outbound<Full<Bytes>>,
    breaker: Breaker,
    meter: Arc<Meter>,
}

impl Llm {
    /// The model of `settings`, unless they cannot work; asks nothing yet.
    pub fn new(settings: LlmSettings) -> Option<Self> {
        if settings.provider.needs_key() && settings.api_key.is_none() {
            return None;
        }
        let model = settings.model.clone()?;
        let base = settings.base_url.to_string();
        let path = wire::path(settings.provider);
        let endpoint = format!("{}{path}", base.trim_end_matches('/')).parse().ok()?;
        Some(Self {
            client: outbound(CONNECT.min(settings.timeout)),
            settings,
            model,
            endpoint,
            breaker: Breaker::default(),
            meter: Arc::default(),
        })
    }

    /// Who serves it.
    pub fn provider(&self) -> &'static str {
        self.settings.provider.name()
    }

    /// Which one it is.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Longest answer, in tokens.
    pub fn max_tokens(&self) -> u32 {
        self.settings.max_tokens
    }

    /// Counts what was used.
    pub fn used(&self, usage: Usage) {
        self.meter.used(usage);
    }

    /// Appends the metrics; `labels` go to every sample.
    pub fn render(&self, out: &mut String, labels: &str) {
        let labels = format!("provider=\"{}\",{labels}", self.provider());
        self.meter.render(out, &labels, self.breaker.is_open());
    }

    /// Asks; what can be repeated safely is repeated.
    pub async fn ask(&self, prompt: &Prompt) -> Result<Answering, Failure> {
        // Held by the answer, which is a part of it.
        let span = tracing::info_span!(
            "chat",
            otel.name = format!("chat {}", self.model),
            otel.kind = "client",
            otel.status_code = field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = self.provider(),
            gen_ai.request.model = self.model,
            server.address = self.endpoint.host(),
            error.r#type = field::Empty,
        );
        let asked = self.ask_patiently(prompt).instrument(span.clone()).await;
        match asked {
            Ok(mut answering) => {
                answering.span = span;
                Ok(answering)
            }
            Err(failure) => {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", failure.outcome());
                Err(failure)
            }
        }
    }

    async fn ask_patiently(&self, prompt: &Prompt) -> Result<Answering, Failure> {
        let body = wire::body(self.settings.provider, &self.model, prompt).to_string();
        let body = Bytes::from(body);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failure = match self.attempt(body.clone()).await {
                Ok(answering) => return Ok(answering),
                Err(failure) => failure,
            };
            self.meter.ended(failure.outcome());
            let provider = self.provider();
            match retry::pause(&failure, attempts, fastrand::f64()) {
                Some(pause) => {
                    let pause_ms = pause.as_millis() as u64;
                    tracing::info!(provider, %failure, attempts, pause_ms, "asking the model again");
                    tokio::time::sleep(pause).await;
                }
                None => {
                    tracing::warn!(provider, %failure, attempts, "the model did not answer");
                    return Err(failure);
                }
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<Answering, Failure> {
        let pass = self.breaker.admit(Instant::now()).map_err(Failure::LeftAlone)?;
        match self.head(body).await {
            Ok(response) => Ok(Answering {
                body: response.into_body(),
                events: Events::default(),
                wire: Wire::new(self.settings.provider),
                pass: Some(pass),
                meter: self.meter.clone(),
                silence: self.settings.timeout,
                heard_at: Instant::now(),
                until: Instant::now() + LONGEST,
                bytes: 0,
                span: Span::none(),
            }),
            Err(failure) => {
                rate(pass, &failure);
                Err(failure)
            }
        }
    }

    async fn head(&self, body: Bytes) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.extend(wire::headers(&self.settings));
        with_trace(headers);
        let silence = self.settings.timeout;
        let response = match tokio::time::timeout(silence, self.client.request(request)).await {
            Err(_) => return Err(Failure::Silent(silence)),
            Ok(Err(error)) if error.is_connect() => return Err(Failure::Unreachable),
            Ok(Err(_)) => return Err(Failure::Cut),
            Ok(Ok(response)) => response,
        };
        match response.status() {
            status if status.is_success() => {
                let kind = response.headers().get(CONTENT_TYPE);
                let streams = kind.is_some_and(|k| k.as_bytes().starts_with(b"text/event-stream"));
                if streams { Ok(response) } else { Err(Failure::Garbled("it is no event stream")) }
            }
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::Busy(wish(response.headers()))),
            status if status.is_server_error() => Err(Failure::Failed(status.as_u16())),
            status => {
                let text = Limited::new(response.into_body(), MOST_OF_A_REFUSAL).collect();
                let text = tokio::time::timeout(silence, text).await.ok().and_then(Result::ok);
                let code = wire::refusal(&text.map(|body| body.to_bytes()).unwrap_or_default());
                Err(Failure::Refused(status.as_u16(), code))
            }
        }
    }
}

fn rate(pass: Pass, failure: &Failure) {
    if failure.is_sickness() { pass.failed(Instant::now()) } else { pass.worked() }
}

/// `Retry-After` in seconds, which is what providers send.
fn wish(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An answer that is on its way. Dropped early, it ends the connection, and so the work of the model.
pub struct Answering {
    body: Incoming,
    events: Events,
    wire: Wire,
    /// Until the end is known.
    pass: Option<Pass>,
    meter: Arc<Meter>,
    silence: Duration,
    heard_at: Instant,
    until: Instant,
    bytes: usize,
    /// Ends with it.
    span: Span,
}

impl Answering {
    /// The next part; `None` behind the end or a failure. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> Option<Result<Piece, Failure>> {
        self.pass.as_ref()?;
        let heard = self.hear().await;
        match &heard {
            Ok(Piece::Text(_)) => {}
            Ok(Piece::End { .. }) => {
                self.meter.ended("answered");
                self.pass.take()?.worked();
            }
            Err(failure) => {
                self.meter.ended(failure.outcome());
                tracing::warn!(%failure, "the model did not answer to the end");
                rate(self.pass.take()?, failure);
            }
        }
        Some(heard)
    }

    async fn hear(&mut self) -> Result<Piece, Failure> {
        loop {
            while let Some(data) = self.events.next()? {
                if let Some(piece) = self.wire.hear(&data)? {
                    return Ok(piece);
                }
            }
            let until = self.until.min(self.heard_at + self.silence);
            let frame = tokio::time::timeout_at(until.into(), self.body.frame()).await;
            match frame.map_err(|_| Failure::Silent(self.silence))? {
                Some(Ok(frame)) => {
                    self.heard_at = Instant::now();
                    if let Ok(data) = frame.into_data() {
                        self.bytes += data.len();
                        self.events.push(&data);
                    }
                }
                Some(Err(_)) | None => return self.wire.hung_up(),
            }
            if self.bytes > MOST_BYTES {
                return Err(Failure::Garbled("it does not end"));
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.pass.is_some() {
            self.meter.ended("abandoned");
        }
    }
}
