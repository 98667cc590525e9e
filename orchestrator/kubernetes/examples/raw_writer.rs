//! The floor for figure 2: the same requests with nothing around them. It reads one object a line from standard
//! input, with its path, and writes or removes 64 at a time; it plans, orders and remembers nothing.
//!
//!     raw_writer apply|delete|list < LINES
//!
//! A line is `PATH<tab>JSON`, or a path alone.

use std::io::Read;

use futures::{TryStreamExt, stream};
use http::Request;
use kube::Client;
use serde_json::Value;

const MOST_AT_ONCE: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let client = Client::try_default().await?;
    let requests = text.lines().map(|line| {
        let (path, body) = line.split_once('\t').unwrap_or((line, ""));
        let request = match verb.as_str() {
            "apply" => Request::patch(format!("{path}?fieldManager=raw&force=true"))
                .header("Content-Type", "application/apply-patch+yaml"),
            "delete" => Request::delete(path),
            _ => Request::get(path),
        };
        let body = if verb == "apply" { body.as_bytes().to_vec() } else { Vec::new() };
        Ok::<_, kube::Error>(request.body(body).map_err(kube::Error::HttpError))
    });
    let answers = stream::iter(requests).try_for_each_concurrent(MOST_AT_ONCE, |request| {
        let client = client.clone();
        async move { client.request::<Value>(request?).await.map(drop) }
    });
    answers.await?;
    Ok(())
}
