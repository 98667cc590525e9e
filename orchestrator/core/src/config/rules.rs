//! What the types cannot say: names, addresses, references, and settings that have to agree.

mod component;
mod images;
mod kubernetes;
mod rollout;
mod routes;
mod variables;

use std::net::SocketAddr;

use super::errors::{Place, Problems};
use super::model::{Edge, Environment, Sticky, TargetKind};
use super::typed::Typed;

/// Checks a typed environment; `whole` knows where its values are written. Nothing is said about
/// paths in `broken`, where something was wrong already.
pub(super) fn check(
    environment: &Environment,
    whole: &Typed,
    broken: &[String],
    problems: &mut Problems,
) {
    let mut rules = Rules { whole, broken, problems };
    if !is_name(&environment.project) {
        rules.say(
            &["project"],
            &format!("the project {}", not_a_name(&environment.project)),
            NAME_HINT,
        );
    }
    rules.edge(&environment.edge);
    rules.rollout(&environment.rollout);
    if environment.target == TargetKind::Local && environment.rollout.analysis.scrape.is_some() {
        rules.say_key(
            &["rollout", "analysis", "scrape"],
            "`rollout.analysis.scrape` asks the pods of a cluster",
            "on one machine the edge counts every request; leave it out",
        );
    }
    // A cluster may be given nothing but manifests.
    if environment.components.is_empty() && environment.target == TargetKind::Local {
        rules.say(
            &["components"],
            "there is no component to deploy",
            "describe one under `components:`",
        );
    }
    for (name, component) in &environment.components {
        rules.component(name, component);
        rules.variables(name, component);
    }
    rules.routes(&environment.components);
    rules.kubernetes(environment);
    rules.images(environment);
}

const NAME_HINT: &str = "lower-case letters, digits and `-`, a letter first, 40 at the most";

fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn not_a_name(text: &str) -> String {
    format!("`{text}` is not a valid name")
}

/// A token of RFC 9110: names of headers and cookies.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

struct Rules<'a> {
    whole: &'a Typed,
    broken: &'a [String],
    problems: &'a mut Problems,
}

impl Rules<'_> {
    /// Reports at the value of `path`, or of the closest path above that is written.
    fn say(&mut self, path: &[&str], message: &str, hint: &str) {
        let place = self.place(path, |at| &at.place).clone();
        self.report(path, &place, message, hint);
    }

    /// Reports at the key of `path`.
    fn say_key(&mut self, path: &[&str], message: &str, hint: &str) {
        let place = self.place(path, Typed::named).clone();
        self.report(path, &place, message, hint);
    }

    fn report(&mut self, path: &[&str], place: &Place, message: &str, hint: &str) {
        let path = path.join(".");
        let above = |broken: &String| path == *broken || path.starts_with(&format!("{broken}."));
        if self.broken.iter().any(above) {
            return;
        }
        match hint {
            "" => self.problems.add(place, message),
            hint => self.problems.hint(place, message, hint),
        }
    }

    fn place(&self, path: &[&str], of: impl Fn(&Typed) -> &Place) -> &Place {
        match self.whole.find(path) {
            Some(at) => of(at),
            None => (0..path.len())
                .rev()
                .find_map(|length| self.whole.find(&path[..length]))
                .map_or(&self.whole.place, Typed::named),
        }
    }

    fn edge(&mut self, edge: &Edge) {
        let listen = self.address(&["edge", "listen"], &edge.listen);
        if let Some(metrics) = &edge.metrics_listen {
            let metrics = self.address(&["edge", "metrics_listen"], metrics);
            if metrics
                .is_some_and(|m| m.port() != 0 && listen.is_some_and(|l| l.port() == m.port()))
            {
                let message = "`edge.metrics_listen` has the port of `edge.listen`";
                self.say(
                    &["edge", "metrics_listen"],
                    message,
                    "give the metrics a port of their own",
                );
            }
        }
        if edge.mirror_percent > 100 {
            let message =
                format!("`edge.mirror_percent` must be from 0 to 100, not {}", edge.mirror_percent);
            self.say(&["edge", "mirror_percent"], &message, "");
        }
        self.token(&["edge", "preview_header"], &edge.preview_header);
        match &edge.sticky {
            Some(Sticky::Cookie(name)) => self.token(&["edge", "sticky", "cookie"], name),
            Some(Sticky::Header(name)) => self.token(&["edge", "sticky", "header"], name),
            None => {}
        }
        for (index, route) in edge.header_routes.iter().enumerate() {
            self.token(&["edge", "header_routes", &index.to_string(), "header"], &route.header);
        }
        if let Some(tls) = &edge.tls {
            for (name, file) in [("cert", &tls.cert), ("key", &tls.key)] {
                if file.is_empty() {
                    self.say(
                        &["edge", "tls", name],
                        &format!("`edge.tls.{name}` names no file"),
                        "",
                    );
                }
            }
        }
    }

    fn address(&mut self, path: &[&str], text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            let message = format!("`{}` must be address:port, not `{text}`", path.join("."));
            self.say(
                path,
                &message,
                "for example `127.0.0.1:8080`, or `[::]:8080` for every address",
            );
        }
        address
    }

    fn token(&mut self, path: &[&str], text: &str) {
        if !is_token(text) {
            let message = format!("`{}`: {text:?} is not a name that HTTP allows", path.join("."));
            self.say(path, &message, "letters, digits and `-`");
        }
    }
}
