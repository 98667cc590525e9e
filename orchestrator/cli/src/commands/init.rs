//! `init`: writes the project files that the binary carries.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use neuroca_deploy_core::config::{defaults, schema};
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy init my-project
  neuroca-deploy init --name memory      # here, for a project called memory";

/// Write the default project files.
///
/// Files that are there already are left as they are if they are the same; if one differs, nothing
/// is written.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Init {
    /// Folder of the project, made if it is not there.
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
    /// Name of the project; it names its state on the target (default: the folder's name).
    #[arg(long)]
    name: Option<String>,
    /// Overwrite files that differ.
    #[arg(long)]
    force: bool,
}

impl Init {
    pub fn run(self, ctx: &Context) -> Result {
        let cannot = |what: &str, path: &std::path::Path, error: std::io::Error| {
            Failure::failed(format!("cannot {what} {}: {error}", path.display()))
                .hint("check that you may write there")
        };
        fs::create_dir_all(&self.dir).map_err(|e| cannot("make", &self.dir, e))?;
        let dir = fs::canonicalize(&self.dir).map_err(|e| cannot("find", &self.dir, e))?;
        let name = match self.name {
            Some(name) if name == project_name(&name) => name,
            Some(name) => {
                return Err(Failure::usage(format!("`{name}` is no name for a project")).hint(
                    format!(
                        "lower-case letters, digits and hyphens, for example `{}`",
                        project_name(&name)
                    ),
                ));
            }
            None => project_name(&dir.file_name().unwrap_or_default().to_string_lossy()),
        };
        let named = format!("\nproject: {name}\n");
        let mut files: Vec<(&str, String)> = defaults()
            .iter()
            .map(|(path, text)| (*path, text.replacen("\nproject: nca\n", &named, 1)))
            .collect();
        // The environment files refer to it, so that editors know them.
        let schema = serde_json::to_string_pretty(&schema()).unwrap_or_default();
        files.push(("docs/schema/environment.json", format!("{schema}\n")));
        let differs = |(path, text): &&(&str, String)| {
            let found = dir.join(path);
            found.exists() && fs::read_to_string(&found).ok().as_ref() != Some(text)
        };
        let different: Vec<&str> = files.iter().filter(differs).map(|(path, _)| *path).collect();
        if !different.is_empty() && !self.force {
            return Err(Failure::usage(format!(
                "{} is a project already; these files differ: {}",
                dir.display(),
                different.join(", ")
            ))
            .hint("nothing was written; --force overwrites them"));
        }
        for (path, text) in &files {
            let path = dir.join(path);
            let parent = path.parent().unwrap_or(&dir);
            fs::create_dir_all(parent).map_err(|e| cannot("make", parent, e))?;
            fs::write(&path, text).map_err(|e| cannot("write", &path, e))?;
        }
        if ctx.output.json {
            let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
            ctx.output.document("init", json!({ "dir": dir, "project": name, "files": paths }));
        } else {
            let mut text = format!("project {name} in {}\n", dir.display());
            for (path, _) in &files {
                text.push_str(&format!("  {path}\n"));
            }
            text.push_str("next: neuroca-deploy plan development\n");
            ctx.output.data(&text);
        }
        Ok(Exit::Done)
    }
}

/// A name from any text: lower-case letters, digits, single hyphens between them.
fn project_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches('-');
    let name = name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    let name: String = name.chars().take(40).collect();
    if name.is_empty() { "project".into() } else { name.trim_end_matches('-').into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_name_becomes_a_project_name() {
        assert_eq!(project_name("My Project_2"), "my-project-2");
        assert_eq!(project_name("neuroca-demo.XyZ"), "neuroca-demo-xyz");
        assert_eq!(project_name("/"), "project");
        assert_eq!(project_name("2024-app"), "app");
    }
}
