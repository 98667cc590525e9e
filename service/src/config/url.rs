//! Addresses of other services.

use hyper::Uri;

use super::source::Source;

/// `text`, if it is an address to which a path can be added. What it is instead is never quoted: it
/// may hold a password.
pub(super) fn http_url(source: &mut Source, name: &str, text: &str, example: &str) -> Option<Uri> {
    let uri: Option<Uri> = text.parse().ok();
    let fits = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    };
    let uri = uri.filter(fits);
    if uri.is_none() {
        source.problem(format!(
            "{name} is not an http:// or https:// address without a password and a query, such as \
             {example}"
        ));
    }
    uri
}
