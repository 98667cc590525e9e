//! The exporter's requests, over the same client as every other one of this service.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};

use crate::outbound::{Outbound, outbound};

const LARGEST_ANSWER: usize = 64 * 1024;

pub(super) struct Transport {
    client: Outbound<Full<Bytes>>,
    patience: Duration,
}

impl Transport {
    pub(super) fn new(patience: Duration) -> Self {
        Self { client: outbound(patience), patience }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Transport")
    }
}

#[async_trait]
impl HttpClient for Transport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let answer = self.client.request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(self.patience, exchange).await?
    }
}
