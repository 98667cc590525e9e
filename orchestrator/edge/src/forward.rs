//! One request: picked, rewritten, sent, and its answer passed on.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::metrics::Ended;
use crate::pick;
use crate::pool::{Failure, Pool};
use crate::server::{AccessLine, Compiled, Shared};
use crate::table::Route;
use crate::track::{Answer, InFlight, Passed};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Bodies above this are not copied to a mirror.
const MIRROR_LIMIT: u64 = 64 * 1024;

/// A request's body on its way to a component.
pub enum Upload {
    Passed { body: Incoming, left: Option<u64> },
    Copied(Full<Bytes>),
}

/// The body grew over the limit, or the client broke off.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error(transparent)]
    Client(#[from] hyper::Error),
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Copied(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed { body, left } => {
                let frame = Pin::new(body).poll_frame(cx).map_err(UploadError::Client);
                if let (Some(left), Poll::Ready(Some(Ok(frame)))) = (left, &frame) {
                    let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                    match left.checked_sub(size) {
                        Some(rest) => *left = rest,
                        None => return Poll::Ready(Some(Err(UploadError::TooLarge))),
                    }
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Copied(body) => body.is_end_stream(),
            Self::Passed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Copied(body) => body.size_hint(),
            Self::Passed { body, .. } => body.size_hint(),
        }
    }
}

/// Where a connection came from.
#[derive(Clone)]
pub struct Peer {
    pub address: HeaderValue,
    pub tls: bool,
}

/// Answers one request.
pub async fn forward(
    shared: &Shared,
    pool: &Pool,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Answer> {
    let version = request.version();
    let id = request.headers().get(REQUEST_ID).cloned().unwrap_or_else(new_request_id);
    let mut response = answer(shared, pool, peer, &id, request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    if shared.is_draining() && version < Version::HTTP_2 && response.status() != 101 {
        // Not closed behind the client's back: told with the last answer on this connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(
    shared: &Shared,
    pool: &Pool,
    peer: &Peer,
    id: &HeaderValue,
    request: Request<Incoming>,
) -> Response<Answer> {
    // Picked and counted without an await in between: whoever replaces the table waits for
    // those who still hold the old one, and sees them counted from then on.
    let picked = {
        let compiled = shared.compiled();
        let host = request
            .uri()
            .host()
            .or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()));
        let Some(route) = pick::route(&compiled.table, host, request.uri().path()) else {
            return own(StatusCode::NOT_FOUND, "no component answers to this host and path\n");
        };
        let limits = compiled.table.limits.clone();
        let declared = request.body().size_hint().lower();
        if limits.max_body.is_some_and(|max| declared > max) {
            return own(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than allowed here\n");
        }
        let random = fastrand::u64(..);
        let sticky = compiled.table.sticky.as_ref();
        let Some(picked) = pick::backend(route, sticky, request.headers(), random) else {
            let mut response =
                own(StatusCode::SERVICE_UNAVAILABLE, "no revision of this component is ready\n");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        };
        let line = compiled.table.access_log.then(|| shared.access_line(&request, id)).flatten();
        let line = line.map(|line: AccessLine| line.revision(&picked.backend.revision));
        let counters = compiled.counters(&picked.backend.revision);
        Going {
            in_flight: InFlight::new(counters, line),
            addresses: compiled.rotation(&picked.backend.addresses),
            cookie: picked.new_cookie,
            mirror: mirror_address(&compiled, route, random),
            max_body: limits.max_body,
            connect_timeout: Duration::from_millis(limits.connect_timeout_ms),
            response_timeout: Duration::from_millis(limits.response_timeout_ms),
        }
    };
    picked.go(pool, peer, id, request).await
}

/// A request that knows where it goes.
struct Going {
    in_flight: InFlight,
    addresses: Vec<String>,
    cookie: Option<String>,
    mirror: Option<String>,
    max_body: Option<u64>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Going {
    async fn go(
        mut self,
        pool: &Pool,
        peer: &Peer,
        id: &HeaderValue,
        mut request: Request<Incoming>,
    ) -> Response<Answer> {
        let upgrading = is_upgrade(&request);
        let client_side = upgrading.then(|| hyper::upgrade::on(&mut request));
        let outgoing = match self.outgoing(pool, peer, id, request, upgrading).await {
            Ok(outgoing) => outgoing,
            Err(response) => return response,
        };
        let sending = self.send(pool, outgoing);
        let (mut response, lease) = match tokio::time::timeout(self.response_timeout, sending).await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err((status, ended, text))) => {
                self.in_flight.ends_with(ended);
                return own(status, text);
            }
            Err(_) => {
                self.in_flight.ends_with(Ended::Timeout);
                return own(StatusCode::GATEWAY_TIMEOUT, "the component did not answer in time\n");
            }
        };
        let status = response.status();
        self.in_flight.ends_with(Ended::Status(status.as_u16()));
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (status, client_side) {
            let component = hyper::upgrade::on(&mut response);
            tokio::task::spawn_local(tunnel(client, component, self.in_flight));
            return response.map(|_| Answer::text(""));
        }
        strip_hop_by_hop(response.headers_mut());
        if let Some(cookie) = self.cookie.and_then(|c| HeaderValue::try_from(c).ok()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        let streams = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let end = streams.then(|| self.in_flight.becomes_stream());
        let in_flight = self.in_flight;
        response.map(|body| {
            let empty = body.is_end_stream();
            let mut lease = Some(lease);
            if let Some(lease) = lease.take_if(|_| empty) {
                lease.give_back();
            }
            Answer::Passed(Box::new(Passed { body, in_flight, lease, end }))
        })
    }

    /// The request as the component gets it.
    async fn outgoing(
        &self,
        pool: &Pool,
        peer: &Peer,
        id: &HeaderValue,
        request: Request<Incoming>,
        upgrading: bool,
    ) -> Result<Request<Upload>, Response<Answer>> {
        let (parts, body) = request.into_parts();
        let mut head = Request::new(());
        *head.method_mut() = parts.method;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        *head.uri_mut() = path.parse().unwrap_or_default();
        let authority = parts.uri.authority().cloned();
        let mut headers = parts.headers;
        let upgrade = headers.get(header::UPGRADE).cloned().filter(|_| upgrading);
        strip_hop_by_hop(&mut headers);
        if let Some(upgrade) = upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, upgrade);
        }
        // HTTP/2 has the host in the request line.
        let missing = authority.filter(|_| !headers.contains_key(header::HOST));
        if let Some(host) = missing.and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(REQUEST_ID, id.clone());
        headers.append(FORWARDED_FOR, peer.address.clone());
        headers.insert(
            FORWARDED_PROTO,
            HeaderValue::from_static(if peer.tls { "https" } else { "http" }),
        );
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.insert(FORWARDED_HOST, host);
        }
        *head.headers_mut() = headers;
        let body = self.upload(pool, &head, body).await?;
        Ok(head.map(|()| body))
    }

    /// The body: passed on as it comes, or copied first when a mirror gets it too.
    async fn upload(
        &self,
        pool: &Pool,
        head: &Request<()>,
        body: Incoming,
    ) -> Result<Upload, Response<Answer>> {
        let small = body.size_hint().upper().is_some_and(|size| size <= MIRROR_LIMIT);
        let Some(mirror) = self.mirror.clone().filter(|_| small) else {
            return Ok(Upload::Passed { body, left: self.max_body });
        };
        let Ok(whole) = Limited::new(body, MIRROR_LIMIT as usize).collect().await else {
            return Err(own(StatusCode::BAD_REQUEST, "the request ended before its body did\n"));
        };
        let bytes = whole.to_bytes();
        let copy = head.clone().map(|()| Upload::Copied(Full::new(bytes.clone())));
        let (pool, limit) = (pool.clone(), self.response_timeout);
        let connect = self.connect_timeout;
        tokio::task::spawn_local(async move {
            let sent = tokio::time::timeout(limit, pool.send(&mirror, connect, copy)).await;
            if let Ok(Ok((response, lease))) = sent
                && response.into_body().collect().await.is_ok()
            {
                lease.give_back();
            }
        });
        Ok(Upload::Copied(Full::new(bytes)))
    }

    /// Tries each replica until one takes the connection; a request that may have been written
    /// is never written again.
    async fn send(
        &self,
        pool: &Pool,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, crate::pool::Lease), (StatusCode, Ended, String)> {
        let mut last = None;
        for address in &self.addresses {
            match pool.send(address, self.connect_timeout, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Connect(unsent, error)) => {
                    request = *unsent;
                    last = Some(error);
                }
                Err(Failure::Broken(error)) => return Err(broken(&error)),
            }
        }
        let why = last.map_or_else(|| "it has no address".into(), |error| error.to_string());
        Err((
            StatusCode::BAD_GATEWAY,
            Ended::ConnectError,
            format!("the component cannot be reached: {why}\n"),
        ))
    }
}

