//! Meaning as numbers: texts that say alike get vectors that point alike.
//!
//! The vectors come from a server that speaks OpenAI's `/embeddings`, or from a sentence-transformer in
//! a directory, run here. Knows nothing of memories, databases and routes. Everything works without.

mod local;
mod meter;
mod remote;
mod settings;

use std::path::Path;
use std::time::Duration;

pub use settings::{EmbeddingSettings, Source};

use crate::llm::Failure;
use local::Local;
use meter::Meter;
use remote::Remote;

/// Of a text: what stands behind is not looked at. More than any model takes.
const LONGEST: usize = 8_000;

#[allow(clippy::large_enum_variant, reason = "a process has one of it")]
enum Kind {
    Local(Local),
    Remote(Remote),
}

/// Turns texts into vectors of length 1, all with as many components.
pub struct Embedder {
    kind: Kind,
    model: String,
    meter: Meter,
}

impl Embedder {
    /// What `settings` name; looks into a directory, and asks nobody yet. The error says what is wrong
    /// with the directory.
    pub fn new(settings: &EmbeddingSettings) -> Result<Self, String> {
        let (kind, model) = match &settings.source {
            Source::Directory(path) => {
                let local = open(path)?;
                let model = local.name().to_owned();
                (Kind::Local(local), model)
            }
            Source::Server { model, .. } => {
                (Kind::Remote(Remote::new(settings)?), format!("server/{model}"))
            }
        };
        Ok(Self { kind, model, meter: Meter::default() })
    }

    /// Which model: vectors of two of them cannot be compared.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Where the vectors come from, for people and metrics.
    pub fn source(&self) -> &'static str {
        match &self.kind {
            Kind::Local(_) => "directory",
            Kind::Remote(_) => "server",
        }
    }

    /// The vectors of `texts`, in their order. A server is waited for as long as `patience`.
    pub async fn embed(
        &self,
        texts: Vec<String>,
        patience: Duration,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let texts = texts.into_iter().map(beginning).collect();
        let done = match &self.kind {
            Kind::Local(local) => local.embed(texts).await,
            Kind::Remote(remote) => remote.embed(texts, patience).await,
        };
        self.meter.ended(done.as_ref().map_or_else(Failure::outcome, |_| "answered"));
        done
    }

    /// Appends the metrics; `labels` go to every sample.
    pub fn render(&self, out: &mut String, labels: &str) {
        self.meter.render(out, &format!("source=\"{}\",{labels}", self.source()));
    }
}

fn open(path: &Path) -> Result<Local, String> {
    Local::open(path).map_err(|why| {
        format!(
            "NEUROCA_EMBEDDINGS_PATH: {}: {why}; it has to hold a BERT sentence-transformer: \
             config.json, vocab.txt, model.safetensors, 1_Pooling/config.json",
            path.display()
        )
    })
}

fn beginning(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
    text
}

/// Makes the length 1; a vector without a direction stays as it is.
fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}
