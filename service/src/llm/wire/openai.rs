//! OpenAI's chat completions, which Ollama, vLLM and many others speak.

use serde_json::{Value, json};

use super::Heard;
use crate::llm::{Failure, Prompt, Provider};

pub(super) fn body(provider: Provider, model: &str, prompt: &Prompt) -> Value {
    let system = json!({ "role": "system", "content": prompt.system });
    let said = prompt.messages.iter().map(|message| json!(message));
    let messages: Vec<Value> = std::iter::once(system).chain(said).collect();
    // OpenAI's newer models take the new name only, the others know the old one only.
    let limit = match provider {
        Provider::OpenAi => "max_completion_tokens",
        _ => "max_tokens",
    };
    json!({
        "model": model,
        "messages": messages,
        limit: prompt.max_tokens,
        "stream": true,
        "stream_options": { "include_usage": true },
    })
}

pub(super) fn heard(data: &str) -> Result<Heard, Failure> {
    if data.trim() == "[DONE]" {
        return Ok(Heard { done: true, ..Heard::default() });
    }
    let event: Value =
        serde_json::from_str(data).map_err(|_| Failure::Garbled("an event is not JSON"))?;
    if event.get("error").is_some_and(|error| !error.is_null()) {
        return Err(Failure::Failed(200));
    }
    let Some(choices) = event["choices"].as_array() else {
        return Err(Failure::Garbled("an event without choices"));
    };
    let choice = choices.first().unwrap_or(&Value::Null);
    Ok(Heard {
        text: choice["delta"]["content"].as_str().unwrap_or_default().to_owned(),
        prompt_tokens: event["usage"]["prompt_tokens"].as_u64(),
        answer_tokens: event["usage"]["completion_tokens"].as_u64(),
        stopped: choice["finish_reason"].as_str().map(|reason| reason == "length"),
        done: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::wire::Wire;
    use crate::llm::{Message, Piece, Speaker, Usage};

    #[test]
    fn the_body_is_what_each_server_takes() {
        let prompt = Prompt {
            system: "Be brief.".into(),
            messages: vec![Message { role: Speaker::User, content: "Hello?".into() }],
            max_tokens: 7,
        };
        let theirs = body(Provider::OpenAi, "gpt-4", &prompt);
        assert_eq!(theirs["max_completion_tokens"], 7);
        assert_eq!(theirs.get("max_tokens"), None);
        let others = body(Provider::Ollama, "llama", &prompt);
        assert_eq!(others["max_tokens"], 7);
        assert_eq!(
            others["messages"],
            json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}])
        );
    }

    #[test]
    fn a_stream_becomes_an_answer() {
        let mut wire = Wire::new(Provider::OpenAi);
        let mut hear = |data: &str| wire.hear(data).expect("well-formed");
        assert_eq!(hear(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#), None);
        let text = hear(r#"{"choices":[{"delta":{"content":"Hi"}}],"usage":null}"#);
        assert_eq!(text, Some(Piece::Text("Hi".into())));
        assert_eq!(hear(r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#), None);
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
        assert_eq!(hear(usage), None);
        let usage = Some(Usage { prompt_tokens: 5, answer_tokens: 1 });
        assert_eq!(hear("[DONE]"), Some(Piece::End { usage, truncated: true }));
    }

    #[test]
    fn what_is_no_event_is_said_to_be_none() {
        for data in ["{", "[]", "{}", r#"{"error":{"message":"overloaded"}}"#] {
            assert!(Wire::new(Provider::OpenAi).hear(data).is_err(), "{data}");
        }
        assert_eq!(Wire::new(Provider::OpenAi).hung_up(), Err(Failure::Cut));
    }
}
