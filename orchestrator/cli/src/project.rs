//! The files of a project: which there are, and their contents as values.
//!
//! It reads and never writes; what the contents mean is `core::config`'s business.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use neuroca_deploy_core::config::{
    Inputs, Resolved, SourceFile, base_of, defaults, resolve as resolve_inputs,
};
use neuroca_deploy_core::render::{FOLDERS, RenderedFile, render_environment};
use serde::Deserialize;

use crate::error::{Exit, Failure, Problem, Result, did_you_mean};
use crate::flags::set_variables;

/// A project's folder.
#[derive(Debug, Clone)]
pub struct Project {
    pub dir: PathBuf,
}

/// One entry of `artifacts/VERSION.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ArtifactEntry {
    Path(String),
    Checked(CheckedArtifact),
}

/// An artifact that must have this digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedArtifact {
    pub path: String,
    /// As `plan` shows it: SHA-256, at least its first 12 digits.
    #[serde(default)]
    pub digest: Option<String>,
}

impl ArtifactEntry {
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::Checked(CheckedArtifact { path, .. }) => path,
        }
    }

    /// The image that it is on a cluster, pinned by its digest where that is given whole.
    pub fn image(&self) -> String {
        match self.digest() {
            Some(digest) if digest.len() == 64 && !self.path().contains('@') => {
                format!("{}@sha256:{}", self.path(), digest.to_lowercase())
            }
            _ => self.path().to_string(),
        }
    }

    pub fn digest(&self) -> Option<&str> {
        match self {
            Self::Path(_) => None,
            Self::Checked(checked) => {
                checked.digest.as_deref().map(|d| d.strip_prefix("sha256:").unwrap_or(d))
            }
        }
    }
}

impl Project {
    /// The folder that was given, or the nearest one above with `environments/`, or here.
    pub fn find(given: Option<&Path>) -> Self {
        if let Some(dir) = given {
            return Self { dir: dir.to_path_buf() };
        }
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let nearest = here.ancestors().find(|dir| dir.join("environments").is_dir());
        Self { dir: nearest.unwrap_or(&here).to_path_buf() }
    }

    /// Whether there is a project in the folder.
    pub fn exists(&self) -> bool {
        self.dir.join("environments").is_dir()
    }

    /// The environments that have a file, sorted.
    pub fn environments(&self) -> Vec<String> {
        let mut names = yaml_names(&self.dir.join("environments"));
        names.retain(|name| name != "base" && !name.starts_with('_'));
        names
    }

    /// The environment's file and what it extends, weakest first.
    pub fn files(&self, environment: &str) -> Result<Vec<SourceFile>> {
        self.known(environment)?;
        let mut files = vec![self.read(&format!("environments/{environment}.yaml"))?];
        while let Some(base) = base_of(&files)? {
            // `extends: base` and `extends: base.yaml` are the same file.
            let name = if base.ends_with(".yaml") { base } else { format!("{base}.yaml") };
            if files.iter().any(|file| file.name == name) {
                return Err(Failure::usage(format!("{name} extends itself through other files"))
                    .hint("take one `extends:` out"));
            }
            files.push(self.read(&name)?);
        }
        files.reverse();
        Ok(files)
    }

    /// The environment, layered and checked.
    pub fn resolve(&self, environment: &str, sets: &[String]) -> Result<Resolved> {
        let inputs = Inputs {
            files: self.files(environment)?,
            variables: set_variables(),
            sets: sets.to_vec(),
        };
        Ok(resolve_inputs(&inputs)?)
    }

