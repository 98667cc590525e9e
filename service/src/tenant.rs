//! Whose rows a request works on.
//!
//! Knows nothing of who is asking: the name has been taken from a verified claim, never from a
//! body.

use std::sync::Arc;

/// The tenant of whoever is not asked who they are.
pub const DEFAULT: &str = "default";

const LONGEST: usize = 64;

/// The name of a tenant. Its characters are harmless in SQL, in a header and in a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// `name`, if it can be one: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=LONGEST).contains(&name.len()) && name.bytes().all(allowed);
        fits.then(|| Self(name.into()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_end_a_quoted_word_is_a_name() {
        for name in ["", "a'b", "a b", "a;b", "ä", "a\0", &"a".repeat(65)] {
            assert_eq!(Tenant::new(name), None, "{name:?}");
        }
        assert_eq!(
            Tenant::new("acme.eu-1_X").map(|t| t.to_string()).as_deref(),
            Some("acme.eu-1_X")
        );
    }
}
