//! The engine of rules: JsonLogic's operators, and flagd's own four.
//!
//! A rule is an object with one key, the operator. Everything else stands for itself.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compare::{equal, is_true, less, same, strict_number, text};
use super::{fractional, version};

/// Rules with a name, for several flags: `{"$ref": "name"}`.
pub(super) type Evaluators = BTreeMap<String, Value>;

/// Every operator that a rule may use; `$ref` is one of the set's evaluators.
pub(super) const OPERATORS: [&str; 22] = [
    "!",
    "!!",
    "!=",
    "!==",
    "$ref",
    "<",
    "<=",
    "==",
    "===",
    ">",
    ">=",
    "?:",
    "and",
    "cat",
    "ends_with",
    "fractional",
    "if",
    "in",
    "or",
    "sem_ver",
    "starts_with",
    "var",
];
/// Operators that one evaluation may take: evaluators can be named again and again.
const MOST_STEPS: u32 = 20_000;

/// Why nothing comes of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// An operator that does not exist, or an evaluator.
    Unknown,
    /// An operator does not work on such values.
    Operand,
    /// It takes too many steps.
    TooLong,
}

type Made = Result<Value, Broken>;

pub(super) struct Logic<'a> {
    evaluators: &'a Evaluators,
    data: Value,
    steps: Cell<u32>,
}

impl<'a> Logic<'a> {
    pub(super) fn new(evaluators: &'a Evaluators, data: Value) -> Self {
        Self { evaluators, data, steps: Cell::new(0) }
    }

    /// What comes of `rule`.
    pub(super) fn value(&self, rule: &Value) -> Made {
        match rule {
            Value::Object(fields) => self.apply(fields),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            other => Ok(other.clone()),
        }
    }

    fn apply(&self, fields: &Map<String, Value>) -> Made {
        let mut all = fields.iter();
        let (Some((operator, operands)), None) = (all.next(), all.next()) else {
            return Ok(Value::Object(fields.clone()));
        };
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS {
            return Err(Broken::TooLong);
        }
        match operator.as_str() {
            // These three look at no more than they need.
            "if" | "?:" => self.choose(list(operands)?),
            "and" => self.until(list(operands)?, false),
            "or" => self.until(list(operands)?, true),
            "$ref" => {
                let name = operands.as_str().ok_or(Broken::Operand)?;
                self.value(self.evaluators.get(name).ok_or(Broken::Unknown)?)
            }
            operator => self.of_values(operator, &self.value(operands)?),
        }
    }

    fn choose(&self, clauses: &[Value]) -> Made {
        let mut pairs = clauses.chunks_exact(2);
        for pair in &mut pairs {
            if is_true(&self.value(&pair[0])?) {
                return self.value(&pair[1]);
            }
        }
        pairs.remainder().first().map_or(Ok(Value::Null), |otherwise| self.value(otherwise))
    }

    /// The first one whose truth is `wanted`, or the last.
    fn until(&self, operands: &[Value], wanted: bool) -> Made {
        let mut last = Value::Null;
        for operand in operands {
            last = self.value(operand)?;
            if is_true(&last) == wanted {
                break;
            }
        }
        Ok(last)
    }

    fn of_values(&self, operator: &str, values: &Value) -> Made {
        let truth = match operator {
            "var" => return self.var(values),
            "cat" => return cat(values),
            "fractional" => return Ok(fractional::choose(values, &self.data)),
            "sem_ver" => return Ok(version::compare(values)),
            "starts_with" => return Ok(with_two_texts(values, |all, part| all.starts_with(part))),
            "ends_with" => return Ok(with_two_texts(values, |all, part| all.ends_with(part))),
            "!" => !is_true(first_or_all(values)),
            "!!" => is_true(first_or_all(values)),
            "==" => two(values)?.is_some_and(|(one, other)| equal(one, other)),
            "!=" => !two(values)?.is_some_and(|(one, other)| equal(one, other)),
            "===" => two(values).ok().flatten().is_some_and(|(one, other)| same(one, other)),
            "!==" => !two(values).ok().flatten().is_some_and(|(one, other)| same(one, other)),
            "<" => rising(values, less)?,
            "<=" => rising(values, |one, other| less(one, other) || equal(one, other))?,
            ">" => rising(values, |one, other| less(other, one))?,
            ">=" => rising(values, |one, other| less(other, one) || equal(one, other))?,
            "in" => is_in(list(values)?)?,
            _ => return Err(Broken::Unknown),
        };
        Ok(Value::Bool(truth))
    }

