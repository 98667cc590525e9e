//! A language model's provider on a real socket: says what the test wrote down, with all the ways in
//! which such a service fails, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What the service sent.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All that the model was given, in one text.
    pub fn given(&self) -> String {
        let system = self.body["system"].as_str().unwrap_or_default().to_owned();
        let said = self.body["messages"].as_array().into_iter().flatten();
        said.fold(system, |all, one| all + "\n" + one["content"].as_str().unwrap_or_default())
    }
}

/// One thing that the provider does on a connection, after it has read the request.
#[derive(Clone)]
pub enum Step {
    Send(String),
    /// Waits until the test lets go.
    Wait(Arc<Mutex<Receiver<()>>>),
    /// Says nothing more until the other side has gone.
    Silence,
    /// The same, and tells the test when that was.
    UntilGone(Sender<()>),
}

pub type Reply = Vec<Step>;

pub struct Model {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

enum Script {
    /// The last one again and again.
    Replies(Vec<Reply>),
    Echo,
}

impl Model {
    /// Gives `replies` in their order, the last one for ever.
    pub fn start(replies: Vec<Reply>) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), replies)
    }

    /// The same at an address that was another's a moment ago.
    pub fn start_at(address: SocketAddr, replies: Vec<Reply>) -> Self {
        Self::serve(address, Script::Replies(replies))
    }

    /// Answers in OpenAI's format with everything that it was given.
    pub fn echo() -> Self {
        Self::serve(([127, 0, 0, 1], 0).into(), Script::Echo)
    }

    fn serve(address: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, script) = (asked.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, script) = (kept.clone(), script.clone());
                std::thread::spawn(move || {
                    // The other side may go at any time.
                    let _ = reply(stream, &kept, &script);
                });
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// What makes `neuroca serve` ask this one.
    pub fn variables<'a>(&self, provider: &'a str) -> Vec<(&'a str, String)> {
        vec![
            ("NEUROCA_LLM_PROVIDER", provider.to_owned()),
            ("NEUROCA_LLM_MODEL", "test-model".to_owned()),
            ("NEUROCA_LLM_BASE_URL", format!("http://{}/v1", self.address)),
            ("NEUROCA_LLM_API_KEY", "canary-key".to_owned()),
        ]
    }
}

fn reply(stream: TcpStream, kept: &Mutex<Vec<Asked>>, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut asked = Asked { path, headers, body: Value::Null };
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.body = serde_json::from_slice(&body).unwrap_or_default();
    let steps = {
        let mut all = kept.lock().expect("not poisoned");
        all.push(asked.clone());
        match script {
            Script::Echo => openai(&[&asked.given()]),
            Script::Replies(replies) => replies[(all.len() - 1).min(replies.len() - 1)].clone(),
        }
    };
    for step in steps {
        match step {
            Step::Send(text) => writer.write_all(text.as_bytes())?,
            Step::Wait(gate) => {
                // A test that is over lets go, too.
                let _ = gate.lock().expect("not poisoned").recv();
            }
            Step::Silence => {
                reader.read_to_end(&mut Vec::new())?;
            }
            Step::UntilGone(gone) => {
                // How the connection ends does not matter.
                let _ = reader.read_to_end(&mut Vec::new());
                let _ = gone.send(());
            }
        }
    }
    Ok(())
}

/// A step that waits, and what ends it.
pub fn gate() -> (Step, Sender<()>) {
    let (sender, receiver) = channel();
    (Step::Wait(Arc::new(Mutex::new(receiver))), sender)
}

/// An answer that is no stream.
pub fn status(line: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    vec![Step::Send(format!(
        "HTTP/1.1 {line}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))]
}

/// The head of a stream in pieces.
pub fn head() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    Step::Send(head.to_owned())
}

/// One piece of it.
pub fn chunk(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()))
}

/// Its proper end.
pub fn end() -> Step {
    Step::Send("0\r\n\r\n".to_owned())
}

/// A piece of text in OpenAI's format.
pub fn openai_text(text: &str) -> Step {
    let event = json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
    chunk(&format!("data: {event}\n\n"))
}

/// The end in OpenAI's format: why, how much, and that it is the end.
pub fn openai_end() -> Step {
    let stop = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 7 } });
    chunk(&format!("data: {stop}\n\ndata: {usage}\n\ndata: [DONE]\n\n"))
}

/// A whole answer in OpenAI's format.
pub fn openai(pieces: &[&str]) -> Reply {
    let text = pieces.iter().map(|piece| openai_text(piece));
    std::iter::once(head()).chain(text).chain([openai_end(), end()]).collect()
}

fn anthropic_event(data: &Value) -> Step {
    let kind = data["type"].as_str().expect("a type");
    chunk(&format!("event: {kind}\ndata: {data}\n\n"))
}

/// A whole answer in Anthropic's format.
pub fn anthropic(pieces: &[&str]) -> Reply {
    let mut steps = vec![
        head(),
        anthropic_event(&json!({ "type": "message_start", "message": { "usage": {
            "input_tokens": 90, "cache_read_input_tokens": 10, "output_tokens": 1 } } })),
        anthropic_event(&json!({ "type": "content_block_start", "index": 0,
            "content_block": { "type": "text", "text": "" } })),
        anthropic_event(&json!({ "type": "ping" })),
    ];
    for piece in pieces {
        steps.push(anthropic_event(&json!({ "type": "content_block_delta", "index": 0,
            "delta": { "type": "text_delta", "text": piece } })));
    }
    steps.extend([
        anthropic_event(&json!({ "type": "content_block_stop", "index": 0 })),
        anthropic_event(&json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
            "usage": { "output_tokens": 7 } })),
        anthropic_event(&json!({ "type": "message_stop" })),
        end(),
    ]);
    steps
}
