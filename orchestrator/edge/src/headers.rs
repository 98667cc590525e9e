//! What the edge adds to and takes from the headers of requests and answers.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// A client's request id is kept up to this length: it is in every log line behind us.
const LONGEST_ID: usize = 200;

/// RFC 9110, 7.6.1: what concerns one connection only is not passed on.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
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
    }
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ] {
        headers.remove(name);
    }
}

/// Where a connection came from.
pub struct Peer {
    pub address: HeaderValue,
    pub tls: bool,
}

/// A request's headers as the component gets them.
pub fn for_component(
    headers: &mut HeaderMap,
    peer: &Peer,
    id: &HeaderValue,
    authority: Option<&str>,
    upgrading: bool,
) {
    let upgrade = headers.get(header::UPGRADE).cloned().filter(|_| upgrading);
    strip_hop_by_hop(headers);
    // The edge itself tells the client to go on, when the component takes the body.
    headers.remove(header::EXPECT);
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    // HTTP/2 has the host in the request line.
    let authority = authority.and_then(|a| HeaderValue::from_str(a).ok());
    if let Some(host) = authority.filter(|_| !headers.contains_key(header::HOST)) {
        headers.insert(header::HOST, host);
    }
    headers.insert(REQUEST_ID, id.clone());
    let proto = HeaderValue::from_static(if peer.tls { "https" } else { "http" });
    headers.insert(FORWARDED_PROTO, proto);
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    // One line, nearest hop last: many a component reads the first line only.
    let through = headers.get_all(FORWARDED_FOR).iter().fold(Vec::new(), |mut all, value| {
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(b", ");
        all
    });
    let through = match through.is_empty() {
        true => Ok(peer.address.clone()),
        false => HeaderValue::from_bytes(&[&through, peer.address.as_bytes()].concat()),
    };
    headers.insert(FORWARDED_FOR, through.unwrap_or_else(|_| peer.address.clone()));
}

pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && request.headers().contains_key(header::UPGRADE)
}

/// The client's id if it is fit for logs, else a new one that sorts by time.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(new_request_id)
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
