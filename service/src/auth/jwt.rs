//! JWTs of an OIDC issuer: the signature by ring, then issuer, audience and time.
//!
//! Only asymmetric algorithms are known: a token cannot choose one that turns a public key into a
//! password, nor none at all. Keys come in as values.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use crate::memory::Moment;

/// Clocks may differ by so much.
const LEEWAY_SECONDS: f64 = 30.0;
const LONGEST: usize = 16 * 1024;

/// The keys of an issuer.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Debug, Clone, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no JWT.
    #[error("it is no JWT")]
    Malformed,
    /// Its key is not among the issuer's.
    #[error("its key is not known")]
    UnknownKey,
    /// The signature is not of that key.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer's.
    #[error("it is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Over.
    #[error("it has expired")]
    Expired,
    /// Not yet.
    #[error("it is not valid yet")]
    NotYet,
    /// It does not say whose it is.
    #[error("it has no tenant that can be one")]
    Tenant,
    /// It does not say what it allows.
    #[error("it has no role that is known")]
    Role,
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// The claims of `token`, if one of `keys` signed it and it is meant for `audience`, now.
pub fn verify(
    token: &str,
    keys: &Jwks,
    issuer: &str,
    audience: &str,
    now: Moment,
) -> Result<Value, Refusal> {
    if token.len() > LONGEST {
        return Err(Refusal::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
    let header: Header =
        serde_json::from_slice(&decoded(header)?).map_err(|_| Refusal::Malformed)?;
    let signature = decoded(signature)?;
    let fitting: Vec<&Jwk> = keys
        .keys
        .iter()
        .filter(|key| header.kid.is_none() || key.kid == header.kid)
        .filter(|key| key.fits(&header.alg))
        .collect();
    if fitting.is_empty() {
        return Err(Refusal::UnknownKey);
    }
    if !fitting.iter().any(|key| key.signed(&header.alg, message.as_bytes(), &signature)) {
        return Err(Refusal::Signature);
    }
    let claims: Value =
        serde_json::from_slice(&decoded(claims)?).map_err(|_| Refusal::Malformed)?;
    if claims["iss"] != issuer {
        return Err(Refusal::Issuer);
    }
    let meant = match &claims["aud"] {
        Value::String(one) => one == audience,
        Value::Array(all) => all.iter().any(|one| one == audience),
        _ => false,
    };
    if !meant {
        return Err(Refusal::Audience);
    }
    let seconds = now.0 as f64 / 1000.0;
    // Without an end it would be a password for ever.
    let end = claims["exp"].as_f64().ok_or(Refusal::Expired)?;
    if end + LEEWAY_SECONDS <= seconds {
        return Err(Refusal::Expired);
    }
    if claims["nbf"].as_f64().is_some_and(|begin| begin - LEEWAY_SECONDS > seconds) {
        return Err(Refusal::NotYet);
    }
    Ok(claims)
}

impl Jwk {
    fn fits(&self, algorithm: &str) -> bool {
        match algorithm {
            "RS256" | "PS256" => self.kty == "RSA",
            "ES256" => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            "EdDSA" => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
            _ => false,
        }
    }

    fn signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let part = |part: &Option<String>| part.as_deref().and_then(|part| decoded(part).ok());
        match algorithm {
            "RS256" | "PS256" => {
                let (Some(n), Some(e)) = (part(&self.n), part(&self.e)) else { return false };
                let key = RsaPublicKeyComponents { n, e };
                let scheme = match algorithm {
                    "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                    _ => &RSA_PSS_2048_8192_SHA256,
                };
                key.verify(scheme, message, signature).is_ok()
            }
            "ES256" => {
                let (Some(x), Some(y)) = (part(&self.x), part(&self.y)) else { return false };
                // An uncompressed point.
                let key: Vec<u8> = [vec![4], x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
                    .verify(message, signature)
                    .is_ok()
            }
            "EdDSA" => part(&self.x).is_some_and(|key| {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const NOW: Moment = Moment(1_800_000_000_000);

    fn encoded(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    struct Issuer {
        pair: Ed25519KeyPair,
        keys: Jwks,
    }

    fn issuer() -> Issuer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        let x = encoded(pair.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x}]});
        Issuer { pair, keys: serde_json::from_value(keys).expect("keys") }
    }

    impl Issuer {
        fn token(&self, header: &Value, claims: &Value) -> String {
            let (header, claims) = (header.to_string(), claims.to_string());
            let message = format!("{}.{}", encoded(header.as_bytes()), encoded(claims.as_bytes()));
            format!("{message}.{}", encoded(self.pair.sign(message.as_bytes()).as_ref()))
        }

        fn check(&self, header: &Value, claims: &Value) -> Result<Value, Refusal> {
            verify(&self.token(header, claims), &self.keys, "https://issuer", "nca", NOW)
        }
    }

    fn claims(change: &Value) -> Value {
        let mut claims = json!({"iss": "https://issuer", "aud": "nca", "exp": 1_800_000_060});
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    }

    #[test]
    fn a_good_token_is_taken() {
        let issuer = issuer();
        let header = json!({"alg": "EdDSA", "kid": "1"});
        for change in [json!({}), json!({"aud": ["x", "nca"]}), json!({"nbf": 1_800_000_000})] {
            assert!(issuer.check(&header, &claims(&change)).is_ok(), "{change}");
        }
    }

    #[test]
    fn every_other_one_is_refused() {
        let issuer = issuer();
        let header = json!({"alg": "EdDSA", "kid": "1"});
        for (change, refusal) in [
            (json!({"iss": "https://other"}), Refusal::Issuer),
            (json!({"aud": "x"}), Refusal::Audience),
            (json!({"aud": null}), Refusal::Audience),
            (json!({"exp": 1_799_999_900}), Refusal::Expired),
            (json!({"exp": null}), Refusal::Expired),
            (json!({"nbf": 1_800_000_100}), Refusal::NotYet),
        ] {
            assert_eq!(issuer.check(&header, &claims(&change)), Err(refusal), "{change}");
        }
        for (header, refusal) in [
            (json!({"alg": "none"}), Refusal::UnknownKey),
            (json!({"alg": "HS256", "kid": "1"}), Refusal::UnknownKey),
            (json!({"alg": "RS256", "kid": "1"}), Refusal::UnknownKey),
            (json!({"alg": "EdDSA", "kid": "2"}), Refusal::UnknownKey),
        ] {
            assert_eq!(issuer.check(&header, &claims(&json!({}))), Err(refusal), "{header}");
        }
        let strange = self::issuer();
        let token = strange.token(&header, &claims(&json!({})));
        let refused = verify(&token, &issuer.keys, "https://issuer", "nca", NOW);
        assert_eq!(refused, Err(Refusal::Signature));
        for token in ["", ".", "..", "a.b.c", "e30.e30.e30"] {
            let refused = verify(token, &issuer.keys, "https://issuer", "nca", NOW);
            assert_eq!(refused, Err(Refusal::Malformed), "{token}");
        }
    }

    #[test]
    fn elliptic_curves_are_checked_too() {
        let random = SystemRandom::new();
        let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).expect("a key");
        let point = pair.public_key().as_ref();
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256",
            "x": encoded(&point[1..33]), "y": encoded(&point[33..])}]});
        let keys: Jwks = serde_json::from_value(keys).expect("keys");
        let message = format!(
            "{}.{}",
            encoded(br#"{"alg":"ES256"}"#),
            encoded(claims(&json!({})).to_string().as_bytes())
        );
        let signature = pair.sign(&random, message.as_bytes()).expect("signs");
        let token = format!("{message}.{}", encoded(signature.as_ref()));
        assert!(verify(&token, &keys, "https://issuer", "nca", NOW).is_ok());
    }
}
