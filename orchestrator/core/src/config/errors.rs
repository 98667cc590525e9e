//! What is wrong with a configuration, and where it is written.

use std::fmt;

use serde::Serialize;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a file; line and column count from one.
    File { name: String, line: usize, column: usize },
    /// In an environment variable of the tool.
    Variable { name: String, path: String },
    /// In a flag.
    Set { path: String },
}

impl Place {
    /// Without the column and the setting: short enough for a table.
    pub fn origin(&self) -> String {
        match self {
            Self::File { name, line, .. } => format!("{name}:{line}"),
            Self::Variable { name, .. } => format!("variable {name}"),
            Self::Set { .. } => "--set".into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Variable { name, path } if path.is_empty() => write!(f, "variable {name}"),
            Self::Variable { name, path } => write!(f, "variable {name}, {path}"),
            Self::Set { path } if path.is_empty() => f.write_str("--set"),
            Self::Set { path } => write!(f, "--set {path}"),
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    pub place: Place,
    /// What is wrong; never the value of a secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All problems of a configuration at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        one_below_the_other(f, &self.0)
    }
}

/// Several problems as one text.
pub(crate) fn one_below_the_other(
    f: &mut fmt::Formatter<'_>,
    errors: &[impl fmt::Display],
) -> fmt::Result {
    for (index, error) in errors.iter().enumerate() {
        if index > 0 {
            f.write_str("\n")?;
        }
        write!(f, "{error}")?;
    }
    Ok(())
}

impl std::error::Error for ConfigErrors {}

/// Collects problems while reading goes on.
#[derive(Debug, Default)]
pub(super) struct Problems(pub Vec<ConfigError>);

impl Problems {
    pub fn add(&mut self, place: &Place, message: impl Into<String>) {
        self.0.push(ConfigError { place: place.clone(), message: message.into(), hint: None });
    }

    pub fn hint(&mut self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.0.push(ConfigError { place: place.clone(), message: message.into(), hint });
    }
}

/// "did you mean", or else what is known.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit && *distance < word.chars().count())
        .min()
        .map(|(_, name)| format!("did you mean `{name}`?"))
}
