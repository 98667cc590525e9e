//! Asks a gateway whether it has taken rules over: it answers by itself, no backend is involved.
//!
//! A gateway's status says what its controller has read. Only an answer shows what the data plane does.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Connections in a row that have to give the answer: there may be several proxies behind the address.
const TIMES: u32 = 3;

/// Whether the gateway at `address` answers `path` itself. `Err` says what it did instead.
pub async fn has_rules(address: &str, host: Option<&str>, path: &str) -> Result<(), String> {
    for _ in 0..TIMES {
        let status = match tokio::time::timeout(ANSWERS_WITHIN, ask(address, host, path)).await {
            Ok(answer) => answer.map_err(|why| format!("the gateway at {address}: {why}"))?,
            Err(_) => return Err(format!("the gateway at {address} does not answer")),
        };
        if status != StatusCode::FOUND {
            return Err(format!("the gateway at {address} has not taken it over yet ({status})"));
        }
    }
    Ok(())
}

async fn ask(address: &str, host: Option<&str>, path: &str) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(http::header::HOST, host.unwrap_or(address))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|e| e.to_string());
    connection.abort();
    Ok(answer?.status())
}
