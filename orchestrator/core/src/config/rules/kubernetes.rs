//! Rules for the settings of a cluster, and for what a cluster cannot be asked.

use super::{Rules, is_name};
use crate::config::model::{Component, Environment, Gateway, Kubernetes, TargetKind};

impl Rules<'_> {
    pub(super) fn kubernetes(&mut self, environment: &Environment) {
        let nothing = Kubernetes::default();
        let settings = environment.kubernetes.as_ref().unwrap_or(&nothing);
        self.names(settings);
        if let Some(gateway) = &settings.gateway {
            self.gateway(gateway);
        }
        for (name, component) in &environment.components {
            self.on_kubernetes(name, component);
        }
        if environment.target == TargetKind::Kubernetes {
            self.can_be_deployed(environment, settings);
        }
    }

    fn names(&mut self, settings: &Kubernetes) {
        if let Some(namespace) = &settings.namespace {
            self.label(&["kubernetes", "namespace"], namespace);
        }
        if let Some(namespace) = &settings.metrics_from {
            self.label(&["kubernetes", "metrics_from"], namespace);
        }
        for (index, name) in settings.pull_secrets.iter().enumerate() {
            self.subdomain(&["kubernetes", "pull_secrets", &index.to_string()], name);
        }
        if settings.storage.size.0 == 0 {
            let message = "`kubernetes.storage.size` must be more than 0B";
            self.say(&["kubernetes", "storage", "size"], message, "");
        }
    }

    fn gateway(&mut self, gateway: &Gateway) {
        self.subdomain(&["kubernetes", "gateway", "name"], &gateway.name);
        if let Some(namespace) = &gateway.namespace {
            self.label(&["kubernetes", "gateway", "namespace"], namespace);
        }
        for (index, host) in gateway.hosts.iter().enumerate() {
            let name = host.strip_prefix("*.").unwrap_or(host);
            self.subdomain_named(
                &["kubernetes", "gateway", "hosts", &index.to_string()],
                host,
                name,
            );
        }
        if let Some(address) = &gateway.address {
            let parts = address.rsplit_once(':');
            let valid = parts.is_some_and(|(host, port)| {
                !host.is_empty()
                    && !host.contains('/')
                    && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !valid {
                let message =
                    format!("`kubernetes.gateway.address` must be host:port, not `{address}`");
                let hint = "for example `gateway.example.com:80`";
                self.say(&["kubernetes", "gateway", "address"], &message, hint);
            }
        }
    }

    fn on_kubernetes(&mut self, name: &str, component: &Component) {
        let at = |setting: &'static str| ["components", name, "kubernetes", setting];
        let settings = &component.kubernetes;
        if let Some(image) = settings.image.as_deref().filter(|image| !is_image(image)) {
            let message = format!("`components.{name}.kubernetes.image`: {image:?} names no image");
            let hint = "for example `registry.example.com/nca@sha256:...`";
            self.say(&at("image"), &message, hint);
        }
        if !is_cpu(&settings.cpu) {
            let message = format!(
                "`components.{name}.kubernetes.cpu` must be an amount of CPU, not `{}`",
                settings.cpu
            );
            self.say(&at("cpu"), &message, "for example `250m` (a quarter of a core) or `2`");
        }
        if settings.memory.0 == 0 {
            let message = format!("`components.{name}.kubernetes.memory` must be more than 0B");
            self.say(&at("memory"), &message, "");
        }
        if let Some(limit) = component.limits.memory.filter(|limit| *limit < settings.memory) {
            let message = format!(
                "`components.{name}.limits.memory` ({limit}) is less than `kubernetes.memory` ({})",
                settings.memory
            );
            self.say(&["components", name, "limits", "memory"], &message, "");
        }
        if let Some(scale) = settings.autoscale.as_ref().filter(|s| s.min == 0 || s.max < s.min) {
            let message = format!(
                "`components.{name}.kubernetes.autoscale` goes from {} to {} replicas",
                scale.min, scale.max
            );
            self.say(&at("autoscale"), &message, "at least 1, and `max` not below `min`");
        }
    }

    /// What `apply` needs, beyond what `render` does.
    fn can_be_deployed(&mut self, environment: &Environment, settings: &Kubernetes) {
        for (name, component) in &environment.components {
            if component.kubernetes.image.is_none() {
                let message = format!("`{name}` has no image, and Kubernetes runs images");
                let hint = format!(
                    "give `components.{name}.kubernetes.image`, best with its digest: `NAME@sha256:...`"
                );
                self.say(&["components", name, "kubernetes", "image"], &message, &hint);
            }
        }
        let listens = environment.components.iter().find(|(_, component)| component.port);
        if let (Some((name, _)), None) = (listens, &settings.gateway) {
            let message =
                format!("`{name}` listens, and no Gateway is named that could route to it");
            let hint = "give `kubernetes.gateway: {name: ..., namespace: ...}`; see `kubectl get gateways -A`";
            self.say(&["kubernetes", "gateway"], &message, hint);
        }
        for (setting, given) in
            [("sticky", environment.edge.sticky.is_some()), ("tls", environment.edge.tls.is_some())]
        {
            if given {
                let message = format!("`edge.{setting}` is for the edge proxy of one machine");
                let hint = "on Kubernetes that is a matter of the Gateway; take it back with null";
                self.say_key(&["edge", setting], &message, hint);
            }
        }
        for name in environment.components.keys() {
            // A pod's name is the revision's with sixteen characters more, and is a label.
            if is_name(name) && name.len() > 36 {
                let message = format!("the component name `{name}` is too long for a pod");
                self.say_key(&["components", name], &message, "36 characters at the most");
            }
        }
    }

    fn label(&mut self, at: &[&str], text: &str) {
        if !is_label(text) {
            let message = format!("`{}`: `{text}` is no name for a namespace", at.join("."));
            self.say(at, &message, "lower-case letters, digits and `-`, 63 at the most");
        }
    }

    fn subdomain(&mut self, at: &[&str], text: &str) {
        self.subdomain_named(at, text, text);
    }

    fn subdomain_named(&mut self, at: &[&str], text: &str, name: &str) {
        let valid = !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label);
        if !valid {
            let message = format!("`{}`: `{text}` is no valid name", at.join("."));
            self.say(at, &message, "lower-case letters, digits, `-` and `.`");
        }
    }
}

fn is_label(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 63
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.chars().all(|c| ends(c) || c == '-')
}

/// Whether it can be the name of an image; the cluster has the last word.
fn is_image(text: &str) -> bool {
    let name = text.split('@').next().unwrap_or_default();
    !name.is_empty()
        && !text.contains("://")
        && !name.starts_with(['/', '.', '-', ':'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c))
}

/// `2`, `0.5` or `250m`, and more than nothing.
fn is_cpu(text: &str) -> bool {
    let number = text.strip_suffix('m').unwrap_or(text);
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain
        && number.parse::<f64>().is_ok_and(|n| n > 0.0)
        && (text == number || !number.contains('.'))
}