fn broken(error: &hyper::Error) -> (StatusCode, Ended, String) {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref::<UploadError>(), Some(UploadError::TooLarge)) {
            let text = "the body is larger than allowed here\n".into();
            return (StatusCode::PAYLOAD_TOO_LARGE, Ended::Status(413), text);
        }
        cause = error.source();
    }
    let text = format!("the component broke off before it answered: {error}\n");
    (StatusCode::BAD_GATEWAY, Ended::Aborted, text)
}

async fn tunnel(
    client: hyper::upgrade::OnUpgrade,
    component: hyper::upgrade::OnUpgrade,
    mut in_flight: InFlight,
) {
    let end = in_flight.becomes_stream();
    let copying = async {
        let (client, component) = (client.await?, component.await?);
        let (mut client, mut component) = (TokioIo::new(client), TokioIo::new(component));
        let copied = tokio::io::copy_bidirectional(&mut client, &mut component).await;
        copied.map_err(|error| Box::new(error) as Box<dyn std::error::Error>)?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    tokio::select! {
        result = copying => {
            if let Err(error) = result {
                tracing::debug!(%error, "an upgraded connection broke off");
            }
        }
        () = end => {}
    }
}

fn is_upgrade(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.headers().contains_key(header::UPGRADE)
}

/// RFC 9110, 7.6.1: what concerns one connection only is not passed on.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

fn mirror_address(compiled: &Compiled, route: &Route, random: u64) -> Option<String> {
    let mirror = route.mirror.as_ref()?;
    let drawn = (random >> 32) % 100;
    let backend = route.backends.iter().find(|b| b.revision == mirror.revision)?;
    let address = compiled.rotation(&backend.addresses).into_iter().next()?;
    (drawn < u64::from(mirror.percent)).then_some(address)
}

fn own(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::text(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn new_request_id() -> HeaderValue {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ms = now.map_or(0, |time| time.as_millis() as u64);
    let random = fastrand::u128(..).to_le_bytes();
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&random[..10]);
    let id = uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut [0; 36])).expect("ASCII")
}
