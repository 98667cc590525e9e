//! How others talk to a running edge: HTTP and JSON over its Unix socket.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use crate::error::EdgeError;
use crate::metrics::Status;
use crate::slots::SlotReport;
use crate::table::Table;

/// Talks to a running edge.
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// An edge that listens at `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Puts a table into force and returns its generation: from then on no request is routed by
    /// an older one.
    pub async fn put_table(&self, table: &Table) -> Result<u64, EdgeError> {
        let body = serde_json::to_vec(table).expect("plain values have a JSON form");
        self.call(Method::PUT, "/table", body).await
    }

    /// Counters and the generation in force.
    pub async fn status(&self) -> Result<Status, EdgeError> {
        self.call(Method::GET, "/status", Vec::new()).await
    }

    /// What became of the requests that were sent in slot `since` and later.
    pub async fn slots(&self, since: u64) -> Result<SlotReport, EdgeError> {
        self.call(Method::GET, &format!("/slots/{since}"), Vec::new()).await
    }

    /// Ends the streams (SSE, WebSocket) of a revision.
    pub async fn end_streams(&self, revision: &str) -> Result<(), EdgeError> {
        self.call(Method::POST, &format!("/end-streams/{revision}"), Vec::new()).await
    }

    /// Makes the edge stop accepting, finish what it has, and end.
    pub async fn drain(&self) -> Result<Status, EdgeError> {
        self.call(Method::POST, "/drain", Vec::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, EdgeError> {
        let silent =
            |why: String| EdgeError::Unreachable { path: self.path.display().to_string(), why };
        let stream =
            tokio::net::UnixStream::connect(&self.path).await.map_err(|e| silent(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| silent(e.to_string()))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "edge")
            .body(Full::new(Bytes::from(body)))
            .expect("a valid request");
        let response = sender.send_request(request).await.map_err(|e| silent(e.to_string()))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| silent(e.to_string()))?;
        connection.abort();
        let body = body.to_bytes();
        if status != StatusCode::OK {
            return Err(EdgeError::Refused(String::from_utf8_lossy(&body).into_owned()));
        }
        serde_json::from_slice(&body).map_err(|e| silent(e.to_string()))
    }
}
