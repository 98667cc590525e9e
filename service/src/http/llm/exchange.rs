//! One question and its answer: which memories it rests on, what it costs, what is kept of it.

use std::sync::Arc;

use axum::http::HeaderMap;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::said;
use super::telling::{End, stopping};
use crate::auth::Principal;
use crate::http::search::{About, gather};
use crate::http::{Problem, Shared, memories};
use crate::llm::{
    Answering, Cited, Claim, Failure, Llm, Message, Prompt, Speaker, Usage, cited, grounded,
};
use crate::memory::{Draft, Memory, Metadata, Moment, Tier};
use crate::search::estimated_tokens;

/// What is asked.
pub(super) struct Ask {
    pub(super) message: String,
    pub(super) earlier: Vec<Message>,
    pub(super) subject: Option<String>,
    pub(super) context_tokens: u32,
    pub(super) remember: bool,
}

/// An answer, all of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Answered {
    /// The model's words.
    answer: String,
    /// The memories that the answer names, each once.
    citations: Vec<Cited>,
    /// All memories that the model was given, by their numbers.
    memories: Vec<Cited>,
    /// Which model answered.
    model: String,
    /// Whether the answer would have been longer than `NEUROCA_LLM_MAX_TOKENS` allows.
    truncated: bool,
    /// What it took.
    usage: Usage,
    /// Whether the provider did not say what it took, so that it is an estimate.
    estimated: bool,
    /// What was put into working memory: the message and the answer.
    remembered: Vec<Uuid>,
}

/// A question on its way.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    caller: Principal,
    given: Vec<Memory>,
    /// What to keep in working memory once there is an answer.
    remember: Option<(String, Option<String>)>,
    claim: Claim,
    prompt_tokens: u64,
    answer_tokens: u64,
    text: String,
}

impl Exchange {
    /// Finds memories, takes tokens, and asks.
    pub(super) async fn begin(
        shared: Arc<Shared>,
        caller: Principal,
        ask: Ask,
        end: &mut End,
    ) -> Result<(Self, Answering), Problem> {
        let llm = shared.llm.as_ref().ok_or_else(Problem::no_llm)?;
        let now = Moment::now();
        let about = About {
            text: ask.message.clone(),
            subject: ask.subject.clone(),
            max_tokens: ask.context_tokens,
            now,
        };
        let mut given = gather(&shared, &caller, about).await?.memories;
        // What the client brings along does not have to be remembered.
        given.retain(|memory| !ask.earlier.iter().any(|one| one.content == memory.content));
        let remember = ask.remember.then(|| (ask.message.clone(), ask.subject));
        let messages = said(ask.earlier, ask.message);
        let prompt = grounded(&given, messages, now, llm.max_tokens());
        let prompt_tokens = weight(&prompt);
        let most = prompt_tokens + u64::from(prompt.max_tokens);
        let repository = shared.repository()?;
        let mut claim = shared.budget.claim(repository, &caller.tenant, most, now).await?;
        let asked = tokio::select! {
            biased;
            asked = llm.ask(&prompt) => asked,
            () = end => return Err(stopping()),
        };
        let answering = match asked {
            Ok(answering) => answering,
            Err(failure) => {
                // It was read, and may have been answered: whoever sells tokens counts that.
                if matches!(failure, Failure::Silent(_) | Failure::Cut) {
                    claim.used(prompt_tokens);
                }
                return Err(failure.into());
            }
        };
        claim.used(prompt_tokens);
        let exchange = Self {
            shared: shared.clone(),
            caller,
            given,
            remember,
            claim,
            prompt_tokens,
            answer_tokens: 0,
            text: String::new(),
        };
        Ok((exchange, answering))
    }

    /// The memories that the model has, by their numbers.
    pub(super) fn given(&self) -> Vec<Cited> {
        let numbered =
            |(index, memory): (usize, &Memory)| Cited { number: index + 1, memory: memory.id };
        self.given.iter().enumerate().map(numbered).collect()
    }

    /// More of the answer.
    pub(super) fn hear(&mut self, text: &str) {
        self.text.push_str(text);
        self.answer_tokens += estimated_tokens(text) as u64;
        self.claim.used(self.prompt_tokens + self.answer_tokens);
    }

    /// The answer is there.
    pub(super) async fn finish(&mut self, usage: Option<Usage>, truncated: bool) -> Answered {
        let estimate = Usage {
            prompt_tokens: self.prompt_tokens,
            answer_tokens: estimated_tokens(&self.text) as u64,
        };
        let used = usage.unwrap_or(estimate);
        self.claim.used(used.prompt_tokens + used.answer_tokens);
        let llm = self.shared.llm.as_ref();
        if let Some(llm) = llm {
            llm.used(used);
        }
        let model = llm.map(Llm::model).unwrap_or_default().to_owned();
        let remembered = self.remember().await;
        Answered {
            citations: cited(&self.text, &self.given),
            memories: self.given(),
            answer: std::mem::take(&mut self.text),
            model,
            truncated,
            usage: used,
            estimated: usage.is_none(),
            remembered,
        }
    }

    /// Keeps what was said. The answer is not lost when that fails.
    async fn remember(&mut self) -> Vec<Uuid> {
        let Some((message, subject)) = self.remember.take() else { return Vec::new() };
        // An answer is worth less than what somebody said: it leaves a full tier first.
        let said = [(Speaker::User, message, 0.5), (Speaker::Assistant, self.text.clone(), 0.3)];
        let drafts: Vec<Draft> = said
            .into_iter()
            .map(|(role, content, importance)| draft(role, content, importance, subject.clone()))
            .filter(|draft| draft.check().is_ok())
            .map(|mut draft| {
                self.shared.masking.draft(&mut draft);
                draft
            })
            .collect();
        let none = HeaderMap::new();
        match memories::add(&self.shared, &self.caller, &none, drafts, String::new()).await {
            Ok((memories, _)) => memories.into_iter().map(|memory| memory.id).collect(),
            Err(problem) => {
                tracing::warn!(?problem, "a conversation could not be remembered");
                Vec::new()
            }
        }
    }
}

fn draft(role: Speaker, content: String, importance: f64, subject: Option<String>) -> Draft {
    let mut metadata = Metadata::new();
    metadata.insert("role".into(), serde_json::json!(role));
    Draft {
        content,
        tier: Tier::Working,
        importance,
        subject,
        pinned: false,
        occurred_at: None,
        metadata,
    }
}

fn weight(prompt: &Prompt) -> u64 {
    let said: usize = prompt.messages.iter().map(|said| estimated_tokens(&said.content) + 4).sum();
    (estimated_tokens(&prompt.system) + said) as u64
}
