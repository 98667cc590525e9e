//! With what memory content is sealed.

use std::path::PathBuf;

use super::Secret;
use super::source::Source;
use super::url::http_url;
use crate::sealing::{KmsSettings, SealingSettings, WrappedBy};

const KMS: [&str; 3] = ["NEUROCA_KMS_KEY", "NEUROCA_KMS_TOKEN_PATH", "NEUROCA_KMS_URL"];

pub(super) fn read(source: &mut Source) -> Option<SealingSettings> {
    let secret = source.text("NEUROCA_SECRET_KEY").map(Secret);
    let previous = source.text("NEUROCA_SECRET_KEY_PREVIOUS").map(Secret);
    let wants_kms = KMS.into_iter().any(|name| source.has(name));
    let kms = if wants_kms { read_kms(source) } else { None };
    if secret.is_some() && wants_kms {
        source.problem(
            "NEUROCA_SECRET_KEY and NEUROCA_KMS_* are both given; keep one. To change from a secret to a KMS, \
             give the secret as NEUROCA_SECRET_KEY_PREVIOUS and run `neuroca keys rekey`",
        );
    }
    if previous.is_some() && secret.is_none() && !wants_kms {
        source.problem(
            "NEUROCA_SECRET_KEY_PREVIOUS means nothing without NEUROCA_SECRET_KEY or NEUROCA_KMS_*",
        );
    }
    let current = kms.map(WrappedBy::Kms).or(secret.map(WrappedBy::Secret))?;
    Some(SealingSettings { current, previous })
}

fn read_kms(source: &mut Source) -> Option<KmsSettings> {
    let key = source.text("NEUROCA_KMS_KEY");
    let token = source.text("NEUROCA_KMS_TOKEN_PATH");
    let address = source.text("NEUROCA_KMS_URL");
    let (Some(key), Some(token), Some(address)) = (key, token, address) else {
        source.problem(
            "NEUROCA_KMS_URL, NEUROCA_KMS_KEY and NEUROCA_KMS_TOKEN_PATH go together: an address such as \
             https://bao.example.com:8200, the name of a key in its transit engine, and a file with a token",
        );
        return None;
    };
    let (mount, key) = key.rsplit_once('/').unwrap_or(("transit", &key));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if key.is_empty()
        || !key.bytes().all(plain)
        || !mount.split('/').all(|part| !part.is_empty() && part.bytes().all(plain))
    {
        source.problem("NEUROCA_KMS_KEY is not the name of a key, or MOUNT/NAME");
    }
    Some(KmsSettings {
        url: http_url(source, "NEUROCA_KMS_URL", &address, "https://bao.example.com:8200")?,
        mount: mount.to_owned(),
        key: key.to_owned(),
        token: PathBuf::from(token),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Settings};
    use crate::sealing::WrappedBy;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from_variables(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    const URL: (&str, &str) = ("NEUROCA_KMS_URL", "http://127.0.0.1:8200");
    const TOKEN: (&str, &str) = ("NEUROCA_KMS_TOKEN_PATH", "/run/token");

    #[test]
    fn a_key_is_in_the_usual_mount_or_in_one_that_is_named() {
        for (key, mount) in [("neuroca", "transit"), ("team/transit/neuroca", "team/transit")] {
            let sealing = settings(&[URL, TOKEN, ("NEUROCA_KMS_KEY", key)]).expect("valid").sealing;
            let Some(WrappedBy::Kms(kms)) = sealing.map(|sealing| sealing.current) else {
                panic!("no KMS")
            };
            assert_eq!((kms.mount.as_str(), kms.key.as_str()), (mount, "neuroca"));
        }
    }

    #[test]
    fn what_cannot_work_is_said() {
        let problem = |pairs: &[(&str, &str)]| settings(pairs).expect_err("a problem").0.join("\n");
        assert!(problem(&[URL]).contains("go together"));
        assert!(problem(&[("NEUROCA_SECRET_KEY_PREVIOUS", "x")]).contains("means nothing without"));
        let both = [URL, TOKEN, ("NEUROCA_KMS_KEY", "k"), ("NEUROCA_SECRET_KEY", "x")];
        assert!(problem(&both).contains("are both given"));
        assert!(
            problem(&[URL, TOKEN, ("NEUROCA_KMS_KEY", "../k")]).contains("not the name of a key")
        );
        assert!(
            problem(&[URL, TOKEN, ("NEUROCA_KMS_KEY", "k?x")]).contains("not the name of a key")
        );
    }
}
