//! `/v1/search` and `/v1/context`: what answers a question, and as much of it as fits.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::admit::Caller;
use super::input::{self, Body};
use super::{Problem, Shared};
use crate::auth::Principal;
use crate::memory::{Memory, Moment, Tier, check_subject};
use crate::search::{self, Hit, Why, Wish, estimated_tokens};
use crate::store::Page;

const MAX_QUERY: usize = 8 * 1024;
const MAX_HITS: u32 = 100;
/// Most memories that a context is made of.
const CONTEXT_HITS: u32 = 50;
const CONTEXT_RECENT: u32 = 20;

/// What is looked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// A question, or words.
    #[schemars(length(min = 1, max = 8192))]
    query: String,
    /// Only about this subject.
    #[schemars(length(min = 1, max = 256))]
    #[serde(default)]
    subject: Option<String>,
    /// Only in this tier.
    #[serde(default)]
    tier: Option<Tier>,
    /// At most so many.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default)]
    limit: Option<u32>,
}

/// A memory that answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    memory: Memory,
    /// Comparable within one answer only.
    score: f64,
    /// How it was found.
    why: Why,
}

/// What was found, best first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Found {
    items: Vec<Answer>,
    /// That embeddings are configured and could not help: these are the answers by words.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
}

pub(super) fn check(query: &str, subject: Option<&str>) -> Result<(), Problem> {
    if !(1..=MAX_QUERY).contains(&query.chars().count()) {
        return Err(Problem::invalid(&format!("query is not 1 to {MAX_QUERY} characters")));
    }
    subject.map_or(Ok(()), check_subject).map_err(|why| Problem::invalid(&why))
}

pub(super) async fn find(
    shared: &Shared,
    caller: &Principal,
    wish: &Wish,
) -> Result<search::Found, Problem> {
    let repository = shared.repository()?;
    let found = shared.searcher.search(&**repository, &caller.tenant, wish).await?;
    shared.accesses.note(&caller.tenant, found.hits.iter().map(|hit| hit.memory.id), wish.now);
    shared.metrics.operated("search", wish.tier.map_or("any", Tier::name), "done");
    Ok(found)
}

pub(super) async fn search(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Body(search): Body<Search>,
) -> Result<Json<Found>, Problem> {
    check(&search.query, search.subject.as_deref())?;
    let wish = Wish {
        text: search.query,
        subject: search.subject,
        tier: search.tier,
        limit: input::limit(search.limit, 10, MAX_HITS)? as usize,
        now: Moment::now(),
    };
    let found = find(&shared, &caller, &wish).await?;
    let answer = |hit: Hit| Answer { memory: hit.memory, score: hit.score, why: hit.why };
    let items = found.hits.into_iter().map(answer).collect();
    Ok(Json(Found { items, degraded: found.degraded }))
}

/// What a prompt is to be given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextWish {
    /// What it is about.
    #[schemars(length(min = 1, max = 8192))]
    query: String,
    /// Only about this subject; its working memory comes along.
    #[schemars(length(min = 1, max = 256))]
    #[serde(default)]
    subject: Option<String>,
    /// Tokens that it may take, by estimate.
    #[schemars(range(min = 16, max = 200_000))]
    #[serde(default = "default_tokens")]
    max_tokens: u32,
}

fn default_tokens() -> u32 {
    1024
}

/// Text for a prompt.
#[derive(Serialize, JsonSchema)]
pub(super) struct Context {
    /// One memory a line, oldest first, each with its date.
    text: String,
    /// What the text takes, by estimate: a token is about four letters of English.
    estimated_tokens: usize,
    /// Whose text it is, in the order of the lines.
    memories: Vec<Uuid>,
    /// Memories that would have answered and did not fit.
    left_out: usize,
    /// That embeddings are configured and could not help.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
}

/// The best answers, then what the agent has in mind, until the tokens are used up. One that does
/// not fit is left out whole: half a sentence misleads.
pub(super) async fn context(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Body(wish): Body<ContextWish>,
) -> Result<Json<Context>, Problem> {
    check(&wish.query, wish.subject.as_deref())?;
    if !(16..=200_000).contains(&wish.max_tokens) {
        return Err(Problem::invalid("max_tokens is not from 16 to 200000"));
    }
    let now = Moment::now();
    let about = About { text: wish.query, subject: wish.subject, max_tokens: wish.max_tokens, now };
    let gathered = gather(&shared, &caller, about).await?;
    let text: String = gathered.memories.iter().map(line).collect();
    Ok(Json(Context {
        estimated_tokens: gathered.estimated_tokens,
        text,
        memories: gathered.memories.into_iter().map(|memory| memory.id).collect(),
        left_out: gathered.left_out,
        degraded: gathered.degraded,
    }))
}

/// What memories are gathered for.
pub(super) struct About {
    pub(super) text: String,
    pub(super) subject: Option<String>,
    pub(super) max_tokens: u32,
    pub(super) now: Moment,
}

/// Memories for a prompt, oldest first.
pub(super) struct Gathered {
    pub(super) memories: Vec<Memory>,
    pub(super) estimated_tokens: usize,
    pub(super) left_out: usize,
    pub(super) degraded: bool,
}

pub(super) async fn gather(
    shared: &Shared,
    caller: &Principal,
    about: About,
) -> Result<Gathered, Problem> {
    let now = about.now;
    let asked = Wish {
        text: about.text,
        subject: about.subject.clone(),
        tier: None,
        limit: CONTEXT_HITS as usize,
        now,
    };
    let found = find(shared, caller, &asked).await?;
    let degraded = found.degraded;
    let mut memories: Vec<Memory> = found.hits.into_iter().map(|hit| hit.memory).collect();
    if about.subject.is_some() {
        let page = Page {
            before: None,
            tier: Some(Tier::Working),
            subject: about.subject,
            limit: CONTEXT_RECENT,
            now,
        };
        for recent in shared.repository()?.list(&caller.tenant, page).await? {
            if !memories.iter().any(|memory| memory.id == recent.id) {
                memories.push(recent);
            }
        }
    }
    let (mut left, mut left_out) = (about.max_tokens as usize, 0);
    let mut kept: Vec<Memory> = Vec::new();
    for memory in memories {
        match left.checked_sub(estimated_tokens(&line(&memory))) {
            Some(rest) => {
                left = rest;
                kept.push(memory);
            }
            None => left_out += 1,
        }
    }
    kept.sort_by_key(|memory| (memory.occurred_at, memory.id));
    let estimated_tokens = about.max_tokens as usize - left;
    Ok(Gathered { memories: kept, estimated_tokens, left_out, degraded })
}

fn line(memory: &Memory) -> String {
    let day = jiff::Timestamp::from_millisecond(memory.occurred_at.0)
        .map(|time| time.strftime("%Y-%m-%d").to_string())
        .unwrap_or_default();
    format!("[{day}] {}\n", memory.content)
}
