//! Which route, and which of its revisions, a request belongs to. Pure but for the random number
//! that the caller brings.

use http::HeaderMap;
use http::header::COOKIE;

use crate::table::{Backend, Route, Sticky, Table};

/// The route with the longest matching prefix; one that names the host goes before one that does
/// not.
pub fn route<'a>(table: &'a Table, host: Option<&str>, path: &str) -> Option<&'a Route> {
    let host = host.map(|h| h.rsplit_once(':').map_or(h, |(name, _)| name));
    table
        .routes
        .iter()
        .filter(|r| {
            r.host.as_deref().is_none_or(|h| host.is_some_and(|x| x.eq_ignore_ascii_case(h)))
        })
        .filter(|r| is_prefix(&r.path, path))
        .max_by_key(|r| (r.host.is_some(), r.path.trim_end_matches('/').len()))
}

/// Whole segments: `/a` covers `/a` and `/a/b`, not `/ab`.
fn is_prefix(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('?'))
}

/// What was picked, and the cookie to set when the client has to remember it.
pub struct Picked<'a> {
    pub backend: &'a Backend,
    pub new_cookie: Option<String>,
}

/// The revision for a request: header routes first, then the split. `random` is uniform.
pub fn backend<'a>(
    route: &'a Route,
    sticky: Option<&Sticky>,
    headers: &HeaderMap,
    random: u64,
) -> Option<Picked<'a>> {
    let asked = route.header_routes.iter().find(|r| {
        headers.get(&r.header).is_some_and(|value| value.as_bytes() == r.value.as_bytes())
    });
    let named = asked.and_then(|r| route.backends.iter().find(|b| b.revision == r.revision));
    if let Some(backend) = named.filter(|b| !b.addresses.is_empty()) {
        return Some(Picked { backend, new_cookie: None });
    }
    let serving = || route.backends.iter().filter(|b| b.weight > 0 && !b.addresses.is_empty());
    let total: u64 = serving().map(|b| u64::from(b.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut new_cookie = None;
    // A client without an identity gets one only where there is something to stay with.
    let split = route.backends.len() > 1;
    let point = match sticky.filter(|_| split) {
        None => random,
        Some(Sticky::Header(name)) => headers.get(name).map_or(random, |v| hash(v.as_bytes())),
        Some(Sticky::Cookie(name)) => match cookie(headers, name) {
            Some(value) => hash(value.as_bytes()),
            None => {
                let value = format!("{random:016x}");
                new_cookie = Some(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax"));
                hash(value.as_bytes())
            }
        },
    };
    // The last backend is the one that grows: counted from the top of the range, a client that
    // is on it stays on it while its weight rises.
    let mut left = point % total;
    let backend = serving().find(|b| match left.checked_sub(u64::from(b.weight)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })?;
    Some(Picked { backend, new_cookie })
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// FNV-1a, 64 bit, with a final mix so that the low bits depend on all of the input.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}
