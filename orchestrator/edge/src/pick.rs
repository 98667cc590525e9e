//! Which route, and which of its revisions, a request belongs to. Pure but for the random number
//! that the caller brings.

use http::HeaderMap;
use http::header::COOKIE;

use crate::compiled::{Asked, Lookup};
use crate::slots::Unit;
use crate::table::{Route, Sticky, Table};

/// The place of the route with the longest matching prefix; one that names the host goes before
/// one that does not.
pub fn route(table: &Table, host: Option<&str>, path: &str) -> Option<usize> {
    let host = host.map(without_port);
    let matching = table.routes.iter().enumerate().filter(|(_, r)| {
        let host =
            r.host.as_deref().is_none_or(|h| host.is_some_and(|x| x.eq_ignore_ascii_case(h)));
        host && is_prefix(&r.path, path)
    });
    let longest =
        matching.max_by_key(|(_, r)| (r.host.is_some(), r.path.trim_end_matches('/').len()));
    longest.map(|(place, _)| place)
}

/// `[::1]:8080` has colons of its own.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whole segments: `/a` covers `/a` and `/a/b`, not `/ab`.
fn is_prefix(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What was picked, and the cookie to set when the client has to remember it.
pub struct Picked {
    pub place: usize,
    pub new_cookie: Option<String>,
    pub unit: Unit,
}

/// The revision for a request: header routes first, then the split. `random` is uniform.
/// With another `salt` other clients are the first to get a new revision. `None`: nobody is ready. Who asks for a revision by name gets that one or nobody: a preview
/// that is answered by another revision proves the wrong thing.
pub fn backend(
    route: &Route,
    lookup: &Lookup,
    sticky: Option<&Sticky>,
    salt: u64,
    headers: &HeaderMap,
    random: u64,
) -> Option<Picked> {
    let ready = |place: usize| !route.backends[place].addresses.is_empty();
    let asked = lookup.asked.iter().find(|asked| headers.get(&asked.header) == Some(&asked.value));
    if let Some(&Asked { place, unit, .. }) = asked {
        return ready(place).then_some(Picked { place, new_cookie: None, unit });
    }
    let serving = || {
        route.backends.iter().enumerate().filter(|(_, b)| b.weight > 0 && !b.addresses.is_empty())
    };
    let total: u64 = serving().map(|(_, b)| u64::from(b.weight)).sum();
    let mut new_cookie = None;
    // A client without an identity gets one only where there is something to stay with.
    let split = route.backends.len() > 1;
    let identity = match sticky.filter(|_| split) {
        None => None,
        // Without one, a request is a client that comes once.
        Some(Sticky::Header(name)) => headers.get(name).map(|value| hash(salt, value.as_bytes())),
        Some(Sticky::Cookie(name)) => match cookie(headers, name) {
            Some(value) => Some(hash(salt, value.as_bytes())),
            None => {
                let value = format!("{random:016x}");
                new_cookie = Some(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax"));
                Some(hash(salt, value.as_bytes()))
            }
        },
    };
    let (point, unit) = identity.map_or((random, Unit::Request), |id| (id, Unit::Client(id)));
    // A client is a point between 0 and 1, whatever the weights add up to: while one weight rises
    // its end of the range moves outward only, and who is on that side stays there.
    let mut left = ((u128::from(point) * u128::from(total)) >> 64) as u64;
    let (place, _) = serving().find(|(_, b)| match left.checked_sub(u64::from(b.weight)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })?;
    Some(Picked { place, new_cookie, unit })
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

/// FNV-1a, 64 bit, with a final mix so that the high bits depend on all of the input.
fn hash(salt: u64, bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64 ^ salt, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
