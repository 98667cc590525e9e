//! Whether and with what TLS is spoken. Paths and not values: the files are read again when they change.

use std::path::PathBuf;

use super::source::Source;
use crate::tls::TlsSettings;

pub(super) fn read(source: &mut Source) -> Option<TlsSettings> {
    let mut path = |name| source.text(name).map(PathBuf::from);
    let certificate = path("NEUROCA_TLS_CERT_PATH");
    let key = path("NEUROCA_TLS_KEY_PATH");
    let client_ca = path("NEUROCA_TLS_CLIENT_CA_PATH");
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsSettings { certificate, key, client_ca }),
        (None, None) if client_ca.is_none() => None,
        _ => {
            source.problem(
                "NEUROCA_TLS_CERT_PATH and NEUROCA_TLS_KEY_PATH go together, and \
                 NEUROCA_TLS_CLIENT_CA_PATH with both",
            );
            None
        }
    }
}
