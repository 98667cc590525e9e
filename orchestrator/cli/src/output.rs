//! The printers: data to stdout, progress to stderr, and what each may contain.
//!
//! Nobody else in this crate writes to a stream. A reader that went away (`| head`) is no error.

pub mod evidence;
pub mod manifests;
pub mod plan;
pub mod plot;
pub mod preview;
pub mod progress;
pub mod rollout;
pub mod table;
pub mod when;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Failure;

/// The version of every JSON document that this program prints.
pub const FORMAT: u32 = 1;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    /// Colours on stdout and on stderr.
    pub out: Paint,
    pub err: Paint,
    /// Somebody is there who can be asked.
    pub interactive: bool,
}

impl Output {
    pub fn new(json: bool, no_color: bool) -> Self {
        let plain = no_color
            || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            json,
            out: Paint(!plain && io::stdout().is_terminal()),
            err: Paint(!plain && io::stderr().is_terminal()),
            interactive: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Data for people.
    pub fn data(&self, text: &str) {
        write_all(&mut io::stdout().lock(), text);
    }

    /// One versioned document.
    pub fn document(&self, kind: &str, body: impl Serialize) {
        let mut text =
            serde_json::to_string_pretty(&document(kind, body)).unwrap_or_else(|e| e.to_string());
        text.push('\n');
        self.data(&text);
    }

    /// One line of NDJSON.
    pub fn event(&self, kind: &str, body: impl Serialize) {
        self.data(&format!("{}\n", document(kind, body)));
    }

    /// Progress and remarks.
    pub fn note(&self, text: &str) {
        write_all(&mut io::stderr().lock(), &format!("{text}\n"));
    }

    /// A question without a line end.
    pub fn ask(&self, text: &str) {
        write_all(&mut io::stderr().lock(), text);
    }

    /// Why the command failed. `streaming`: the documents before it were lines.
    pub fn failure(&self, failure: &Failure, streaming: bool) {
        if !self.json {
            let text = failure.text();
            let painted: Vec<String> = text
                .lines()
                .map(|line| match (line.strip_prefix("error: "), line.strip_prefix("hint: ")) {
                    (Some(rest), _) => format!("{} {rest}", self.err.bad("error:")),
                    (_, Some(rest)) => format!("{} {rest}", self.err.strong("hint:")),
                    _ => line.to_string(),
                })
                .collect();
            self.note(&painted.join("\n"));
        } else if streaming {
            self.event("error", failure.document());
        } else {
            self.document("error", failure.document());
        }
    }
}

/// A body with the format and kind that every document begins with.
pub fn document(kind: &str, body: impl Serialize) -> Value {
    let mut whole = json!({ "format": FORMAT, "kind": kind });
    match serde_json::to_value(body) {
        Ok(Value::Object(fields)) => {
            whole.as_object_mut().expect("it was made as a map").extend(fields);
        }
        Ok(other) => whole["value"] = other,
        Err(error) => whole["error"] = json!(error.to_string()),
    }
    whole
}

fn write_all(stream: &mut dyn Write, text: &str) {
    // Nobody is left to tell when the stream itself is gone.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub fn attention(self, text: &str) -> String {
        self.with("33", text)
    }

    pub fn name(self, text: &str) -> String {
        self.with("36", text)
    }
}
