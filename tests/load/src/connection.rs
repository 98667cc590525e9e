//! One connection of either protocol, opened again for the next request when it has ended.
//!
//! Sends each request at most once. hyper gives a request back when it did not write a byte of
//! it, because the connection had ended meanwhile (`Connection: close`, GOAWAY); such a request
//! is sent for the first time on a new connection, and counted, so that nobody has to believe it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::record::Tally;

/// The two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where a request failed, and what was said.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
    /// Who gave an answer that is not good.
    pub(crate) revision: Option<String>,
}

impl Lost {
    pub(crate) fn new(kind: &'static str, error: &dyn std::error::Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            cause = error.source();
        }
        Self { kind, detail, revision: None }
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Connection {
    authority: String,
    protocol: Protocol,
    /// HTTP/2 is shared by several requests; an HTTP/1 sender is taken out while in use.
    open: Mutex<Option<Sender>>,
}

impl Connection {
    pub(crate) fn new(authority: &str, protocol: Protocol) -> Self {
        Self { authority: authority.to_owned(), protocol, open: Mutex::new(None) }
    }

    /// A request for `path` in the form that the protocol wants.
    pub(crate) fn request(&self, method: &str, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let uri = match self.protocol {
            Protocol::Http1 => path.to_owned(),
            Protocol::Http2 => format!("http://{}{path}", self.authority),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.parse().unwrap_or_default();
        *request.uri_mut() = uri.parse().unwrap_or(Uri::from_static("/"));
        if self.protocol == Protocol::Http1
            && let Ok(host) = HeaderValue::from_str(&self.authority)
        {
            request.headers_mut().insert(HOST, host);
        }
        if method == "POST" {
            request
                .headers_mut()
                .insert("content-type", HeaderValue::from_static("application/json"));
        }
        request
    }

    /// The whole answer, within `timeout`.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        tally: &Tally,
    ) -> Result<Answer, Lost> {
        let asked = async {
            let (response, sender) = self.send(request, tally).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| Lost::new("body", &error))?.to_bytes();
            self.give_back(sender, &head.headers, tally).await;
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| {
            let detail = format!("no answer within {timeout:?}");
            Err(Lost { kind: "timeout", detail, revision: None })
        })
    }

    /// The head of an answer whose body goes on.
    pub(crate) async fn stream(
        &self,
        request: Request<Full<Bytes>>,
        tally: &Tally,
    ) -> Result<(Response<Incoming>, impl Sized + use<>), Lost> {
        // The stream ends when the sender is dropped, so the caller has to keep it.
        self.send(request, tally).await
    }

    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        tally: &Tally,
    ) -> Result<(Response<Incoming>, Sender), Lost> {
        loop {
            let mut sender = self.sender(tally).await?;
            let sent = match &mut sender {
                Sender::Http1(sender) => sender.try_send_request(request).await,
                Sender::Http2(sender) => sender.try_send_request(request).await,
            };
            request = match sent {
                Ok(response) => return Ok((response, sender)),
                Err(error) => unsent(error)?,
            };
            tally.found_closed();
            if self.protocol == Protocol::Http2 {
                self.open.lock().await.take();
            }
        }
    }

    async fn sender(&self, tally: &Tally) -> Result<Sender, Lost> {
        let mut open = self.open.lock().await;
        match open.take() {
            Some(Sender::Http1(mut sender)) => {
                if sender.ready().await.is_ok() {
                    return Ok(Sender::Http1(sender));
                }
                tally.found_closed();
            }
            Some(Sender::Http2(mut sender)) => {
                if sender.ready().await.is_ok() {
                    *open = Some(Sender::Http2(sender.clone()));
                    return Ok(Sender::Http2(sender));
                }
                tally.found_closed();
            }
            None => {}
        }
        let sender = self.connect().await?;
        tally.connected(self.protocol);
        if let Sender::Http2(shared) = &sender {
            *open = Some(Sender::Http2(shared.clone()));
        }
        Ok(sender)
    }

    async fn connect(&self) -> Result<Sender, Lost> {
        let lost = |error: &dyn std::error::Error| Lost::new("connect", error);
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| lost(&error))?;
        stream.set_nodelay(true).map_err(|error| lost(&error))?;
        let io = TokioIo::new(stream);
        // How a connection ends is seen by the requests on it.
        Ok(match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) =
                    http1::handshake(io).await.map_err(|error| lost(&error))?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .handshake(io)
                    .await
                    .map_err(|error| lost(&error))?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        })
    }

    async fn give_back(&self, sender: Sender, headers: &HeaderMap, tally: &Tally) {
        if let Sender::Http1(_) = sender {
            let last = headers
                .get(CONNECTION)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
            if last {
                tally.told_to_close();
            } else {
                *self.open.lock().await = Some(sender);
            }
        }
    }
}

/// The request, if not a byte of it was written.
fn unsent(mut error: TrySendError<Request<Full<Bytes>>>) -> Result<Request<Full<Bytes>>, Lost> {
    match error.take_message() {
        Some(request) => Ok(request),
        None => Err(Lost::new("response", error.error())),
    }
}
