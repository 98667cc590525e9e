//! An HTTP server that answers what a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What comes back for a request.
pub enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// These bytes, then nothing.
    Hang(Vec<u8>),
    /// These bytes, and `x` for ever.
    Endless(Vec<u8>),
}

pub struct Server {
    pub url: String,
    pub asked: Arc<AtomicUsize>,
}

/// Answers each request by its head and body.
pub async fn serve(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let (reply, count) = (Arc::new(reply), asked.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reply, count) = (reply.clone(), count.clone());
            tokio::spawn(async move {
                count.fetch_add(1, Ordering::Relaxed);
                exchange(stream, &*reply).await;
            });
        }
    });
    Server { url, asked }
}

/// One request and its reply.
pub async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: &(dyn Fn(&str) -> Reply + Send + Sync),
) {
    let request = read(&mut stream).await;
    // Whoever asked may have had enough and gone.
    match reply(&request) {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_u8().await;
        }
        Reply::Endless(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let n = stream.read(&mut part).await.unwrap_or(0);
        bytes.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let complete = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
            });
            body.len() >= length.unwrap_or(0)
        });
        if n == 0 || complete {
            return text;
        }
    }
}

pub fn http(status: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    Reply::Bytes(format!("{head}\r\n{body}").into_bytes())
}

pub fn ok(body: &str) -> Reply {
    http("200 OK", body)
}

/// The answer to `time()`.
pub fn the_time() -> Reply {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = since.as_secs_f64();
    ok(&format!(
        r#"{{"status":"success","data":{{"resultType":"scalar","result":[{now},"{now}"]}}}}"#
    ))
}
