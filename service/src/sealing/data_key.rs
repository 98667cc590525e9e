//! The key of one tenant: seals what was told, and turns words into what the index keeps of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};

use super::SealError;
use crate::tenant::Tenant;

pub(super) const KEY_LEN: usize = 32;

/// Where something belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Which row.
    pub row: &'a [u8],
    /// Which field of it.
    pub field: &'static str,
}

impl Place<'_> {
    /// No two places give the same: neither a tenant's name nor a field holds a zero.
    fn bound(&self) -> Aad<Vec<u8>> {
        let parts = [self.tenant.name().as_bytes(), self.field.as_bytes(), self.row];
        Aad::from(parts.join(&0))
    }

    fn moved(&self) -> SealError {
        SealError::Moved(format!("the {} of a row of tenant {}", self.field, self.tenant))
    }
}

/// One version of a tenant's key.
pub struct DataKey {
    version: i64,
    content: LessSafeKey,
    index: hmac::Key,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "DataKey({})", self.version)
    }
}

impl DataKey {
    /// From what was unwrapped. Content and index get keys of their own, so that neither helps with the other.
    pub(super) fn new(version: i64, key: &[u8; KEY_LEN]) -> Self {
        Self {
            version,
            content: LessSafeKey::new(derived(key, b"neuroca content")),
            index: Okm::expand(key, b"neuroca index", hmac::HMAC_SHA256),
        }
    }

    /// Counts from 1 with each rotation.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Keys the words of the index.
    pub fn index(&self) -> &hmac::Key {
        &self.index
    }

    /// Seals for this place.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        seal(&self.content, place.bound(), plain)
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        open(&self.content, place.bound(), sealed).ok_or_else(|| place.moved())
    }

    /// Seals to text, for columns that hold text.
    pub fn seal_text(&self, place: Place<'_>, plain: &str) -> Result<String, SealError> {
        Ok(STANDARD_NO_PAD.encode(self.seal(place, plain.as_bytes())?))
    }

    /// Opens such text.
    pub fn open_text(&self, place: Place<'_>, sealed: &str) -> Result<String, SealError> {
        let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| place.moved())?;
        String::from_utf8(self.open(place, &sealed)?).map_err(|_| place.moved())
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::NoRandomness)?;
    Ok(bytes)
}

/// A nonce of 96 random bits, the sealed bytes, and 128 bits that show any change. Of one key, 2^32 times at most;
/// rotation comes long before.
pub(super) fn seal(
    key: &LessSafeKey,
    bound: Aad<Vec<u8>>,
    plain: &[u8],
) -> Result<Vec<u8>, SealError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut body)
        .map_err(|_| SealError::NoRandomness)?;
    Ok([nonce.as_slice(), &body].concat())
}

pub(super) fn open(key: &LessSafeKey, bound: Aad<Vec<u8>>, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut body = body.to_vec();
    let plain =
        key.open_in_place(Nonce::assume_unique_for_key(*nonce), bound, &mut body).ok()?.len();
    body.truncate(plain);
    Some(body)
}

/// A key for AES-256-GCM by HKDF-SHA256.
pub(super) fn derived(from: &[u8], purpose: &'static [u8]) -> UnboundKey {
    Okm::expand(from, purpose, &AES_256_GCM)
}

/// HKDF-SHA256 without its two pitfalls: the salt is fixed, and the length is that of the key.
struct Okm;

impl Okm {
    fn expand<K, L: hkdf::KeyType>(from: &[u8], purpose: &'static [u8], length: L) -> K
    where
        K: for<'a> From<hkdf::Okm<'a, L>>,
    {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"neuroca").extract(from);
        match key.expand(&[purpose], length) {
            Ok(okm) => K::from(okm),
            // Only a key of more than 8160 bytes is refused.
            Err(error) => unreachable!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8] = b"0123456789abcdef";

    fn tenant(name: &str) -> Tenant {
        Tenant::new(name).expect("a name")
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let (a, b) = (tenant("a"), tenant("b"));
        let key = DataKey::new(1, &[7; KEY_LEN]);
        let place = Place { tenant: &a, row: ID, field: "content" };
        let sealed = key.seal_text(place, "Ann likes tea").expect("sealed");
        assert!(!sealed.contains("tea"));
        assert_eq!(key.open_text(place, &sealed).expect("opens"), "Ann likes tea");
        for other in [
            Place { tenant: &b, ..place },
            Place { row: b"0123456789abcdeF", ..place },
            Place { field: "metadata", ..place },
        ] {
            assert!(matches!(key.open_text(other, &sealed), Err(SealError::Moved(_))));
        }
        let other = DataKey::new(1, &[8; KEY_LEN]);
        assert!(matches!(other.open_text(place, &sealed), Err(SealError::Moved(_))));
    }

    #[test]
    fn any_changed_bit_is_noticed_and_no_two_seals_are_alike() {
        let a = tenant("a");
        let key = DataKey::new(1, &[7; KEY_LEN]);
        let place = Place { tenant: &a, row: ID, field: "content" };
        let sealed = key.seal(place, b"tea").expect("sealed");
        assert_ne!(sealed, key.seal(place, b"tea").expect("sealed"));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(place, &changed).is_err(), "{at}");
        }
        assert!(key.open(place, &sealed[..5]).is_err());
    }
}
