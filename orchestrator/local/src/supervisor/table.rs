//! The edge's table from a split and what is ready: a pure function.

use std::collections::{BTreeMap, BTreeSet};

use neuroca_deploy_core::config::model::{self, Component, Side};
use neuroca_deploy_core::digest::Digest;
use neuroca_deploy_core::effect::{Share, Traffic};
use neuroca_deploy_core::release::{Release, RevisionId};
use neuroca_deploy_edge::{
    Backend, HeaderRoute, Limits, Listener, ListenerKind, Mirror, Route, Sticky, Table, TlsFiles,
};

/// Values of the preview header that ask for the new revision.
const PREVIEW: [&str; 2] = ["1", "true"];

/// What a split names.
pub struct Named {
    pub spec: Component,
    pub addresses: Vec<String>,
}

/// The table of `traffic`, whose edge settings are `settings`. `named` holds what is known of each
/// revision in the split; `project` is where relative paths of certificates begin.
pub fn table(
    settings: &Release,
    traffic: &Traffic,
    named: &BTreeMap<RevisionId, Named>,
    project: &std::path::Path,
) -> Table {
    let edge = &settings.edge;
    let declared = settings.components.iter().filter(|(_, c)| c.spec.port).map(|(name, _)| name);
    let components: BTreeSet<&String> = declared.chain(traffic.shares.keys()).collect();
    let mut routes = Vec::new();
    for component in components {
        let shares = traffic.shares.get(component).map_or(&[][..], Vec::as_slice);
        let spec = settings
            .components
            .get(component)
            .map(|c| &c.spec)
            .or_else(|| shares.iter().find_map(|s| Some(&named.get(&s.revision)?.spec)));
        let Some(spec) = spec else { continue };
        let everything = [model::Route { host: None, path: "/".into() }];
        let wanted = if spec.routes.is_empty() { &everything[..] } else { &spec.routes };
        for route in wanted {
            routes.push(Route {
                component: component.clone(),
                host: route.host.clone(),
                path: route.path.clone(),
                backends: backends(shares, named),
                header_routes: header_routes(edge, traffic, shares),
                mirror: mirror(edge, traffic, shares),
            });
        }
    }
    Table {
        generation: 0,
        listeners: listeners(edge, project),
        routes,
        limits: Limits {
            max_header_bytes: edge.max_header_bytes.0,
            max_body: edge.max_body.map(|b| b.0),
            connect_timeout_ms: edge.connect_timeout.0,
            response_timeout_ms: edge.response_timeout.0,
            idle_timeout_ms: edge.idle_timeout.0,
        },
        sticky: edge.sticky.as_ref().map(|sticky| match sticky {
            model::Sticky::Cookie(name) => Sticky::Cookie(name.clone()),
            model::Sticky::Header(name) => Sticky::Header(name.clone()),
        }),
        salt: salt(traffic),
        access_log: edge.access_log,
    }
}

/// Where the edge listens.
pub fn listeners(edge: &model::Edge, project: &std::path::Path) -> Vec<Listener> {
    let absolute = |path: &str| project.join(path).to_string_lossy().into_owned();
    let tls = edge
        .tls
        .as_ref()
        .map(|tls| TlsFiles { cert: absolute(&tls.cert), key: absolute(&tls.key) });
    let traffic = Listener { address: edge.listen.clone(), kind: ListenerKind::Traffic, tls };
    let metrics = edge.metrics_listen.as_ref().map(|address| Listener {
        address: address.clone(),
        kind: ListenerKind::Metrics,
        tls: None,
    });
    std::iter::once(traffic).chain(metrics).collect()
}

fn backends(shares: &[Share], named: &BTreeMap<RevisionId, Named>) -> Vec<Backend> {
    shares
        .iter()
        .map(|share| Backend {
            revision: share.revision.0.clone(),
            weight: share.weight,
            addresses: named.get(&share.revision).map(|n| n.addresses.clone()).unwrap_or_default(),
        })
        .collect()
}

fn header_routes(edge: &model::Edge, traffic: &Traffic, shares: &[Share]) -> Vec<HeaderRoute> {
    let canary = shares.iter().find(|s| s.canary);
    let stable = shares.iter().find(|s| !s.canary);
    let preview = canary.into_iter().flat_map(|share| {
        PREVIEW.map(|value| HeaderRoute {
            header: edge.preview_header.clone(),
            value: value.into(),
            revision: share.revision.0.clone(),
            share: false,
        })
    });
    let declared = traffic.header_routes.iter().chain(&edge.header_routes).filter_map(|route| {
        let share = match route.to {
            Side::Canary => canary?,
            Side::Stable => stable?,
        };
        Some(HeaderRoute {
            header: route.header.clone(),
            value: route.value.clone(),
            revision: share.revision.0.clone(),
            share: true,
        })
    });
    preview.chain(declared).collect()
}

fn mirror(edge: &model::Edge, traffic: &Traffic, shares: &[Share]) -> Option<Mirror> {
    let canary = shares.iter().find(|s| s.canary)?;
    let percent = edge.mirror_percent.max(traffic.mirror);
    (percent > 0).then(|| Mirror { revision: canary.revision.0.clone(), percent })
}

/// From who is to take over, all components together: a client is on one side of a release with
/// all of its requests, and not always the same clients are the first.
fn salt(traffic: &Traffic) -> u64 {
    let canaries = traffic.shares.values().flatten().filter(|share| share.canary);
    let names: Vec<&str> = canaries.map(|share| share.revision.0.as_str()).collect();
    let digest = Digest::of(&names);
    u64::from_str_radix(digest.short(16), 16).unwrap_or_default()
}