    /// The project's name, also where the files have errors: whoever rolls back at night must not
    /// need valid files. From those that are not valid it takes a line of its own.
    pub fn name_for(&self, environment: &str) -> Option<String> {
        if let Ok(resolved) = self.resolve(environment, &[]) {
            return Some(resolved.environment.project);
        }
        let own = format!("environments/{environment}.yaml");
        [own.as_str(), "environments/base.yaml"].iter().find_map(|name| {
            let text = fs::read_to_string(self.dir.join(name)).ok()?;
            let value = text.lines().find_map(|line| line.strip_prefix("project:"))?;
            let value = value.split(" #").next().unwrap_or(value);
            let value = value.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_string())
        })
    }

    /// The templates that the binary carries, overridden by the project's own files.
    pub fn templates(&self) -> Result<Vec<SourceFile>> {
        let mut found: BTreeMap<String, String> = defaults()
            .iter()
            .filter(|(name, _)| {
                name.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder))
            })
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect();
        let mut folders: Vec<_> = FOLDERS.iter().map(|f| self.dir.join(f)).collect();
        while let Some(folder) = folders.pop() {
            for path in list(&folder) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let file = self.read(&self.relative(&path))?;
                    found.insert(file.name, file.text);
                }
            }
        }
        Ok(found.into_iter().map(|(name, text)| SourceFile { name, text }).collect())
    }

    /// The environment's documents.
    pub fn render(&self, name: &str, resolved: &Resolved) -> Result<Vec<RenderedFile>> {
        render_environment(name, &resolved.environment, &self.templates()?).map_err(|errors| {
            let problems = errors.0.iter().map(|e| {
                let place = format!("{}:{}:{}", e.file, e.line, e.column);
                Problem { place, message: e.message.clone(), hint: None }
            });
            let problems: Vec<Problem> = problems.collect();
            Failure { problems, ..Failure::new(Exit::Usage, "template", "rendering failed") }
        })
    }

    /// The artifacts of a release by component.
    pub fn release(&self, version: &str) -> Result<BTreeMap<String, ArtifactEntry>> {
        let known = yaml_names(&self.dir.join("artifacts"));
        if !known.iter().any(|name| name == version) {
            let failure = Failure::usage(format!(
                "there is no release `{version}`: {}/artifacts/{version}.yaml does not exist",
                self.dir.display()
            ));
            let hint = match did_you_mean(version, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None if known.is_empty() => {
                    "a release is a file artifacts/VERSION.yaml with lines `COMPONENT: PATH`".into()
                }
                None => format!("known releases: {}", known.join(", ")),
            };
            return Err(failure.hint(hint));
        }
        let file = self.read(&format!("artifacts/{version}.yaml"))?;
        serde_yaml::from_str(&file.text).map_err(|error| {
            Failure::usage(format!("{}: {error}", file.name)).hint(
                "each line is `COMPONENT: PATH`, or `COMPONENT: {path: PATH, digest: sha256:...}`",
            )
        })
    }

    /// Refuses an environment that has no file.
    pub fn known(&self, environment: &str) -> Result<()> {
        let known = self.environments();
        if known.iter().any(|name| name == environment) {
            return Ok(());
        }
        let what = match environment {
            "base" => "base.yaml is what environments share, not an environment".to_string(),
            _ => format!(
                "unknown environment `{environment}`: {}/environments/{environment}.yaml does not exist",
                self.dir.display()
            ),
        };
        let hint = match did_you_mean(environment, known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`? known: {}", known.join(", ")),
            None if known.is_empty() => {
                "there is no project here; make one with `neuroca-deploy init`, or pass --project DIR".into()
            }
            None => format!("known environments: {}", known.join(", ")),
        };
        Err(Failure::usage(what).hint(hint))
    }

    fn read(&self, name: &str) -> Result<SourceFile> {
        let path = self.dir.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(SourceFile { name: name.to_string(), text }),
            Err(error) => {
                let hint = match error.kind() {
                    ErrorKind::NotFound => "write the file, or take out what names it",
                    ErrorKind::InvalidData => "save the file as UTF-8",
                    _ => "check that you may read the file",
                };
                let what = format!("cannot read {}: {error}", path.display());
                Err(Failure::usage(what).hint(hint))
            }
        }
    }

    fn relative(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.dir).unwrap_or(path);
        let parts = relative.components().map(|c| c.as_os_str().to_string_lossy());
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Names of the YAML files in a folder, sorted.
fn yaml_names(folder: &Path) -> Vec<String> {
    let names = list(folder).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".yaml")?.to_string();
        path.is_file().then_some(name)
    });
    names.collect()
}

/// What is in a folder, sorted; nothing when there is no folder.
fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
