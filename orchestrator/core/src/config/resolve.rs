//! From the texts of files, variables and flags to one environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Checker;
use super::errors::{ConfigErrors, Place, Problems};
use super::model::Environment;
use super::origins::{Explained, Origins};
use super::overrides::read_override;
use super::read::read;
use super::rules;
use super::shape::Shapes;
use super::tree::{Node, Value};
use super::typed::{Typed, merge};

/// A file by name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as it is shown to people, relative to the project.
    pub name: String,
    pub text: String,
}

/// Everything that an environment is made from, weakest first.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The environment file last, the files that it extends before it.
    pub files: Vec<SourceFile>,
    /// Name of the variable and `PATH=VALUE`, one pair for each override.
    pub variables: Vec<(String, String)>,
    /// `PATH=VALUE` of each `--set`.
    pub sets: Vec<String>,
}

/// A resolved environment, and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub environment: Environment,
    pub origins: Origins,
}

impl Resolved {
    /// Every setting with its value and origin, sorted by path.
    pub fn explain(&self) -> Vec<Explained> {
        self.origins.explain(&self.environment)
    }
}

/// The file that `file` extends, as it is written there.
pub fn extends_of(file: &SourceFile) -> Result<Option<String>, ConfigErrors> {
    let mut problems = Problems::default();
    let node = read_file(file, &mut problems);
    let found = node.and_then(|mut node| take_extends(&mut node, &mut problems));
    // Whatever else is wrong with the file is said by `resolve`, with the other files' errors.
    match found {
        Some(Some((_, base))) => Ok(Some(base)),
        Some(None) => Ok(None),
        None => Err(ConfigErrors(problems.0)),
    }
}

/// The file to read before `read`, the files read so far with the environment file first: the one
/// that the last of them extends, relative to the project; `base` stands for `base.yaml`. A file cannot
/// extend itself, not even through others.
pub fn base_of(read: &[SourceFile]) -> Result<Option<String>, ConfigErrors> {
    let Some(last) = read.last() else { return Ok(None) };
    let Some(base) = extends_of(last)? else { return Ok(None) };
    let mut parts: Vec<&str> = last.name.split('/').collect();
    parts.pop();
    let mut problem =
        base.starts_with('/').then(|| format!("`extends: {base}` must be relative to this file"));
    for part in base.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    problem = Some(format!("`extends: {base}` leads out of the project"));
                }
            }
            name => parts.push(name),
        }
    }
    let mut name = parts.join("/");
    if !name.ends_with(".yaml") && !name.ends_with(".yml") {
        name.push_str(".yaml");
    }
    if read.iter().any(|file| file.name == name) {
        problem =
            Some(format!("`extends: {base}` leads back to {name}, which is extended already"));
    }
    match problem {
        None => Ok(Some(name)),
        Some(message) => {
            let mut problems = Problems::default();
            let node = read_file(last, &mut problems);
            let place = node.and_then(|mut n| take_extends(&mut n, &mut problems)).flatten();
            problems.add(&place.map_or(file_place(&last.name, 1, 1), |(place, _)| place), message);
            Err(ConfigErrors(problems.0))
        }
    }
}

/// Layers, checks and types everything. All errors come at once, those of one file in its order.
pub fn resolve(inputs: &Inputs) -> Result<Resolved, ConfigErrors> {
    let shapes = Shapes::new();
    let mut problems = Problems::default();
    let mut broken = Vec::new();
    let mut whole: Option<Typed> = None;
    let (layers, all_read) = layers(inputs, &shapes, &mut problems);
    for layer in layers {
        let mut checker = Checker { shapes: &shapes, problems: &mut problems, broken: &mut broken };
        let layer = checker.layer(layer);
        whole = Some(merge(whole, layer, "", &mut problems));
    }
    // What an unreadable layer would have given is not missing.
    let environment = whole.as_ref().filter(|_| all_read).and_then(|whole| {
        let mut checker = Checker { shapes: &shapes, problems: &mut problems, broken: &mut broken };
        checker.missing(shapes.root(), whole, "");
        typed(whole, &mut problems)
    });
    if let (Some(environment), Some(whole)) = (&environment, &whole) {
        rules::check(environment, whole, &broken, &mut problems);
    }
    match (environment, whole) {
        (Some(environment), Some(whole)) if problems.0.is_empty() => {
            let origins = Origins::new(&whole, &environment);
            Ok(Resolved { environment, origins })
        }
        _ => Err(in_order(problems, inputs)),
    }
}

