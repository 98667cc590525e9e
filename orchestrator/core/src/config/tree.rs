//! A document as it is written: a tree whose every node knows its place.
//!
//! Nothing is converted here: what a bare word means depends on what is expected.

use std::collections::BTreeMap;

use super::errors::Place;

/// A value and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// The three kinds of YAML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `bare` is a word without quotes, which readers of YAML interpret in their own ways.
    Scalar {
        text: String,
        bare: bool,
    },
    List(Vec<Node>),
    Map(BTreeMap<String, Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key_place: Place,
    pub key_bare: bool,
    pub node: Node,
}

impl Node {
    /// Number of values in it, itself included.
    pub fn size(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.values().map(|e| e.node.size()).sum::<usize>(),
        }
    }

    /// What it is, for messages; `hide` keeps a text out of them.
    pub fn describe(&self, hide: bool) -> String {
        match &self.value {
            Value::Scalar { text, bare: true } if text.is_empty() => "nothing".into(),
            Value::Scalar { .. } if hide => "text".into(),
            Value::Scalar { text, bare: true } => format!("`{text}`"),
            Value::Scalar { text, bare: false } => format!("the text {text:?}"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }
}
