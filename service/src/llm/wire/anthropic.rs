//! Anthropic's messages.

use serde_json::{Value, json};

use super::Heard;
use crate::llm::{Failure, Prompt};

pub(super) const VERSION: &str = "2023-06-01";

pub(super) fn body(model: &str, prompt: &Prompt) -> Value {
    json!({
        "model": model,
        "system": prompt.system,
        "messages": prompt.messages,
        "max_tokens": prompt.max_tokens,
        "stream": true,
    })
}

pub(super) fn heard(data: &str) -> Result<Heard, Failure> {
    let event: Value =
        serde_json::from_str(data).map_err(|_| Failure::Garbled("an event is not JSON"))?;
    let Some(kind) = event["type"].as_str() else {
        return Err(Failure::Garbled("an event without a type"));
    };
    let nothing = Heard::default();
    Ok(match kind {
        "message_start" => {
            let usage = &event["message"]["usage"];
            let tokens = |name: &str| usage[name].as_u64();
            // What comes from their cache is read all the same.
            let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
            let cached: u64 = cached.into_iter().filter_map(tokens).sum();
            Heard {
                prompt_tokens: tokens("input_tokens").map(|fresh| fresh + cached),
                answer_tokens: tokens("output_tokens"),
                ..nothing
            }
        }
        "content_block_delta" => Heard {
            text: event["delta"]["text"].as_str().unwrap_or_default().to_owned(),
            ..nothing
        },
        "message_delta" => Heard {
            answer_tokens: event["usage"]["output_tokens"].as_u64(),
            stopped: event["delta"]["stop_reason"].as_str().map(|reason| reason == "max_tokens"),
            ..nothing
        },
        "message_stop" => Heard { done: true, ..nothing },
        "error" => return Err(Failure::Failed(200)),
        // Pings, the frames of blocks, and what they may add: their clients are to pass it over.
        _ => nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::wire::Wire;
    use crate::llm::{Piece, Provider, Usage};

    #[test]
    fn a_stream_becomes_an_answer() {
        let mut wire = Wire::new(Provider::Anthropic);
        let mut hear = |data: &str| wire.hear(data).expect("well-formed");
        let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":2,"output_tokens":1}}}"#;
        assert_eq!(hear(start), None);
        assert_eq!(hear(r#"{"type":"ping"}"#), None);
        let text = hear(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
        );
        assert_eq!(text, Some(Piece::Text("Hi".into())));
        let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#;
        assert_eq!(hear(delta), None);
        let usage = Some(Usage { prompt_tokens: 7, answer_tokens: 9 });
        assert_eq!(
            hear(r#"{"type":"message_stop"}"#),
            Some(Piece::End { usage, truncated: false })
        );
    }

    #[test]
    fn an_error_in_the_stream_is_a_failure() {
        let mut wire = Wire::new(Provider::Anthropic);
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
        assert_eq!(wire.hear(error), Err(Failure::Failed(200)));
        assert!(wire.hear("{}").is_err());
    }
}
