//! A component that follows a script byte by byte, and a client that sees bytes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A free address, and each connection made to it handed to `script`.
pub async fn component<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// Reads up to and with the end of a head. `None` when the other side closed.
pub async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&seen).into_owned())
}

/// Reads exactly so many bytes.
pub async fn exactly(stream: &mut TcpStream, length: usize) -> String {
    let mut seen = vec![0; length];
    stream.read_exact(&mut seen).await.expect("as much as was said");
    String::from_utf8_lossy(&seen).into_owned()
}

pub async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("written");
}

/// Fails a test that would wait forever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(value) => value,
        Err(_) => panic!("not in ten seconds: {what}"),
    }
}
