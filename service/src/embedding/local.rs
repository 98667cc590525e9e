//! A sentence-transformer from a directory, run in this process. Nothing is downloaded.
//!
//! Takes what the most used ones are: BERT, WordPiece, mean or first-token pooling. Weights are read
//! when the first text comes: a process that is asked nothing stays small.

mod bert;
mod weights;
mod wordpiece;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::normalised;
use crate::llm::Failure;
use bert::{Bert, Shape};
use weights::Weights;
use wordpiece::WordPiece;

/// How the vectors of the tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    First,
}

struct Model {
    path: PathBuf,
    shape: Shape,
    pooling: Pooling,
    words: WordPiece,
    longest: usize,
    bert: OnceLock<Result<Bert, String>>,
}

/// The model of a directory.
pub(super) struct Local {
    model: Arc<Model>,
    name: String,
    /// A text a core at a time: more would only wait for each other.
    turns: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct PoolingFile {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
}

#[derive(Deserialize)]
struct LengthFile {
    max_seq_length: usize,
}

#[derive(Default, Deserialize)]
struct TokenizerFile {
    do_lower_case: Option<bool>,
}

impl Local {
    /// Reads what says how the model works, and makes sure that its weights fit.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let shape: Shape = json(path, "config.json")?;
        shape.check()?;
        let pooling: PoolingFile = json(path, "1_Pooling/config.json")?;
        let pooling = match (pooling.pooling_mode_mean_tokens, pooling.pooling_mode_cls_token) {
            (true, false) => Pooling::Mean,
            (false, true) => Pooling::First,
            _ => return Err("1_Pooling/config.json: neither mean nor first-token pooling".into()),
        };
        let longest = match path.join("sentence_bert_config.json").exists() {
            true => json::<LengthFile>(path, "sentence_bert_config.json")?.max_seq_length,
            false => shape.longest(),
        };
        let tokenizer = match path.join("tokenizer_config.json").exists() {
            true => json(path, "tokenizer_config.json")?,
            false => TokenizerFile::default(),
        };
        let words = std::fs::read_to_string(path.join("vocab.txt"))
            .map_err(|error| format!("vocab.txt: {error}"))?;
        let words = WordPiece::new(&words, tokenizer.do_lower_case.unwrap_or(true), shape.words())?;
        let weights = Weights::open(&path.join("model.safetensors"))?;
        Bert::check(&shape, &weights)?;
        let name = format!("directory/{}", weights.fingerprint()?);
        let model = Model {
            path: path.to_owned(),
            longest: longest.min(shape.longest()),
            shape,
            pooling,
            words,
            bert: OnceLock::new(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { model: Arc::new(model), name, turns: Arc::new(Semaphore::new(cores)) })
    }

    /// The same for the same weights, wherever they are.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Failure> {
        const BROKEN: Failure = Failure::Garbled("the model of the directory cannot be used");
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| BROKEN)?;
        let model = self.model.clone();
        let work = move || {
            // Until it is done, even if nobody waits for it any more.
            let _turn = turn;
            texts.iter().map(|text| model.embed(text)).collect()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(BROKEN.to_string())).map_err(
            |error| {
                tracing::error!(error, "the model of NEUROCA_EMBEDDINGS_PATH cannot be used");
                BROKEN
            },
        )
    }
}

impl Model {
    fn embed(&self, text: &str) -> Result<Vec<f32>, String> {
        let bert = self.bert.get_or_init(|| {
            let weights = Weights::open(&self.path.join("model.safetensors"))?;
            Bert::read(&self.shape, weights)
        });
        let states = bert.as_ref().map_err(Clone::clone)?.run(&self.words.ids(text, self.longest));
        let pooled = match self.pooling {
            Pooling::First => states.row(0).to_vec(),
            // Never empty: a text has its first and its last token at least.
            Pooling::Mean => (states.sum_axis(ndarray::Axis(0)) / states.nrows() as f32).to_vec(),
        };
        Ok(normalised(pooled))
    }
}

fn json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, String> {
    let text = std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests;