    /// What the context has at a path with dots; a second operand is for what it does not have.
    fn var(&self, values: &Value) -> Made {
        let otherwise = match values {
            Value::Array(both) if both.len() == 2 => both[1].clone(),
            _ => Value::Null,
        };
        let path = match values {
            Value::Null => return Ok(Value::Null),
            Value::Array(none) if none.is_empty() => return Ok(self.data.clone()),
            Value::Array(some) => some[0].as_str().ok_or(Broken::Operand)?.into(),
            Value::Number(_) | Value::String(_) => text(values).ok_or(Broken::Operand)?,
            _ => return Err(Broken::Operand),
        };
        let mut found = &self.data;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let next = match found {
                Value::Object(fields) => fields.get(part),
                Value::Array(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
                _ => None,
            };
            match next {
                None | Some(Value::Null) => return Ok(otherwise),
                Some(value) => found = value,
            }
        }
        Ok(found.clone())
    }
}

fn list(values: &Value) -> Result<&[Value], Broken> {
    values.as_array().map(Vec::as_slice).ok_or(Broken::Operand)
}

fn first_or_all(values: &Value) -> &Value {
    values.as_array().and_then(|all| all.first()).unwrap_or(values)
}

fn two(values: &Value) -> Result<Option<(&Value, &Value)>, Broken> {
    Ok(match list(values)? {
        [one, other, ..] => Some((one, other)),
        _ => None,
    })
}

/// Whether two of three stand in order; three may ask for what is between two others.
fn rising(values: &Value, before: impl Fn(&Value, &Value) -> bool) -> Result<bool, Broken> {
    Ok(match list(values)? {
        [one, two, three] => before(one, two) && before(two, three),
        [one, two, ..] => before(one, two),
        _ => false,
    })
}

fn with_two_texts(values: &Value, holds: impl Fn(&str, &str) -> bool) -> Value {
    match values.as_array().map(Vec::as_slice) {
        Some([Value::String(all), Value::String(part)]) => Value::Bool(holds(all, part)),
        // Neither yes nor no: the default variant.
        _ => Value::Null,
    }
}

fn cat(values: &Value) -> Made {
    let parts = match values {
        Value::String(_) => return Ok(values.clone()),
        _ => list(values)?,
    };
    let texts: Option<Vec<_>> = parts.iter().map(text).collect();
    let whole = texts.ok_or(Broken::Operand)?.concat();
    // Only what was put together loses the spaces around it.
    Ok(Value::String(if parts.len() > 1 { whole.trim().to_owned() } else { whole }))
}

fn is_in(operands: &[Value]) -> Result<bool, Broken> {
    let wanted = operands.first().ok_or(Broken::Operand)?;
    match operands.get(1) {
        Some(Value::String(whole)) => Ok(whole.contains(wanted.as_str().ok_or(Broken::Operand)?)),
        Some(Value::Array(items)) => {
            for item in items {
                if is_element(wanted, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn is_element(wanted: &Value, item: &Value) -> Result<bool, Broken> {
    let number = |value| strict_number(value).ok_or(Broken::Operand);
    match (wanted, item) {
        // A list in a list is a range.
        (_, Value::Array(ends)) => match ends.as_slice() {
            [from, to, ..] => {
                let wanted = number(wanted)?;
                Ok(wanted >= number(from)? && wanted <= number(to)?)
            }
            _ => Err(Broken::Operand),
        },
        (Value::Number(_), item) => Ok(number(wanted)? == number(item)?),
        (Value::Object(_), Value::Object(_)) => Err(Broken::Operand),
        (wanted, item) => Ok(wanted == item),
    }
}
