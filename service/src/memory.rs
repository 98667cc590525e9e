//! What a memory is, and the rules that need no database: tiers, their time to live, limits.
//!
//! Knows neither HTTP nor SQL; time comes in as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest content that is kept, in bytes.
pub const MAX_CONTENT: usize = 256 * 1024;
/// Longest metadata that is kept, in bytes of JSON.
pub const MAX_METADATA: usize = 16 * 1024;
/// Longest subject, in bytes.
pub const MAX_SUBJECT: usize = 256;

/// A point in time, to the millisecond; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// The wall clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// This moment moved by `millis`.
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = jiff::Timestamp::from_millisecond(self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&format!("{time:.3}"))
    }
}

/// How long a memory lives and what happens when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// What the agent has in mind: few, half an hour.
    Working,
    /// What happened today: a thousand, a day.
    ShortTerm,
    /// What is known: kept until it is deleted.
    LongTerm,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Tier; 3] = [Tier::Working, Tier::ShortTerm, Tier::LongTerm];

    /// The name in JSON, in SQL and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Working => "working",
            Tier::ShortTerm => "short_term",
            Tier::LongTerm => "long_term",
        }
    }

    /// The tier of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// Milliseconds from creation to expiry; `None` lives on.
    pub fn time_to_live(self) -> Option<i64> {
        match self {
            Tier::Working => Some(30 * 60 * 1000),
            Tier::ShortTerm => Some(24 * 60 * 60 * 1000),
            Tier::LongTerm => None,
        }
    }
}

/// What a client says when it adds a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The text to remember.
    pub content: String,
    /// Where it goes; working memory unless said otherwise.
    #[serde(default = "working")]
    pub tier: Tier,
    /// 0 to 1; decides who leaves a full tier first.
    #[serde(default = "half")]
    pub importance: f64,
    /// Whom or what it is about.
    #[serde(default)]
    pub subject: Option<String>,
    /// Whatever the client wants back with it.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
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
        if self.content.is_empty() {
            return Err("content is empty".into());
        }
        if self.content.len() > MAX_CONTENT {
            return Err(format!("content is longer than {MAX_CONTENT} bytes"));
        }
        if !(0.0..=1.0).contains(&self.importance) {
            return Err("importance is not between 0 and 1".into());
        }
        if let Some(subject) = &self.subject
            && (subject.is_empty() || subject.len() > MAX_SUBJECT)
        {
            return Err(format!("subject is empty or longer than {MAX_SUBJECT} bytes"));
        }
        let metadata = serde_json::to_string(&self.metadata).unwrap_or_default();
        if metadata.len() > MAX_METADATA {
            return Err(format!("metadata is longer than {MAX_METADATA} bytes of JSON"));
        }
        // PostgreSQL cannot hold the character NUL; both databases refuse it, so that what one
        // accepts the other does too.
        let nul = |text: &str| text.contains('\0');
        if nul(&self.content)
            || self.subject.as_deref().is_some_and(nul)
            || metadata.contains("\\u0000")
        {
            return Err("the character U+0000 cannot be stored".into());
        }
        Ok(())
    }

    /// The same for two drafts that ask for the same memory, whatever their spelling in JSON.
    pub fn fingerprint(&self) -> String {
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(&canonical) {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    /// The memory that this draft becomes.
    pub fn into_memory(self, id: Uuid, now: Moment) -> Memory {
        Memory {
            id,
            content: self.content,
            tier: self.tier,
            importance: self.importance,
            subject: self.subject,
            metadata: self.metadata,
            created_at: now,
            expires_at: self.tier.time_to_live().map(|ttl| now.plus(ttl)),
        }
    }
}

/// One memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// UUID version 7: sorts by time of creation.
    #[serde(serialize_with = "as_text")]
    pub id: Uuid,
    /// The text to remember.
    pub content: String,
    /// Where it lives.
    pub tier: Tier,
    /// 0 to 1.
    pub importance: f64,
    /// Whom or what it is about.
    pub subject: Option<String>,
    /// What the client gave with it.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// When it was accepted.
    pub created_at: Moment,
    /// From then on it is not there any more.
    pub expires_at: Option<Moment>,
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
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
    }

    #[test]
    fn moment_is_rfc_3339() {
        let text = serde_json::to_string(&Moment(1_700_000_000_120)).expect("serializes");
        assert_eq!(text, r#""2023-11-14T22:13:20.120Z""#);
    }
}
