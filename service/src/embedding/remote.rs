//! A server that speaks OpenAI's `/embeddings`: OpenAI itself, ollama, vLLM, text-embeddings-inference.
//!
//! A request is sent once: a search goes on without it, and the worker comes again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::Deserialize;
use serde_json::json;
use tracing::{Instrument, field};

use super::{EmbeddingSettings, Source, normalised};
use crate::llm::{Breaker, Failure};
use crate::outbound::{Outbound, outbound};
use crate::telemetry::with_trace;

const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer: 64 vectors of 4,096 components as decimal numbers.
const MOST_BYTES: usize = 16 * 1024 * 1024;

pub(super) struct Remote {
    client: Outbound<Full<Bytes>>,
    endpoint: Uri,
    model: String,
    authorization: Option<HeaderValue>,
    breaker: Breaker,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

impl Remote {
    pub(super) fn new(settings: &EmbeddingSettings) -> Result<Self, String> {
        let Source::Server { base_url, model, api_key } = &settings.source else {
            return Err("no server is configured".into());
        };
        let endpoint = format!("{}/embeddings", base_url.to_string().trim_end_matches('/'));
        let authorization = api_key.as_ref().map(|key| format!("Bearer {}", key.expose()));
        let authorization = authorization
            .map(|text| {
                let mut value = HeaderValue::from_str(&text)
                    .map_err(|_| "NEUROCA_EMBEDDINGS_API_KEY does not fit into a header")?;
                value.set_sensitive(true);
                Ok::<_, String>(value)
            })
            .transpose()?;
        Ok(Self {
            client: outbound(CONNECT.min(settings.timeout)),
            endpoint: endpoint.parse().map_err(|_| "NEUROCA_EMBEDDINGS_URL is no address")?,
            model: model.clone(),
            authorization,
            breaker: Breaker::default(),
        })
    }

    pub(super) async fn embed(
        &self,
        texts: Vec<String>,
        patience: Duration,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let pass = self.breaker.admit(Instant::now()).map_err(Failure::LeftAlone)?;
        let span = tracing::info_span!(
            "embeddings",
            otel.name = format!("embeddings {}", self.model),
            otel.kind = "client",
            otel.status_code = field::Empty,
            gen_ai.operation.name = "embeddings",
            gen_ai.request.model = self.model,
            server.address = self.endpoint.host(),
        );
        let asked = self.ask(&texts).instrument(span.clone());
        let answer = tokio::time::timeout(patience, asked).await;
        let answer = answer.unwrap_or(Err(Failure::Silent(patience)));
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        match &answer {
            Err(failure) if failure.is_sickness() => pass.failed(Instant::now()),
            _ => pass.worked(),
        }
        answer
    }

    async fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let headers = request.headers_mut();
        with_trace(headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Err(Failure::Unreachable),
            Err(_) => return Err(Failure::Cut),
        };
        refuse(&response)?;
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        read(&body.map_err(|_| Failure::Cut)?.to_bytes(), texts.len())
    }
}

fn refuse<B>(response: &Response<B>) -> Result<(), Failure> {
    match response.status() {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(Failure::Busy(None)),
        status if status.is_server_error() => Err(Failure::Failed(status.as_u16())),
        // What it says in words may quote the text.
        status => Err(Failure::Refused(status.as_u16(), String::new())),
    }
}

/// One vector a text, all of the same size, whatever the order in which they come.
fn read(body: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| Failure::Garbled("it has no embeddings"))?;
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
    for item in answer.data {
        if let Some(place) = vectors.get_mut(item.index) {
            *place = Some(normalised(item.embedding));
        }
    }
    let vectors: Option<Vec<Vec<f32>>> = vectors.into_iter().collect();
    let vectors = vectors.ok_or(Failure::Garbled("it has not one embedding for each text"))?;
    let size = vectors.first().map_or(0, Vec::len);
    let usable = |vector: &Vec<f32>| {
        vector.len() == size && size > 0 && vector.iter().all(|component| component.is_finite())
    };
    if vectors.iter().all(usable) {
        Ok(vectors)
    } else {
        Err(Failure::Garbled("its embeddings are not of one size, or not numbers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_any_order_and_leave_in_ours() {
        let body =
            br#"{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]}"#;
        assert_eq!(read(body, 2), Ok(vec![vec![0.6, 0.8], vec![0.0, 1.0]]));
    }

    #[test]
    fn an_answer_that_cannot_be_right_is_refused() {
        for body in [
            r#"{"data": [{"index": 0, "embedding": [1]}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 0]}]}"#,
            r#"{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]}"#,
            r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1e39]}]}"#,
            r#"{"error": "no"}"#,
        ] {
            assert!(matches!(read(body.as_bytes(), 2), Err(Failure::Garbled(_))), "{body}");
        }
    }
}
