//! Why a template gives no document, and where.

use std::fmt;

use serde::Serialize;
use tera::{Error, ErrorKind};

use crate::config::{one_below_the_other, suggest};

/// One problem in a template; line and column count from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderError {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All problems of a set of templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RenderErrors(pub Vec<RenderError>);

impl RenderError {
    pub(super) fn at(file: &str, line: usize, column: usize, message: String) -> Self {
        let hint = hint(&message);
        Self { file: file.into(), line, column, message, hint }
    }

    pub(super) fn with_hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// `file` is named when the error does not say where it happened.
    pub(super) fn new(error: &Error, file: &str) -> Self {
        match error.kind() {
            ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
                let span = report.span();
                let file = match report.filename() {
                    "" => file,
                    named => named,
                };
                Self::at(file, span.start_line, span.start_col + 1, report.message().to_string())
            }
            other => Self::at(file, 1, 1, other.to_string()),
        }
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What the engine's message suggests: it lists the names that are defined.
fn hint(message: &str) -> Option<String> {
    if message.contains("`undefined`") {
        return Some("the name is not defined; check how it is spelt".into());
    }
    let (before, known) = message.split_once(" is not defined. Available ")?;
    let (_, word) = before.split_once('`')?;
    let (_, known) = known.split_once(": ")?;
    suggest(word.trim_end_matches('`'), known.split(", "))
}

impl fmt::Display for RenderErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        one_below_the_other(f, &self.0)
    }
}

impl std::error::Error for RenderErrors {}
