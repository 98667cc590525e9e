//! One request: picked, rewritten, sent, and its answer passed on.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::compiled::Target;
use crate::grpc;
use crate::headers::{self, Peer, REQUEST_ID};
use crate::log::AccessLine;
use crate::metrics::Ended;
use crate::mirror;
use crate::pick;
use crate::pool::{Failure, Lease};
use crate::shared::Worker;
use crate::track::{Answer, InFlight, Passed};
use crate::tunnel::tunnel;
use crate::upload::{Progress, Upload, UploadError};

const TOO_LARGE: &str = "the body is larger than allowed here\n";

/// Answers one request.
pub async fn forward(worker: &Worker, peer: &Peer, request: Request<Incoming>) -> Response<Answer> {
    let version = request.version();
    let id = headers::request_id(request.headers());
    let mut response = match pick(worker, peer, &id, &request) {
        Ok(going) => going.go(worker, peer, &id, request).await,
        Err(response) => *response,
    };
    response.headers_mut().insert(REQUEST_ID, id);
    if worker.shared.is_draining() && version < Version::HTTP_2 && response.status() != 101 {
        // Not closed behind the client's back: told with the last answer on this connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Picks and counts, without an await in between: whoever replaces the table waits for those who
/// still hold the old one, and sees them counted from then on.
fn pick(
    worker: &Worker,
    peer: &Peer,
    id: &HeaderValue,
    request: &Request<Incoming>,
) -> Result<Going, Box<Response<Answer>>> {
    let started = Instant::now();
    let compiled = worker.shared.compiled();
    let table = &compiled.table;
    let line = worker.lines.as_ref().filter(|_| table.access_log).map(|lines| AccessLine {
        lines: lines.clone(),
        id: id.clone(),
        client: peer.address.clone(),
        method: request.method().clone(),
        uri: request.uri().clone(),
    });
    let refuse = |line: Option<AccessLine>, component: &str, status: StatusCode, text: String| {
        worker.shared.metrics.refused(status.as_u16());
        if let Some(line) = line {
            line.write(component, "", Ended::Status(status.as_u16()), started.elapsed(), 0);
        }
        Box::new(own(status, text))
    };
    let host = request
        .uri()
        .host()
        .or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()));
    let Some(place) = pick::route(table, host, request.uri().path()) else {
        let text = "no component answers to this host and path\n".into();
        return Err(refuse(line, "", StatusCode::NOT_FOUND, text));
    };
    let (route, lookup) = (&table.routes[place], &compiled.routes[place]);
    let declared = request.body().size_hint().lower();
    if table.limits.max_body.is_some_and(|max| declared > max) {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(refuse(line, &route.component, status, TOO_LARGE.into()));
    }
    let random = fastrand::u64(..);
    let sticky = table.sticky.as_ref();
    let Some(picked) = pick::backend(route, lookup, sticky, table.salt, request.headers(), random)
    else {
        let text = format!("no revision of {} is ready to answer this\n", route.component);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut response = refuse(line, &route.component, status, text);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return Err(response);
    };
    let target = lookup.targets[picked.place].clone();
    Ok(Going {
        in_flight: InFlight::new(target.counters.clone(), line, picked.unit),
        target,
        cookie: picked.new_cookie.map(|c| if peer.tls { c + "; Secure" } else { c }),
        mirror: mirror::target(lookup, request.method(), picked.place, random),
    })
}

/// A request that knows where it goes.
struct Going {
    in_flight: InFlight,
    target: Arc<Target>,
    cookie: Option<String>,
    mirror: Option<Arc<Target>>,
}

/// No answer from the component: what to tell the client, and what to count.
struct Failed(StatusCode, Ended, String);

impl Going {
    async fn go(
        mut self,
        worker: &Worker,
        peer: &Peer,
        id: &HeaderValue,
        mut request: Request<Incoming>,
    ) -> Response<Answer> {
        let upgrading = headers::is_upgrade(&request);
        let client_side = upgrading.then(|| hyper::upgrade::on(&mut request));
        let (head, body) = outgoing(peer, id, request, upgrading);
        let progress = (!body.is_end_stream()).then(Progress::new);
        let answer = async {
            let body = self.upload(worker, &head, body, progress.clone()).await?;
            send(worker, &self.target, head.map(|()| body)).await
        };
        let (mut response, lease) = match in_time(answer, &self.target, progress.as_deref()).await {
            Ok(answer) => answer,
            Err(Failed(status, ended, text)) => {
                self.in_flight.ends_with(ended);
                self.in_flight.is_whole();
                return own(status, text);
            }
        };
        let status = response.status();
        self.in_flight.ends_with(Ended::Status(status.as_u16()));
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (status, client_side) {
            let component = hyper::upgrade::on(&mut response);
            let open = worker.shared.open_connection();
            tokio::task::spawn_local(tunnel(client, component, self.in_flight, open));
            return response.map(|_| Answer::text(""));
        }
        // The component's HTTP/1.0 is between it and us.
        *response.version_mut() = Version::HTTP_11;
        headers::strip_hop_by_hop(response.headers_mut());
        if let Some(cookie) = self.cookie.and_then(|c| HeaderValue::try_from(c).ok()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        let kind = response.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |k| k.as_bytes());
        let streams = kind.starts_with(b"text/event-stream");
        let mut in_flight = self.in_flight;
        if kind.starts_with(b"application/grpc") && grpc::is_failure(response.headers()) {
            in_flight.fails();
        }
        let end = streams.then(|| in_flight.becomes_stream());
        response.map(|body| {
            let empty = body.is_end_stream();
            let mut lease = Some(lease);
            if let Some(lease) = lease.take_if(|_| empty) {
                lease.give_back();
                in_flight.is_whole();
            }
            Answer::Passed(Box::new(Passed { body, in_flight, lease, end }))
        })
    }

