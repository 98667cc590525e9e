//! What a memory is, and the rules that need no database: tiers, decay, limits.
//!
//! Knows neither HTTP nor SQL; time comes in as a value.

mod activation;
mod draft;
mod moment;
mod tier;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

pub use activation::Activation;
pub use draft::{
    Change, Draft, MAX_CONTENT, MAX_METADATA, MAX_SUBJECT, Metadata, check_subject, fingerprint,
    hex,
};
pub use moment::Moment;
pub use tier::Tier;

/// One memory, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Memory {
    /// UUID version 7: sorts by time of creation.
    pub id: Uuid,
    /// The text to remember.
    pub content: String,
    /// Where it lives.
    pub tier: Tier,
    /// 0 to 1.
    pub importance: f64,
    /// Whom or what it is about.
    pub subject: Option<String>,
    /// Kept when its tier is full.
    pub pinned: bool,
    /// What the client gave with it.
    pub metadata: Metadata,
    /// Counts its changes, from 1; the `ETag`.
    pub version: i64,
    /// When it happened.
    pub occurred_at: Moment,
    /// When it was accepted.
    pub created_at: Moment,
    /// When this version was made.
    pub updated_at: Moment,
    /// From then on it is not there any more.
    pub expires_at: Option<Moment>,
    /// Since when something else says it better.
    pub valid_to: Option<Moment>,
    /// What that is.
    pub superseded_by: Option<Uuid>,
}

impl Memory {
    /// Puts it into `tier`, where its time begins anew.
    pub fn move_to(&mut self, tier: Tier, now: Moment) {
        self.tier = tier;
        self.expires_at = tier.time_to_live().map(|ttl| now.plus(ttl));
    }
}

/// What a memory was before.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Version {
    /// Which one.
    pub version: i64,
    /// Its text.
    pub content: String,
    /// Where it lived.
    pub tier: Tier,
    /// 0 to 1.
    pub importance: f64,
    /// Whether it was pinned.
    pub pinned: bool,
    /// What the client gave with it.
    pub metadata: Metadata,
    /// Since when it was so.
    pub valid_from: Moment,
    /// Until when; null for the current one.
    pub valid_to: Option<Moment>,
    /// What ended it: `changed`, `transferred`, `promoted`, `superseded`; null for the current one.
    pub cause: Option<String>,
}
