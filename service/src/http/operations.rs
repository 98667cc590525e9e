//! The list of everything that this service does over HTTP.

mod administration;
mod flags;

use axum::Json;
use axum::http::Method;
use serde_json::Value;

use super::contract::{Operation, document};
use super::{
    consolidations, docs, events, health, llm, mcp, memories, metrics, search, subjects, tiers,
};
use crate::auth::Role;
use crate::memory::{Change, Draft, Memory};
use crate::store::Task;

/// The OpenAPI 3.1 document.
pub fn openapi() -> Value {
    document(&all())
}

async fn show() -> Json<Value> {
    Json(openapi())
}

pub(super) fn all() -> Vec<Operation> {
    let mut all = of_memories();
    all.extend(of_finding());
    all.extend(of_the_model());
    all.push(of_the_protocol());
    all.extend(of_subjects());
    all.extend(administration::all());
    all.extend(flags::all());
    all.extend(of_the_process());
    all
}

fn of_memories() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/memories",
            "createMemory",
            "Add a memory",
            memories::create,
        )
        .role(Role::Agent)
        .header("Idempotency-Key")
        .body::<Draft>()
        .tagged::<Memory>(201, "It is there, durably."),
        Operation::new(
            Method::GET,
            "/v1/memories",
            "listMemories",
            "Page through memories, newest first",
            memories::list,
        )
        .role(Role::Viewer)
        .query::<memories::ListQuery>()
        .json::<memories::Listing>(200, "A page."),
        Operation::new(
            Method::POST,
            "/v1/memories:batch",
            "createMemories",
            "Add several memories, all or none",
            memories::create_batch,
        )
        .role(Role::Agent)
        .header("Idempotency-Key")
        .body::<memories::Batch>()
        .json::<memories::Added>(201, "They are there, durably."),
        Operation::new(
            Method::GET,
            "/v1/memories/{id}",
            "readMemory",
            "Read a memory",
            memories::read,
        )
        .role(Role::Viewer)
        .header("If-None-Match")
        .tagged::<Memory>(200, "The memory.")
        .empty(304, "The client has this version already."),
        Operation::new(
            Method::PATCH,
            "/v1/memories/{id}",
            "changeMemory",
            "Change a memory; the version before stays in its history",
            memories::change,
        )
        .role(Role::Agent)
        .header("If-Match")
        .body::<Change>()
        .tagged::<Memory>(200, "The new version."),
        Operation::new(
            Method::DELETE,
            "/v1/memories/{id}",
            "deleteMemory",
            "Delete a memory and its history",
            memories::delete,
        )
        .role(Role::Agent)
        .header("If-Match")
        .empty(204, "It is gone."),
        Operation::new(
            Method::GET,
            "/v1/memories/{id}/history",
            "readHistory",
            "What a memory was",
            memories::history,
        )
        .role(Role::Viewer)
        .json::<memories::History>(200, "All versions, oldest first."),
        Operation::new(
            Method::POST,
            "/v1/memories/{id}/transfer",
            "transferMemory",
            "Move a memory to another tier",
            memories::transfer,
        )
        .role(Role::Agent)
        .header("If-Match")
        .body::<memories::Transfer>()
        .tagged::<Memory>(200, "It is there now."),
    ]
}

fn of_finding() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/search",
            "search",
            "Find memories that answer a question",
            search::search,
        )
        .role(Role::Viewer)
        .reads_only()
        .body::<search::Search>()
        .json::<search::Found>(200, "What was found, best first."),
        Operation::new(
            Method::POST,
            "/v1/context",
            "context",
            "Text for a prompt, within a budget of tokens",
            search::context,
        )
        .role(Role::Viewer)
        .reads_only()
        .body::<search::ContextWish>()
        .json::<search::Context>(200, "The text."),
        Operation::new(
            Method::GET,
            "/v1/memory/{tier}",
            "showTier",
            "A tier, and how present its memories are",
            tiers::show,
        )
        .role(Role::Viewer)
        .query::<tiers::TierQuery>()
        .json::<tiers::TierPage>(200, "A page."),
        Operation::new(Method::GET, "/v1/stats", "stats", "How much is remembered", tiers::stats)
            .role(Role::Viewer)
            .json::<tiers::Stats>(200, "The numbers."),
        Operation::new(
            Method::GET,
            "/v1/events",
            "events",
            "Heartbeats and what was added, as server-sent events",
            events::stream,
        )
        .role(Role::Viewer)
        .query::<events::EventQuery>()
        .events("A stream that ends when the service does."),
    ]
}

