//! `render`: an environment's documents, on stdout or as a tree that can be committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::flags::Selection;

const EXAMPLES: &str = "\
Examples:
  neuroca-deploy render staging
  neuroca-deploy render staging --out deploy/staging";

/// Render an environment's documents.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Render {
    /// The environment.
    #[arg(value_name = "ENV")]
    environment: String,
    /// Write a tree of files here instead of printing them.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
}

impl Render {
    pub fn run(self, ctx: &Context) -> Result {
        let resolved = ctx.project.resolve(&self.environment, &self.selection.sets)?;
        let documents = ctx.project.render(&self.environment, &resolved)?;
        if let Some(out) = &self.out {
            for document in &documents {
                let path = out.join(&document.path);
                let cannot = |e: std::io::Error| {
                    Failure::failed(format!("cannot write {}: {e}", path.display()))
                        .hint("check that you may write there, and that the disk is not full")
                };
                fs::create_dir_all(path.parent().unwrap_or(out)).map_err(cannot)?;
                fs::write(&path, &document.text).map_err(cannot)?;
            }
        }
        if ctx.output.json {
            let texts: BTreeMap<&str, &str> =
                documents.iter().map(|d| (d.path.as_str(), d.text.as_str())).collect();
            let body = json!({
                "environment": self.environment, "out": self.out, "documents": texts,
            });
            ctx.output.document("documents", body);
            return Ok(Exit::Done);
        }
        let mut text = String::new();
        for document in &documents {
            match &self.out {
                Some(out) => {
                    text.push_str(&format!("{}\n", out.join(&document.path).display()));
                }
                None => {
                    let head = ctx.output.out.dim(&format!("# --- {}", document.path));
                    text.push_str(&format!("{head}\n{}\n", document.text.trim_end()));
                }
            }
        }
        ctx.output.data(&text);
        Ok(Exit::Done)
    }
}
