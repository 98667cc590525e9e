//! A memory as it is written: sealed, if its tenant has a key, and what the index keeps of it.

use std::borrow::Cow;

use super::StoreError;
use super::owner::Owner;
use super::rows::metadata_text;
use crate::memory::Memory;
use crate::sealing::{DataKey, Place};
use crate::search::Indexed;

pub(super) const CONTENT: &str = "content";
pub(super) const METADATA: &str = "metadata";
pub(super) const FINGERPRINT: &str = "fingerprint";
pub(super) const VECTOR: &str = "vector";

/// Whether what was known of its twins stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// It says what it said.
    Stays,
    /// It says something else now.
    Anew,
}

pub(super) struct Written<'a> {
    pub(super) memory: &'a Memory,
    pub(super) content: Cow<'a, str>,
    pub(super) metadata: String,
    /// 0: not sealed.
    pub(super) key_version: i64,
    pub(super) content_hash: Vec<u8>,
    pub(super) indexed: Indexed,
}

impl<'a> Written<'a> {
    /// Under this key, or in the clear.
    pub(super) fn new(
        owner: &Owner,
        memory: &'a Memory,
        key: Option<&DataKey>,
    ) -> Result<Self, StoreError> {
        let metadata = metadata_text(&memory.metadata);
        let (content, metadata) = match key {
            None => (Cow::Borrowed(memory.content.as_str()), metadata),
            Some(key) => {
                let place = |field| Place { tenant: owner, row: memory.id.as_bytes(), field };
                let content = key.seal_text(place(CONTENT), &memory.content)?;
                (Cow::Owned(content), key.seal_text(place(METADATA), &metadata)?)
            }
        };
        let words = owner.vocabulary(key);
        Ok(Self {
            memory,
            content,
            metadata,
            key_version: key.map_or(0, DataKey::version),
            content_hash: words.content_hash(&memory.content),
            indexed: words.index(memory),
        })
    }
}