/// The layers that could be read, weakest first, and whether that is all of them.
fn layers(inputs: &Inputs, shapes: &Shapes, problems: &mut Problems) -> (Vec<Node>, bool) {
    let mut layers = Vec::new();
    if inputs.files.is_empty() {
        let place = file_place("environments", 1, 1);
        problems.add(&place, "there is no environment file to read");
    }
    for file in &inputs.files {
        if let Some(mut node) = read_file(file, problems) {
            take_extends(&mut node, problems);
            layers.push(node);
        }
    }
    for (name, text) in &inputs.variables {
        let place = |path: &str| Place::Variable { name: name.clone(), path: path.into() };
        layers.extend(read_override(text, &place, shapes, problems));
    }
    for text in &inputs.sets {
        let place = |path: &str| Place::Set { path: path.into() };
        layers.extend(read_override(text, &place, shapes, problems));
    }
    let all = inputs.files.len() + inputs.variables.len() + inputs.sets.len();
    let all_read = layers.len() == all;
    (layers, all_read)
}

fn typed(whole: &Typed, problems: &mut Problems) -> Option<Environment> {
    if !problems.0.is_empty() && whole.find(&["components"]).is_none() {
        return None;
    }
    match serde_json::from_value(whole.to_json()) {
        Ok(environment) => Some(environment),
        // With problems found before, this is one of them again.
        Err(_) if !problems.0.is_empty() => None,
        Err(error) => {
            problems.add(&whole.place, format!("the environment does not fit the model: {error}"));
            None
        }
    }
}

fn read_file(file: &SourceFile, problems: &mut Problems) -> Option<Node> {
    let name: Arc<str> = file.name.as_str().into();
    read(&file.text, &|line, column| file_place(&name, line, column), problems)
}

fn file_place(name: &str, line: usize, column: usize) -> Place {
    Place::File { name: name.into(), line, column }
}

/// Takes `extends` out of a document: `None` when it is wrong, `Some(None)` when it is not there.
fn take_extends(node: &mut Node, problems: &mut Problems) -> Option<Option<(Place, String)>> {
    let Value::Map(entries) = &mut node.value else { return Some(None) };
    let Some(entry) = entries.remove("extends") else { return Some(None) };
    match entry.node.value {
        Value::Scalar { text, .. } if !text.is_empty() => Some(Some((entry.node.place, text))),
        _ => {
            let message =
                format!("`extends` must be the name of a file, not {}", entry.node.describe(false));
            problems.hint(&entry.node.place, message, "for example `extends: base.yaml`");
            None
        }
    }
}

fn in_order(problems: Problems, inputs: &Inputs) -> ConfigErrors {
    let ranks: BTreeMap<&str, usize> =
        inputs.files.iter().enumerate().map(|(rank, file)| (file.name.as_str(), rank)).collect();
    let rank = |place: &Place| match place {
        Place::File { name, line, column } => {
            (ranks.get(name.as_str()).copied().unwrap_or_default(), *line, *column)
        }
        Place::Variable { .. } => (usize::MAX - 1, 0, 0),
        Place::Set { .. } => (usize::MAX, 0, 0),
    };
    let mut errors = problems.0;
    errors.sort_by_key(|error| rank(&error.place));
    errors.dedup();
    ConfigErrors(errors)
}
