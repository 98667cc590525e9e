//! Recorded windows, a line of JSON each, read strictly: what is not plainly a count is refused with
//! the line, the reason and a way out.
//!
//! Lines come in as text and windows go out; it knows neither files nor what is made of a window.

mod bounds;
mod fields;
mod json;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use self::fields::{counts, same_bounds, time, unknown};
use self::json::Json;
use super::window::{Sides, Window};
use crate::config::suggest;

const SHAPE: &str = r#"a window is {"t": 2, "canary": {"requests": 10, "errors": 0, "slower_than": {"0.1": 3}}, "stable": {...}}"#;

/// Why a line was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Counted from one.
    pub line: usize,
    pub what: String,
    pub hint: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}\n  hint: {}", self.line, self.what, self.hint)
    }
}

impl std::error::Error for Refused {}

/// What is wrong with a line, before it is known which one it is.
struct Wrong {
    what: String,
    hint: String,
}

fn wrong<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { what: what.into(), hint: hint.into() })
}

/// Takes lines in order and gives windows. Lines of several components that end at the same time make
/// one window.
#[derive(Debug)]
pub struct Recorded {
    components: Vec<String>,
    ratios: Vec<String>,
    line: usize,
    open: Option<Window>,
    totals: Totals,
    /// By component, whether its first line had a stable side.
    compared: BTreeMap<String, bool>,
    bounds: bounds::Seen,
}

impl Recorded {
    /// `components`: those that are judged. A line need not name its component when there is one.
    /// `ratios`: names of the proportions that are judged beside errors.
    pub fn new(
        components: impl IntoIterator<Item = String>,
        ratios: impl IntoIterator<Item = String>,
    ) -> Self {
        let ratios = ratios.into_iter().collect();
        let components = components.into_iter().collect();
        let (totals, compared) = (Totals::default(), BTreeMap::new());
        Self {
            components,
            ratios,
            line: 0,
            open: None,
            totals,
            compared,
            bounds: bounds::Seen::default(),
        }
    }

    /// Takes the next line; gives the windows that it completes, at most two.
    pub fn line(&mut self, text: &str) -> Result<Vec<Window>, Refused> {
        self.line += 1;
        let text = if self.line == 1 { text.trim_start_matches('\u{feff}') } else { text };
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        self.take(text.trim()).map_err(|wrong| Refused {
            line: self.line,
            what: wrong.what,
            hint: wrong.hint,
        })
    }

    /// The last window, if it still waited for other components.
    pub fn end(&mut self) -> Option<Window> {
        self.open.take()
    }

    /// Lines that were taken, empty ones too.
    pub fn lines(&self) -> usize {
        self.line
    }

    /// Components without an old release: the first window of each has no `stable`.
    pub fn alone(&self) -> impl Iterator<Item = &str> {
        self.compared.iter().filter(|(_, compared)| !**compared).map(|(name, _)| name.as_str())
    }

    /// What to know about the input as a whole, though no line of it is wrong: which changes its
    /// bounds can show of a latency that is judged with this tolerance, and what looks odd.
    pub fn notes(&self, tolerance: Option<f64>) -> Vec<String> {
        let mut notes = tolerance.map_or(Vec::new(), |tolerance| self.bounds.notes(tolerance));
        if self.totals.are_likely() {
            notes.push(
                "every window has more requests than the one before it: these look like running \
                 totals; a window has the counts of its own interval alone"
                    .into(),
            );
        }
        notes
    }

    fn take(&mut self, text: &str) -> Result<Vec<Window>, Wrong> {
        let (end_ms, component, sides, compared) = self.read(text)?;
        let mut done = Vec::new();
        if let Some(open) = &self.open {
            let before = seconds(open.end_ms);
            if end_ms < open.end_ms {
                return falling(end_ms, &before);
            }
            if end_ms > open.end_ms {
                done.extend(self.open.take());
            }
        } else if let Some(last) = self.totals.last_ms.filter(|last| end_ms <= *last) {
            if end_ms < last {
                return falling(end_ms, &seconds(last));
            }
            return twice(end_ms, &component);
        }
        let was = *self.compared.entry(component.clone()).or_insert(compared);
        if compared && !was {
            return wrong(
                format!("`stable` is given, and the first window of `{component}` had none"),
                "an old release that got nothing is \"stable\": {\"requests\": 0, \"errors\": 0}; \
                 without `stable` in the first window there is no old release to compare with",
            );
        }
        self.totals.add(end_ms, &component, &sides);
        let open = self.open.get_or_insert_with(|| Window { end_ms, components: BTreeMap::new() });
        if open.components.contains_key(&component) {
            return twice(end_ms, &component);
        }
        self.bounds.add(&component, &sides);
        open.components.insert(component, sides);
        if open.components.len() == self.components.len() {
            done.extend(self.open.take());
        }
        Ok(done)
    }

