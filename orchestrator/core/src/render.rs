//! Documents from templates: strict, and the same bytes for the same inputs.
//!
//! Templates come in as values and documents go out as values; who writes them where is not known here.

mod context;
mod errors;
mod filters;
mod kubernetes;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use serde::Serialize;
use tera::{Context, ErrorKind, Tera};

pub use context::context;
pub use errors::{RenderError, RenderErrors};

use crate::config::SourceFile;
use crate::config::model::Environment;

/// The folders of a project in which templates are. What is rendered from `templates` lies at the
/// root of what is written, what is rendered from `kubernetes` in a folder of that name.
pub const FOLDERS: [&str; 2] = ["kubernetes", "templates"];

const FOLDER: &str = "templates/";
const CLUSTER_FOLDER: &str = "kubernetes/";
const SUFFIX: &str = ".tera";

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderedFile {
    /// Relative to the folder that is written: the template's without `templates/` and `.tera`.
    pub path: String,
    pub text: String,
}

/// Renders the templates for an environment, see [`context()`] for what they can use. Those for a cluster
/// are left out where nothing is said about one.
pub fn render_environment(
    name: &str,
    environment: &Environment,
    templates: &[SourceFile],
) -> Result<Vec<RenderedFile>, RenderErrors> {
    let wanted = |file: &&SourceFile| {
        environment.kubernetes.is_some() || !file.name.starts_with(CLUSTER_FOLDER)
    };
    let templates: Vec<_> = templates.iter().filter(wanted).cloned().collect();
    render(&templates, &context(name, environment))
}

/// Renders every template but those whose file name starts with `_`, which others include. A file
/// without `.tera` is taken as it is. Nothing comes of a template that renders to blanks. Sorted by path.
pub fn render(
    templates: &[SourceFile],
    context: &serde_json::Value,
) -> Result<Vec<RenderedFile>, RenderErrors> {
    let (sources, plain): (Vec<_>, Vec<_>) =
        templates.iter().partition(|file| file.name.ends_with(SUFFIX));
    let tera = load(&sources)?;
    let mut errors = Vec::new();
    let mut documents: BTreeMap<String, (&str, String)> = BTreeMap::new();
    let values = match Context::from_serialize(context) {
        Ok(values) => values,
        Err(error) => return Err(RenderErrors(vec![RenderError::new(&error, "context")])),
    };
    let rendered = sources.iter().filter(|file| !is_part(&file.name)).map(|file| {
        let text = tera.render(&file.name, &values);
        (*file, text.map_err(|error| RenderError::new(&error, &file.name)))
    });
    let rendered = rendered.filter(|(_, text)| !text.as_ref().is_ok_and(|t| t.trim().is_empty()));
    let copied = plain.iter().map(|file| (*file, Ok(file.text.clone())));
    for (file, text) in rendered.chain(copied) {
        let path = output_path(&file.name);
        match text.and_then(|text| yaml::check(&path, text, &file.name)) {
            Err(error) => errors.push(error),
            Ok(text) => {
                if let Some((other, _)) = documents.insert(path.clone(), (&file.name, text)) {
                    let message = format!("this and {other} both make `{path}`");
                    errors.push(
                        RenderError::at(&file.name, 1, 1, message).with_hint("rename one of them"),
                    );
                }
            }
        }
    }
    if !errors.is_empty() {
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        return Err(RenderErrors(errors));
    }
    Ok(documents.into_iter().map(|(path, (_, text))| RenderedFile { path, text }).collect())
}

fn is_part(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|file| file.starts_with('_'))
}

fn output_path(name: &str) -> String {
    let name = name.strip_prefix(FOLDER).unwrap_or(name);
    name.strip_suffix(SUFFIX).unwrap_or(name).to_string()
}

fn load(sources: &[&SourceFile]) -> Result<Tera, RenderErrors> {
    let mut tera = empty();
    let all = sources.iter().map(|file| (file.name.as_str(), file.text.as_str()));
    let Err(first) = tera.add_raw_templates(all) else { return Ok(tera) };
    // The engine stops at the first broken template; each on its own tells them all.
    let broken = sources.iter().filter_map(|file| {
        let error = empty().add_raw_template(&file.name, &file.text).err()?;
        matches!(error.kind(), ErrorKind::SyntaxError(_))
            .then(|| RenderError::new(&error, &file.name))
    });
    let broken: Vec<_> = broken.collect();
    Err(RenderErrors(if broken.is_empty() {
        vec![RenderError::new(&first, "templates")]
    } else {
        broken
    }))
}

fn empty() -> Tera {
    let mut tera = Tera::new();
    // These documents are not HTML.
    tera.autoescape_on(Vec::<&str>::new());
    filters::register(&mut tera);
    tera
}
