//! YAML or JSON text to plain values, each document with the line that it begins in, and the items of a list too.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};

/// Most values in one file, aliases expanded.
const MOST_VALUES: usize = 20_000_000;

/// A value at a line.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub line: usize,
    pub value: Value,
    /// The lines of the elements of `items`, where it has any.
    pub items: Vec<usize>,
}

/// What is wrong with the text, and in which line.
pub(super) type Wrong = (usize, String);

/// The documents of a file; empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Found>, Wrong> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        left: MOST_VALUES,
        items: Vec::new(),
    };
    let mut found = Vec::new();
    loop {
        let (event, _) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(found),
            Event::DocumentStart(..) => {
                let (event, span) = reader.next()?;
                reader.items.clear();
                let value = reader.value(event, &span, 0)?;
                if !value.is_null() {
                    let items = std::mem::take(&mut reader.items);
                    found.push(Found { line: span.start.line(), value, items });
                }
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    left: usize,
    items: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Wrong> {
        loop {
            match self.events.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => {
                    return Err((
                        error.marker().line().max(1),
                        format!("this is not valid YAML: {}", error.info()),
                    ));
                }
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Value, Wrong> {
        let line = span.start.line();
        self.left =
            self.left.checked_sub(1).ok_or((line, "the file holds too many values".to_string()))?;
        if depth > 200 {
            return Err((line, "this is nested too deeply".into()));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text =
                    if style == ScalarStyle::Plain && span.is_empty() { "".into() } else { text };
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (if plain { bare(&text) } else { Value::String(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned();
                return value
                    .ok_or((line, "an alias stands inside of the value that it repeats".into()));
            }
            _ => return Err((line, "a value is missing here".into())),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut list = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(list));
            }
            if depth == 1 {
                self.items.push(span.start.line());
            }
            list.push(self.value(event, &span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut map = Map::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Object(map));
            }
            let line = span.start.line();
            let Event::Scalar(key, ..) = event else {
                return Err((line, "a key must be a word, not a list or a map".into()));
            };
            let items = depth == 0 && key == "items";
            let known = self.items.len();
            let (event, span) = self.next()?;
            let value = self.value(event, &span, depth + 1)?;
            if depth == 0 && !items {
                self.items.truncate(known);
            }
            if key == "<<" {
                // What stands here itself wins over what is merged into it.
                let Value::Object(shared) = value else {
                    return Err((line, "only one map can be merged with `<<`".into()));
                };
                for (key, value) in shared {
                    map.entry(key).or_insert(value);
                }
            } else if map.insert(key.to_string(), value).is_some() && !key.is_empty() {
                return Err((line, format!("`{key}` is given twice")));
            }
        }
    }
}

/// A word without quotes, as YAML 1.2 reads it.
fn bare(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(octal) = digits.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).map_or_else(|_| text.into(), Value::from);
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).map_or_else(|_| text.into(), Value::from);
    }
    // File modes are written so, and the API's own tools read them so.
    let is_octal = digits.len() > 1
        && digits.starts_with('0')
        && digits.chars().all(|c| ('0'..='7').contains(&c));
    if is_octal {
        return i64::from_str_radix(digits, 8).map_or_else(|_| text.into(), Value::from);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return text.into();
    }
    if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
        return number.into();
    }
    let float =
        digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    match text.parse::<f64>() {
        Ok(number) if float && number.is_finite() => Value::from(number),
        _ => text.into(),
    }
}
