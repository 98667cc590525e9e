//! A small client for the supervisor's API.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::layout::StateDir;

pub(crate) struct Client {
    state: StateDir,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no supervisor is running: {0}")]
    Away(std::io::Error),
    #[error("the supervisor broke off: {0}")]
    BrokeOff(String),
    #[error("the supervisor answers {0}")]
    Odd(String),
}

impl Client {
    pub fn new(state: &StateDir) -> Self {
        Self { state: state.clone() }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| ClientError::Odd(e.to_string()))?;
        self.call(Method::POST, path, body.into()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let broke = |e: hyper::Error| ClientError::BrokeOff(e.to_string());
        let stream =
            UnixStream::connect(self.state.supervisor_socket()).await.map_err(ClientError::Away)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "supervisor")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| ClientError::Odd(e.to_string()))?;
        let response = sender.send_request(request).await.map_err(broke)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broke)?.to_bytes();
        connection.abort();
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body).into_owned();
            return Err(ClientError::Odd(format!("{status}: {text}")));
        }
        serde_json::from_slice(&body).map_err(|e| ClientError::Odd(e.to_string()))
    }
}
