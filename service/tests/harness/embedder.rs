//! A server of embeddings on a real socket: speaks OpenAI's `/embeddings`, and knows a few words that
//! mean the same. It can be stopped, and started again at the same address.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Words that mean the same share a component; every other text has the last one.
const CONCEPTS: [&[&str]; 3] =
    [&["dog", "puppy", "hound"], &["violin", "instrument"], &["bread", "bakery"]];
/// A text with this word is refused.
const POISON: &str = "poison";

type Inputs = Arc<Mutex<Vec<String>>>;

pub struct Embedder {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
    inputs: Inputs,
}

impl Embedder {
    pub fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into())
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (over, inputs) = (Arc::new(AtomicBool::new(false)), Inputs::default());
        let (ended, kept) = (over.clone(), inputs.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (ended, kept) = (ended.clone(), kept.clone());
                std::thread::spawn(move || {
                    // The other side may go at any time.
                    let _ = serve(stream, &ended, &kept);
                });
            }
        });
        Self { address, over, inputs }
    }

    /// What makes `neuroca` ask this one.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("NEUROCA_EMBEDDINGS_URL", format!("http://{}/v1", self.address)),
            ("NEUROCA_EMBEDDINGS_MODEL", "test-embeddings".to_owned()),
            ("NEUROCA_EMBEDDINGS_API_KEY", "canary-key".to_owned()),
        ]
    }

    /// Every text that it was asked about.
    pub fn inputs(&self) -> Vec<String> {
        self.inputs.lock().expect("not poisoned").clone()
    }

    /// Closes the port, and with the next request every connection.
    pub fn stop(self) -> SocketAddr {
        self.over.store(true, Ordering::SeqCst);
        // The listener looks when somebody comes.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
        self.address
    }
}

fn serve(mut stream: TcpStream, over: &AtomicBool, kept: &Inputs) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || over.load(Ordering::SeqCst) {
            return Ok(());
        }
        assert!(line.starts_with("POST /v1/embeddings "), "{line}");
        let (mut length, mut key) = (0, false);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a number"),
                "authorization" => key = value == "Bearer canary-key",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let asked: Value = serde_json::from_slice(&body).expect("JSON");
        let texts: Vec<&str> =
            asked["input"].as_array().expect("texts").iter().flat_map(Value::as_str).collect();
        kept.lock().expect("not poisoned").extend(texts.iter().map(|text| (*text).to_owned()));
        let (status, answer) = if !key {
            ("401 Unauthorized", json!({ "error": { "message": "no such key" } }))
        } else if texts.iter().any(|text| text.contains(POISON)) {
            ("400 Bad Request", json!({ "error": { "message": "too long" } }))
        } else {
            let item = |(index, text)| json!({ "index": index, "embedding": vector(text) });
            let data: Vec<Value> = texts.into_iter().enumerate().map(item).collect();
            ("200 OK", json!({ "data": data }))
        };
        let answer = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}

fn vector(text: &str) -> Vec<f32> {
    let lower = text.to_lowercase();
    let has = |words: &&[&str]| words.iter().any(|word| lower.contains(word));
    let mut vector: Vec<f32> =
        CONCEPTS.iter().map(|words| if has(words) { 1.0 } else { 0.0 }).collect();
    vector.push(if vector.iter().all(|one| *one == 0.0) { 1.0 } else { 0.1 });
    vector
}