    fn read(&self, text: &str) -> Result<(u64, String, Sides, bool), Wrong> {
        let json: Json = serde_json::from_str(text).map_err(|error| not_json(text, &error))?;
        let Json::Map(fields) = json else {
            return wrong(format!("{json} is no window"), SHAPE);
        };
        let known = ["t", "component", "canary", "stable"];
        let (mut t, mut component, mut canary, mut stable) = (None, None, None, None);
        for (name, value) in fields {
            match name.as_str() {
                "t" => t = Some(time(&value)?),
                "component" => component = Some(self.component(value)?),
                "canary" => canary = Some(counts("canary", value, &self.ratios)?),
                "stable" => stable = Some(counts("stable", value, &self.ratios)?),
                _ => return unknown("", &name, &known),
            }
        }
        let Some(end_ms) = t else {
            return wrong("`t` is missing", "give the second at which the window ended");
        };
        let Some(canary) = canary else {
            let hint = "a canary that got nothing is {\"requests\": 0, \"errors\": 0}";
            return wrong("`canary` is missing", hint);
        };
        let component = match (component, self.components.as_slice()) {
            (Some(component), _) => component,
            (None, [only]) => only.clone(),
            (None, several) => {
                return wrong(
                    "`component` is missing, and this environment judges several",
                    format!("say which one: {}", several.join(", ")),
                );
            }
        };
        let compared = stable.is_some();
        let sides = Sides { canary, stable: stable.unwrap_or_default() };
        Ok((end_ms, component, same_bounds(sides)?, compared))
    }

    fn component(&self, value: Json) -> Result<String, Wrong> {
        let Json::Text(name) = value else {
            return wrong(format!("`component` is {value}"), "give its name as a string");
        };
        if self.components.contains(&name) {
            return Ok(name);
        }
        let known = self.components.iter().map(String::as_str);
        let hint = suggest(&name, known).unwrap_or_else(|| {
            format!("components that are judged: {}", self.components.join(", "))
        });
        wrong(format!("component `{name}` is not judged in this environment"), hint)
    }
}

fn not_json(text: &str, error: &serde_json::Error) -> Wrong {
    // The line is always 1 in there, and would be taken for the line of the input.
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or_default();
    let words = || text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let hint = if words().any(|word| ["NaN", "nan", "Infinity", "inf", "Inf"].contains(&word)) {
        "a count that is not known (NaN, Infinity) is no count: leave the whole window out".into()
    } else if error.is_eof() || ["[", "{"].contains(&text) {
        "one window a line, whole: `jq -c .` makes lines of objects, `jq -c '.[]'` of a list".into()
    } else {
        SHAPE.to_string()
    };
    let place = match error.column() {
        0 => String::new(),
        column => format!(" (column {column})"),
    };
    if error.is_data() {
        return Wrong { what: format!("{why}{place}"), hint: "take one of the two out".into() };
    }
    Wrong { what: format!("not JSON: {why}{place}"), hint }
}

fn falling<T>(end_ms: u64, before: &str) -> Result<T, Wrong> {
    wrong(
        format!("`t` is {} and falls: the window before it ended at {before}", seconds(end_ms)),
        "give the windows in the order of their time; a clock that was set back needs a new recording",
    )
}

fn twice<T>(end_ms: u64, component: &str) -> Result<T, Wrong> {
    wrong(
        format!("a second window of `{component}` that ends at {}", seconds(end_ms)),
        "each interval is counted once; leave out what was recorded twice",
    )
}

fn seconds(ms: u64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

/// Whether the counts look like counters that were not subtracted.
#[derive(Debug, Default)]
struct Totals {
    last_ms: Option<u64>,
    last: BTreeMap<String, (u64, u64)>,
    rising: usize,
    other: usize,
}

impl Totals {
    fn add(&mut self, end_ms: u64, component: &str, sides: &Sides) {
        let now = (sides.canary.requests, sides.stable.requests);
        self.last_ms = Some(end_ms);
        if let Some(before) = self.last.insert(component.into(), now) {
            let rising = now.0 > before.0 && now.1 > before.1;
            if rising { self.rising += 1 } else { self.other += 1 }
        }
    }

    fn are_likely(&self) -> bool {
        self.rising >= 8 && self.other == 0
    }
}
