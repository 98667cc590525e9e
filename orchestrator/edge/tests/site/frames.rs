//! A client that speaks HTTP/2 frame by frame, in an order of its own.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// The stream that a first GOAWAY names.
pub const ANY: u32 = 0x7fff_ffff;

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub body: Vec<u8>,
}

impl Frame {
    /// What a GOAWAY names.
    pub fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.body[..4].try_into().expect("a GOAWAY"))
    }

    /// Whether this is an answer's head with 200, which is one entry of HPACK's static table.
    pub fn is_200(&self) -> bool {
        self.kind == HEADERS && self.body.first() == Some(&0x88)
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

/// `GET /` without a body, as a header block.
pub fn get_block() -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x01, 4], b"edge".as_slice()].concat()
}

pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get_block())
}

pub struct RawHttp2(TcpStream);

impl RawHttp2 {
    pub async fn connect(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let hello =
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
        stream.write_all(&hello).await.expect("written");
        Self(stream)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("written");
    }

    /// `None` when the edge closed.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b));
        let mut body = vec![0; number(&head[..3]) as usize];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), body })
    }

    pub async fn until(&mut self, is: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.read().await.expect("not closed before that");
            if is(&frame) {
                return frame;
            }
        }
    }
}
