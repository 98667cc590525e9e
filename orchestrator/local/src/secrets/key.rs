//! The key that seals secrets: an age identity in a file of its owner's alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use hmac::{Hmac, KeyInit, Mac};
use neuroca_deploy_core::digest::hex;
use sha2::Sha256;

/// The key. It has no printed form.
pub struct Key {
    identity: Identity,
}

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot use the key file {path}: {error}\n  hint: make it readable for this user")]
    Io { path: PathBuf, error: io::Error },
    #[error("others may read the key file {path} (mode {mode:o})\n  hint: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{path} holds no age identity\n  hint: restore it, or move it away to start with a new key"
    )]
    NoKey { path: PathBuf },
    #[error(
        "the key file {path} is inside the state directory, where a copy of the state would take it along\n  \
         hint: keep it elsewhere"
    )]
    Inside { path: PathBuf },
    #[error("cannot seal: {0}")]
    Seal(String),
}

impl Key {
    /// The key in the file, which is made if it is not there. Not below `state`.
    pub fn open_or_make(path: &Path, state: &Path) -> Result<Self, KeyError> {
        if path.starts_with(state) {
            return Err(KeyError::Inside { path: path.into() });
        }
        if path.exists() {
            return Self::open(path);
        }
        let io = |error| KeyError::Io { path: path.into(), error };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        }
        let identity = Identity::generate();
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = PathBuf::from(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(identity.to_string().expose_secret().as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            // A link does not replace the key that another command made at the same moment.
            .and_then(|()| fs::hard_link(&new, path));
        let _ = fs::remove_file(&new);
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error)),
        }
        Self::open(path)
    }

    /// The key in the file.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let io = |error| KeyError::Io { path: path.into(), error };
        let found = fs::metadata(path).map_err(io)?;
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.into(), mode });
        }
        if found.size() > 4096 {
            return Err(KeyError::NoKey { path: path.into() });
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let identity = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .and_then(|line| line.parse().ok())
            .ok_or_else(|| KeyError::NoKey { path: path.into() })?;
        Ok(Self { identity })
    }

    /// A keyed hash of a value: it changes with the value and tells nothing of it without the key.
    pub fn version(&self, value: &str) -> String {
        type HmacSha256 = Hmac<Sha256>;
        let secret = self.identity.to_string();
        let mut mac = HmacSha256::new_from_slice(secret.expose_secret().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(b"neuroca-deploy secret version 1\n");
        mac.update(value.as_bytes());
        hex(&mac.finalize().into_bytes()[..8])
    }

    pub(super) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        age::encrypt(&self.identity.to_public(), plain).map_err(|e| KeyError::Seal(e.to_string()))
    }

    pub(super) fn unseal(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        age::decrypt(&self.identity, sealed).ok()
    }
}
