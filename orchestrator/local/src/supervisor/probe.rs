//! One health probe: GET a path on a local port.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most that is kept of an answer, as evidence.
const BODY_MAX: usize = 2048;

/// Why a probe was not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// `GET /health/ready: 404 Not Found`.
    pub what: String,
    pub body: Option<String>,
}

/// Asks once; good is any 2xx within `timeout`.
pub async fn probe(port: u16, path: &str, timeout: Duration) -> Result<(), Failed> {
    let failed = |why: String| Failed { what: format!("GET {path}: {why}"), body: None };
    match tokio::time::timeout(timeout, ask(port, path)).await {
        Err(_) => Err(failed(format!("no answer within {} ms", timeout.as_millis()))),
        Ok(Err(why)) => Err(failed(why)),
        Ok(Ok((status, _))) if status.is_success() => Ok(()),
        Ok(Ok((status, body))) => {
            Err(Failed { body: Some(body).filter(|b| !b.is_empty()), ..failed(status.to_string()) })
        }
    }
}

async fn ask(port: u16, path: &str) -> Result<(http::StatusCode, String), String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            format!("connection refused; is it listening on $PORT ({port}) at 127.0.0.1?")
        }
        _ => e.to_string(),
    })?;
    let broke = |e: hyper::Error| format!("the answer is not HTTP: {e}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", format!("127.0.0.1:{port}"))
        .header("user-agent", "neuroca-deploy-probe")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(broke)?;
    let status = response.status();
    let body = if status.is_success() {
        String::new()
    } else {
        match Limited::new(response.into_body(), BODY_MAX).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).trim().to_string(),
            Err(_) => format!("(longer than {BODY_MAX} bytes)"),
        }
    };
    connection.abort();
    Ok((status, body))
}
