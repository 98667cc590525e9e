//! YAML text to a [`Node`]: one document, no duplicate keys, aliases within a budget.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::errors::{Place, Problems};
use super::tree::{Entry, Node, Value};

/// Most values in one document, aliases expanded.
const MOST_VALUES: usize = 10_000;
const MOST_BYTES: usize = 1024 * 1024;
const MOST_NESTING: usize = 32;

/// Reads `text`; `place` makes a place of a line and a column. What is wrong goes to `problems`,
/// the rest is returned; `None` when there is no telling what the rest is.
pub(super) fn read(
    text: &str,
    place: &dyn Fn(usize, usize) -> Place,
    problems: &mut Problems,
) -> Option<Node> {
    if text.len() > MOST_BYTES {
        problems.add(&place(1, 1), "the document is larger than 1 MiB");
        return None;
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    options.flow_nesting_limit = MOST_NESTING;
    options.block_nesting_limit = MOST_NESTING;
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        place,
        problems,
        anchors: HashMap::new(),
        left: MOST_VALUES,
    };
    reader.document().ok()
}

/// Reading cannot go on; why is among the problems.
struct Stop;

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    place: &'a dyn Fn(usize, usize) -> Place,
    problems: &'a mut Problems,
    /// Finished values by anchor.
    anchors: HashMap<usize, Node>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn at(&self, span: &Span) -> Place {
        (self.place)(span.start.line(), span.start.col() + 1)
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                self.syntax(&error);
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax(&mut self, error: &ScanError) {
        let marker = error.marker();
        let place = (self.place)(marker.line().max(1), marker.col() + 1);
        self.problems.add(&place, format!("this is not valid YAML: {}", error.info()));
    }

    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    let place = self.at(&span);
                    self.problems.add(&place, "a second document starts here; a file holds one");
                    return Err(Stop);
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, &span)?);
                }
                Event::StreamEnd => break,
                _ => {}
            }
        }
        let empty = || Node { place: (self.place)(1, 1), value: Value::Map(BTreeMap::new()) };
        Ok(root.unwrap_or_else(empty))
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<Node, Stop> {
        let place = self.at(span);
        self.spend(1, &place)?;
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let bare = style == ScalarStyle::Plain;
                // The parser writes an absent value as `~`; only the source tells them apart.
                let text = if bare && span.is_empty() { String::new() } else { text.into_owned() };
                (Value::Scalar { text, bare }, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.list()?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map()?, anchor, tag),
            Event::Alias(id) => return self.alias(id, &place),
            _ => {
                self.problems.add(&place, "a value is missing here");
                return Err(Stop);
            }
        };
        self.refuse_tag(tag.as_deref(), &place);
        let node = Node { place, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<Value, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, &span)?);
        }
    }

    fn map(&mut self) -> Result<Value, Stop> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, &span)?;
            let (event, span) = self.next()?;
            let node = self.node(event, &span)?;
            match key.value {
                Value::Scalar { text, bare: true } if text == "<<" => self.problems.hint(
                    &key.place,
                    "merge keys (`<<`) are not supported",
                    "put what is shared into the file named by `extends`",
                ),
                Value::Scalar { text, bare: key_bare } => match entries.get(&text) {
                    Some(first) => {
                        let first = &first.key_place;
                        let message = format!("`{text}` is given twice; first at {first}");
                        self.problems.hint(&key.place, message, "keep one of them");
                    }
                    None => {
                        entries.insert(text, Entry { key_place: key.place, key_bare, node });
                    }
                },
                _ => self.problems.add(&key.place, "a key must be a word, not a list or a map"),
            }
        }
    }

    fn alias(&mut self, id: usize, place: &Place) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&id) else {
            self.problems.add(place, "an alias stands inside the value that it repeats");
            return Err(Stop);
        };
        let size = node.size();
        let node = node.clone();
        self.spend(size, place)?;
        Ok(node)
    }

    fn spend(&mut self, values: usize, place: &Place) -> Result<(), Stop> {
        match self.left.checked_sub(values) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format!("the document holds more than {MOST_VALUES} values");
                self.problems.hint(place, message, "aliases count with all that they repeat");
                Err(Stop)
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: &Place) {
        if let Some(tag) = tag {
            let message = format!("tags such as `{}` are not supported", tag.original());
            self.problems.hint(place, message, "leave it out; use quotes for text");
        }
    }
}
