//! A table with all that would otherwise be looked up for each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::metrics::{Counters, Metrics};
use crate::slots::Unit;
use crate::table::{ListenerKind, Table};
use crate::tls::Tls;

pub struct Compiled {
    pub table: Table,
    pub routes: Vec<Lookup>,
    listeners: HashMap<String, Arc<Serving>>,
}

/// What belongs to one of the table's routes, in its order.
pub struct Lookup {
    pub targets: Vec<Arc<Target>>,
    pub asked: Vec<Asked>,
    /// The place among the targets of who gets copies, and of how many in a hundred.
    pub mirror: Option<(usize, u8)>,
}

/// A header that asks for one of the targets.
pub struct Asked {
    pub header: HeaderName,
    pub value: HeaderValue,
    pub place: usize,
    pub unit: Unit,
}

/// One revision of one route, as requests see it.
pub struct Target {
    pub addresses: Vec<Arc<str>>,
    pub counters: Arc<Counters>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub max_body: Option<u64>,
    cursor: AtomicUsize,
}

/// How one listener's connections are served.
pub struct Serving {
    pub kind: ListenerKind,
    pub tls: Option<Tls>,
}

impl Compiled {
    /// Certificates that `before` holds already are kept.
    pub fn new(table: Table, metrics: &Metrics, before: Option<&Self>) -> Self {
        let limits = &table.limits;
        let routes = table.routes.iter().map(|route| {
            let targets = route.backends.iter().map(|backend| {
                Arc::new(Target {
                    addresses: backend.addresses.iter().map(|a| a.as_str().into()).collect(),
                    counters: metrics.of(&backend.revision, &route.component),
                    connect_timeout: Duration::from_millis(limits.connect_timeout_ms),
                    response_timeout: Duration::from_millis(limits.response_timeout_ms),
                    max_body: limits.max_body,
                    cursor: AtomicUsize::new(0),
                })
            });
            let place = |name: &str| route.backends.iter().position(|b| b.revision == name);
            let asked = route.header_routes.iter().filter_map(|asked| {
                let header = HeaderName::try_from(&asked.header).ok()?;
                let value = HeaderValue::try_from(&asked.value).ok()?;
                let place = place(&asked.revision)?;
                // All that a revision without weight gets is this. Where requests are drawn for
                // it too, only those are a sample.
                let all = asked.share && route.backends[place].weight == 0;
                let unit = if all { Unit::Request } else { Unit::Unsampled };
                Some(Asked { header, value, place, unit })
            });
            let mirror = route.mirror.as_ref().and_then(|m| Some((place(&m.revision)?, m.percent)));
            Lookup { targets: targets.collect(), asked: asked.collect(), mirror }
        });
        let routes = routes.collect();
        let listeners = table.listeners.iter().map(|listener| {
            let known = before.and_then(|b| b.listeners.get(&listener.address));
            let same = known.filter(|k| {
                k.kind == listener.kind && k.tls.as_ref().map(Tls::files) == listener.tls.as_ref()
            });
            let fresh = || {
                let tls = listener.tls.as_ref().map(Tls::new);
                Arc::new(Serving { kind: listener.kind, tls })
            };
            (listener.address.clone(), same.cloned().unwrap_or_else(fresh))
        });
        let listeners = listeners.collect();
        metrics.weights(&table);
        Self { table, routes, listeners }
    }

    /// How connections to this address are served; `None` if the table does not name it.
    pub fn serving(&self, address: &str) -> Option<Arc<Serving>> {
        self.listeners.get(address).cloned()
    }
}

impl Target {
    /// All replicas, each time beginning with another one.
    pub fn rotation(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = &self.addresses;
        let first = match all.len() {
            0 | 1 => 0,
            many => self.cursor.fetch_add(1, Relaxed) % many,
        };
        all[first..].iter().chain(&all[..first])
    }
}