    /// The body: passed on as it comes, or copied first when a mirror gets it too.
    async fn upload(
        &self,
        worker: &Worker,
        head: &Request<()>,
        body: Incoming,
        progress: Option<Rc<Progress>>,
    ) -> Result<Upload, Failed> {
        if let Some(mirror) = self.mirror.clone().filter(|_| mirror::is_small(&body)) {
            if let Some(progress) = &progress {
                progress.waits_for_client.set(true);
            }
            let Some(bytes) = mirror::read(body).await else {
                let text = "the request ended before its body did\n".into();
                return Err(Failed(StatusCode::BAD_REQUEST, Ended::Aborted, text));
            };
            if let Some(progress) = &progress {
                progress.waits_for_client.set(false);
                progress.at.set(Instant::now());
            }
            worker.mirroring.send(worker.pool.clone(), mirror, head.clone(), bytes.clone());
            return Ok(Upload::Copied(Full::new(bytes)));
        }
        Ok(match progress {
            None => Upload::Empty,
            Some(progress) => Upload::Passed { body, left: self.target.max_body, progress },
        })
    }
}

/// The request as the component gets it.
fn outgoing(
    peer: &Peer,
    id: &HeaderValue,
    request: Request<Incoming>,
    upgrading: bool,
) -> (Request<()>, Incoming) {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    headers::for_component(&mut parts.headers, peer, id, authority, upgrading);
    if parts.uri.authority().is_some() {
        let path = parts.uri.into_parts().path_and_query;
        parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    parts.version = Version::HTTP_11;
    // What HTTP/2 or the client's connection left there is not for the component's.
    parts.extensions.clear();
    (Request::from_parts(parts, ()), body)
}

/// Waits for an answer as long as the component takes after the upload last moved: an upload may
/// take its time.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, Failed>>,
    target: &Target,
    progress: Option<&Progress>,
) -> Result<T, Failed> {
    let limit = target.response_timeout;
    let mut answer = pin!(answer);
    let mut since = Instant::now();
    loop {
        let left = limit.saturating_sub(since.elapsed()).max(Duration::from_millis(1));
        if let Ok(answered) = tokio::time::timeout(left, answer.as_mut()).await {
            return answered;
        }
        let Some(progress) = progress else { break };
        if progress.at.get() <= since {
            if progress.waits_for_client.get() {
                let text = "the rest of the body did not come in time\n".into();
                return Err(Failed(StatusCode::REQUEST_TIMEOUT, Ended::Status(408), text));
            }
            break;
        }
        since = progress.at.get();
    }
    let text = "the component did not answer in time\n".into();
    Err(Failed(StatusCode::GATEWAY_TIMEOUT, Ended::Timeout, text))
}

/// Tries each replica until one takes the connection; a request that may have been written is
/// never written again.
async fn send(
    worker: &Worker,
    target: &Target,
    mut request: Request<Upload>,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let mut last = None;
    for address in target.rotation() {
        match worker.pool.send(address, target.connect_timeout, request).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Unsent(unsent, error)) => {
                request = *unsent;
                last = Some(error);
            }
            Err(Failure::Broken(error)) => return Err(broken(&error)),
        }
    }
    let why = last.map_or_else(|| "it has no address".into(), |error| error.to_string());
    let text = format!("the component cannot be reached: {why}\n");
    Err(Failed(StatusCode::BAD_GATEWAY, Ended::ConnectError, text))
}

fn broken(error: &hyper::Error) -> Failed {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<UploadError>() {
            Some(UploadError::TooLarge) => {
                return Failed(StatusCode::PAYLOAD_TOO_LARGE, Ended::Status(413), TOO_LARGE.into());
            }
            // Not the component's doing, and nobody is there to read this.
            Some(UploadError::Client(_)) => {
                let text = "the request ended before its body did\n".into();
                return Failed(StatusCode::BAD_REQUEST, Ended::Aborted, text);
            }
            None => cause = error.source(),
        }
    }
    let text = format!("the component broke off before it answered: {error}\n");
    Failed(StatusCode::BAD_GATEWAY, Ended::Broken, text)
}

fn own(status: StatusCode, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::text(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