fn of_the_model() -> Vec<Operation> {
    let words = "Events `memories`, `text`, and at the end `answer` or `problem`.";
    vec![
        Operation::new(
            Method::POST,
            "/v1/llm/query",
            "llmQuery",
            "Have a language model answer from memories, and name them",
            llm::query,
        )
        .role(Role::Agent)
        .reads_only()
        .body::<llm::LlmQuery>()
        .json::<llm::Answered>(200, "The answer; as events if `stream` is true.")
        .events(words),
        Operation::new(
            Method::POST,
            "/v1/llm/conversation",
            "llmConversation",
            "Say something to a language model that remembers",
            llm::conversation,
        )
        .role(Role::Agent)
        .body::<llm::Conversation>()
        .json::<llm::Answered>(200, "The answer; as events unless `stream` is false.")
        .events(words),
    ]
}

fn of_the_protocol() -> Operation {
    Operation::new(
        Method::POST,
        "/v1/mcp",
        "mcp",
        "The memory as tools, by the Model Context Protocol",
        mcp::serve,
    )
    .role(Role::Viewer)
    .reads_only()
    .body::<mcp::Message>()
    .json::<Value>(200, "The answer to a request.")
    .empty(202, "A notification was taken.")
    .json::<Value>(400, "What the protocol says against a message.")
    .problem(400)
}

fn of_subjects() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/consolidations",
            "consolidate",
            "Have the worker promote and compare now",
            consolidations::start,
        )
        .role(Role::Operator)
        .json::<Task>(202, "The worker will take it up."),
        Operation::new(
            Method::GET,
            "/v1/consolidations/{id}",
            "readConsolidation",
            "How far a consolidation is",
            consolidations::read,
        )
        .role(Role::Operator)
        .json::<Task>(200, "So far."),
        Operation::new(
            Method::GET,
            "/v1/subjects/{subject}/export",
            "exportSubject",
            "Everything that is stored about a subject",
            subjects::export,
        )
        .role(Role::TenantAdmin)
        .query::<subjects::ExportQuery>()
        .json::<subjects::Export>(200, "A page."),
        Operation::new(
            Method::DELETE,
            "/v1/subjects/{subject}",
            "deleteSubject",
            "Delete everything about a subject, from every table",
            subjects::forget,
        )
        .role(Role::TenantAdmin)
        .json::<subjects::Gone>(200, "A receipt."),
    ]
}

fn of_the_process() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/health", "health", "All of it, for people", health::overview)
            .json::<Value>(200, "Ready.")
            .json::<Value>(503, "Not ready, and why."),
        Operation::new(
            Method::GET,
            "/health/live",
            "live",
            "Whether the process turns",
            health::live,
        )
        .json::<Value>(200, "It does.")
        .json::<Value>(503, "It is stuck."),
        Operation::new(
            Method::GET,
            "/health/ready",
            "ready",
            "Whether it takes requests",
            health::ready,
        )
        .json::<Value>(200, "It does.")
        .json::<Value>(503, "It does not, and why."),
        Operation::new(
            Method::GET,
            "/health/startup",
            "startup",
            "Whether it has started",
            health::startup,
        )
        .json::<Value>(200, "It has.")
        .json::<Value>(503, "It has not."),
        Operation::new(
            Method::GET,
            "/metrics",
            "metrics",
            "Counters for Prometheus",
            metrics::show,
        )
        .text("text/plain", "In Prometheus' text format."),
        Operation::new(Method::GET, "/version", "version", "What runs here", health::version)
            .json::<Value>(200, "Version, revision and schemas."),
        Operation::new(
            Method::GET,
            "/docs",
            "docs",
            "This document to read and to try",
            docs::page,
        )
        .text("text/html", "A page."),
        Operation::new(
            Method::GET,
            "/docs/docs.js",
            "docsScript",
            "What the page does",
            docs::script,
        )
        .text("text/javascript", "A script."),
        Operation::new(
            Method::GET,
            "/docs/docs.css",
            "docsStyle",
            "How the page looks",
            docs::style,
        )
        .text("text/css", "A style sheet."),
        Operation::new(Method::GET, "/openapi.json", "openapi", "This document", show)
            .json::<Value>(200, "OpenAPI 3.1."),
    ]
}
