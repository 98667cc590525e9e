//! What a client says: a new memory, a change of one, and what is wrong with either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Memory, Moment, Tier};

/// Longest content that is kept, in bytes.
pub const MAX_CONTENT: usize = 256 * 1024;
/// Longest metadata that is kept, in bytes of JSON.
pub const MAX_METADATA: usize = 16 * 1024;
/// Longest subject, in bytes.
pub const MAX_SUBJECT: usize = 256;

/// What the client wants back with a memory.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// What a client says when it adds a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The text to remember.
    #[schemars(length(min = 1, max = 262144), regex(pattern = r"^[^\u0000]*$"))]
    pub content: String,
    /// Where it goes; working memory unless said otherwise.
    #[serde(default = "working")]
    pub tier: Tier,
    /// 0 to 1; decides who leaves a full tier first.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub importance: f64,
    /// Whom or what it is about.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\u0000]*$"))]
    pub subject: Option<String>,
    /// Kept when a tier is full, and promoted without having to earn it.
    #[serde(default)]
    pub pinned: bool,
    /// When it happened, if that was not now.
    #[serde(default)]
    pub occurred_at: Option<Moment>,
    /// Whatever the client wants back with it.
    #[serde(default)]
    pub metadata: Metadata,
}

fn working() -> Tier {
    Tier::Working
}
fn half() -> f64 {
    0.5
}

impl Draft {
    /// What is wrong with it, in words for the client.
    pub fn check(&self) -> Result<(), String> {
        check_content(&self.content)?;
        check_importance(self.importance)?;
        check_metadata(&self.metadata)?;
        self.subject.as_deref().map_or(Ok(()), check_subject)
    }

    /// The same for two drafts that ask for the same memory, whatever their spelling in JSON.
    pub fn fingerprint(&self) -> String {
        fingerprint(self)
    }

    /// The memory that this draft becomes.
    pub fn into_memory(self, id: Uuid, now: Moment) -> Memory {
        Memory {
            id,
            content: self.content,
            tier: self.tier,
            importance: self.importance,
            subject: self.subject,
            pinned: self.pinned,
            metadata: self.metadata,
            version: 1,
            occurred_at: self.occurred_at.unwrap_or(now),
            created_at: now,
            updated_at: now,
            expires_at: self.tier.time_to_live().map(|ttl| now.plus(ttl)),
            valid_to: None,
            superseded_by: None,
        }
    }
}

/// What a client says when it changes one; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Another text.
    #[schemars(length(min = 1, max = 262144), regex(pattern = r"^[^\u0000]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Another importance.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<f64>,
    /// Pin or unpin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// All of the metadata, anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

impl Change {
    /// What is wrong with it, in words for the client.
    pub fn check(&self) -> Result<(), String> {
        if *self == Self::default() {
            return Err("nothing is changed: give content, importance, pinned or metadata".into());
        }
        self.content.as_deref().map_or(Ok(()), check_content)?;
        self.importance.map_or(Ok(()), check_importance)?;
        self.metadata.as_ref().map_or(Ok(()), check_metadata)
    }

    /// What `memory` becomes by it.
    pub fn apply(self, memory: &mut Memory) {
        if let Some(content) = self.content {
            memory.content = content;
        }
        if let Some(importance) = self.importance {
            memory.importance = importance;
        }
        if let Some(pinned) = self.pinned {
            memory.pinned = pinned;
        }
        if let Some(metadata) = self.metadata {
            memory.metadata = metadata;
        }
    }
}

/// SHA-256 over what `value` is in JSON.
pub fn fingerprint(value: &impl Serialize) -> String {
    hex(&Sha256::digest(serde_json::to_vec(value).unwrap_or_default()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// PostgreSQL cannot hold the character NUL; both databases refuse it, so that what one accepts the
// other does too.
const NUL: &str = "the character U+0000 cannot be stored";

fn check_content(content: &str) -> Result<(), String> {
    if content.is_empty() {
        return Err("content is empty".into());
    }
    if content.len() > MAX_CONTENT {
        return Err(format!("content is longer than {MAX_CONTENT} bytes"));
    }
    if content.contains('\0') { Err(NUL.into()) } else { Ok(()) }
}

fn check_importance(importance: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&importance) {
        Ok(())
    } else {
        Err("importance is not between 0 and 1".into())
    }
}

/// What is wrong with a subject, in words for the client.
pub fn check_subject(subject: &str) -> Result<(), String> {
    if subject.is_empty() || subject.len() > MAX_SUBJECT {
        return Err(format!("subject is empty or longer than {MAX_SUBJECT} bytes"));
    }
    if subject.contains('\0') { Err(NUL.into()) } else { Ok(()) }
}

fn check_metadata(metadata: &Metadata) -> Result<(), String> {
    let text = serde_json::to_string(metadata).unwrap_or_default();
    if text.len() > MAX_METADATA {
        return Err(format!("metadata is longer than {MAX_METADATA} bytes of JSON"));
    }
    if text.contains("\\u0000") { Err(NUL.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(json: &str) -> Draft {
        serde_json::from_str(json).expect("a draft")
    }

    #[test]
    fn fingerprint_ignores_spelling_and_sees_content() {
        let one = draft(r#"{"content":"a","metadata":{"x":1,"y":2}}"#);
        let same = draft(
            r#"{ "importance": 0.5, "tier": "working", "content": "a", "metadata":{"x":1,"y":2}}"#,
        );
        assert_eq!(one.fingerprint(), same.fingerprint());
        assert_ne!(one.fingerprint(), draft(r#"{"content":"b"}"#).fingerprint());
    }

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        for json in [
            r#"{"content":"a\u0000"}"#,
            r#"{"content":"a","subject":"\u0000"}"#,
            r#"{"content":"a","metadata":{"k":["\u0000"]}}"#,
        ] {
            assert!(draft(json).check().is_err(), "{json}");
        }
        let change: Change = serde_json::from_str(r#"{"content":"\u0000"}"#).expect("a change");
        assert!(change.check().is_err());
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let mut memory =
            draft(r#"{"content":"a","importance":0.7}"#).into_memory(Uuid::nil(), Moment(0));
        let change: Change = serde_json::from_str(r#"{"pinned":true}"#).expect("a change");
        change.apply(&mut memory);
        assert_eq!((memory.content.as_str(), memory.importance, memory.pinned), ("a", 0.7, true));
        assert!(Change::default().check().is_err());
    }
}
