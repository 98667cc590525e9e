//! Rules for routes: who answers what, and only one does.

use std::collections::BTreeMap;

use super::Rules;
use crate::config::model::{Component, Route};

impl Rules<'_> {
    pub(super) fn routes(&mut self, components: &BTreeMap<String, Component>) {
        let mut owners: BTreeMap<(Option<String>, String), &str> = BTreeMap::new();
        for (name, component) in components {
            if !component.port && !component.routes.is_empty() {
                let message =
                    format!("`{name}` does not listen (`port: false`), so it cannot have routes");
                self.say_key(
                    &["components", name, "routes"],
                    &message,
                    "remove the routes or `port: false`",
                );
                continue;
            }
            let default = [Route { host: None, path: "/".into() }];
            let routes = match (component.port, component.routes.as_slice()) {
                (false, _) => continue,
                (true, []) => default.as_slice(),
                (true, routes) => routes,
            };
            for (index, route) in routes.iter().enumerate() {
                let index = index.to_string();
                let at = ["components", name.as_str(), "routes", index.as_str()];
                self.route(&at, route);
                let path = match route.path.trim_end_matches('/') {
                    "" => "/",
                    path => path,
                };
                let key = (route.host.as_ref().map(|host| host.to_lowercase()), path.to_string());
                match owners.get(&key) {
                    Some(owner) => {
                        let host = key.0.map_or(String::new(), |host| format!(" of host `{host}`"));
                        let message =
                            format!("`{owner}` and `{name}` both answer `{}`{host}", key.1);
                        self.say(&at, &message, "give one of them `routes:` of its own");
                    }
                    None => {
                        owners.insert(key, name);
                    }
                }
            }
        }
    }

    fn route(&mut self, at: &[&str; 4], route: &Route) {
        let [components, name, routes, index] = *at;
        let path = &route.path;
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
            let message =
                format!("the route `{path}` of `{name}` must be a path that starts with `/`");
            self.say(&[components, name, routes, index, "path"], &message, "");
        }
        let host = route.host.as_deref();
        if host.is_some_and(|h| h.is_empty() || h.contains(['/', ':', ' ', '*'])) {
            let message = format!(
                "the host `{}` of `{name}` must be a plain host name",
                host.unwrap_or_default()
            );
            let hint = "no scheme, no port, no wildcard";
            self.say(&[components, name, routes, index, "host"], &message, hint);
        }
    }
}
