//! BERT's encoder (Devlin et al., 2019): from tokens to a vector for each of them.
//!
//! One text at a time, so that nothing is padded and no mask is needed.

use ndarray::{Array1, Array2, ArrayViewMut1, Axis, s};
use serde::Deserialize;

use super::weights::Weights;

/// `config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    model_type: String,
    hidden_act: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    max_position_embeddings: usize,
    vocab_size: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

impl Shape {
    pub(super) fn longest(&self) -> usize {
        self.max_position_embeddings
    }

    pub(super) fn words(&self) -> usize {
        self.vocab_size
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let positions = self.position_embedding_type.as_deref().unwrap_or("absolute");
        if self.model_type != "bert" || self.hidden_act != "gelu" || positions != "absolute" {
            return Err(format!(
                "config.json: it is {:?} with {:?} and {positions:?} positions, not \"bert\" with \
                 \"gelu\" and \"absolute\" positions",
                self.model_type, self.hidden_act
            ));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("config.json: num_attention_heads does not divide hidden_size".into());
        }
        // A text has two tokens at least, and is of the first kind.
        if self.hidden_size == 0 || self.max_position_embeddings < 2 || self.type_vocab_size == 0 {
            return Err(
                "config.json: hidden_size, max_position_embeddings or type_vocab_size is too \
                        small for any text"
                    .into(),
            );
        }
        Ok(())
    }
}

struct Linear {
    weight: Array2<f32>,
    bias: Array1<f32>,
}

impl Linear {
    fn read(weights: &Weights, name: &str, out: usize) -> Result<Self, String> {
        Ok(Self {
            weight: weights.matrix(&format!("{name}.weight"), out)?,
            bias: weights.vector(&format!("{name}.bias"))?,
        })
    }

    fn of(&self, input: &Array2<f32>) -> Array2<f32> {
        input.dot(&self.weight.t()) + &self.bias
    }
}

struct Norm {
    weight: Array1<f32>,
    bias: Array1<f32>,
    epsilon: f32,
}

impl Norm {
    fn read(weights: &Weights, name: &str, epsilon: f32) -> Result<Self, String> {
        Ok(Self {
            weight: weights.vector(&format!("{name}.weight"))?,
            bias: weights.vector(&format!("{name}.bias"))?,
            epsilon,
        })
    }

    fn of(&self, mut input: Array2<f32>) -> Array2<f32> {
        for mut row in input.rows_mut() {
            let count = row.len() as f32;
            let mean = row.sum() / count;
            let variance = row.fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / count;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            row.zip_mut_with(&self.weight, |x, weight| *x = (*x - mean) * scale * weight);
            row += &self.bias;
        }
        input
    }
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: Norm,
    wide: Linear,
    narrow: Linear,
    norm: Norm,
}

/// The encoder with its weights.
pub(super) struct Bert {
    heads: usize,
    words: Array2<f32>,
    positions: Array2<f32>,
    /// Of the first sentence; there is no second one.
    kind: Array1<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

impl Bert {
    /// Whether `weights` has every tensor of `shape`; reads none.
    pub(super) fn check(shape: &Shape, weights: &Weights) -> Result<(), String> {
        let (hidden, wide) = (shape.hidden_size, shape.intermediate_size);
        let norm = |name: &str| {
            weights.check(&format!("{name}.weight"), &[hidden])?;
            weights.check(&format!("{name}.bias"), &[hidden])
        };
        let linear = |name: &str, out: usize, of: usize| {
            weights.check(&format!("{name}.weight"), &[out, of])?;
            weights.check(&format!("{name}.bias"), &[out])
        };
        for (name, rows) in [
            ("word", shape.vocab_size),
            ("position", shape.max_position_embeddings),
            ("token_type", shape.type_vocab_size),
        ] {
            weights.check(&format!("embeddings.{name}_embeddings.weight"), &[rows, hidden])?;
        }
        norm("embeddings.LayerNorm")?;
        for number in 0..shape.num_hidden_layers {
            let at = format!("encoder.layer.{number}");
            for part in ["self.query", "self.key", "self.value", "output.dense"] {
                linear(&format!("{at}.attention.{part}"), hidden, hidden)?;
            }
            norm(&format!("{at}.attention.output.LayerNorm"))?;
            linear(&format!("{at}.intermediate.dense"), wide, hidden)?;
            linear(&format!("{at}.output.dense"), hidden, wide)?;
            norm(&format!("{at}.output.LayerNorm"))?;
        }
        Ok(())
    }

    /// Reads all of it.
    pub(super) fn read(shape: &Shape, weights: Weights) -> Result<Self, String> {
        Self::check(shape, &weights)?;
        let (hidden, epsilon) = (shape.hidden_size, shape.layer_norm_eps);
        let kinds =
            weights.matrix("embeddings.token_type_embeddings.weight", shape.type_vocab_size)?;
        let layer = |number: usize| -> Result<Layer, String> {
            let at = format!("encoder.layer.{number}");
            let linear = |name: &str, out| Linear::read(&weights, &format!("{at}.{name}"), out);
            let norm = |name: &str| Norm::read(&weights, &format!("{at}.{name}"), epsilon);
            Ok(Layer {
                query: linear("attention.self.query", hidden)?,
                key: linear("attention.self.key", hidden)?,
                value: linear("attention.self.value", hidden)?,
                attended: linear("attention.output.dense", hidden)?,
                attended_norm: norm("attention.output.LayerNorm")?,
                wide: linear("intermediate.dense", shape.intermediate_size)?,
                narrow: linear("output.dense", hidden)?,
                norm: norm("output.LayerNorm")?,
            })
        };
        Ok(Self {
            heads: shape.num_attention_heads,
            words: weights.matrix("embeddings.word_embeddings.weight", shape.vocab_size)?,
            positions: weights
                .matrix("embeddings.position_embeddings.weight", shape.max_position_embeddings)?,
            kind: kinds.row(0).to_owned(),
            norm: Norm::read(&weights, "embeddings.LayerNorm", epsilon)?,
            layers: (0..shape.num_hidden_layers).map(layer).collect::<Result<_, String>>()?,
        })
    }

    /// A row for each of `tokens`, of which there are no more than positions.
    pub(super) fn run(&self, tokens: &[usize]) -> Array2<f32> {
        let mut input = self.words.select(Axis(0), tokens);
        input += &self.positions.slice(s![..tokens.len(), ..]);
        input += &self.kind;
        let input = self.norm.of(input);
        self.layers.iter().fold(input, |input, layer| layer.of(input, self.heads))
    }
}

impl Layer {
    fn of(&self, input: Array2<f32>, heads: usize) -> Array2<f32> {
        let attended = self.attended.of(&self.attend(&input, heads));
        let input = self.attended_norm.of(attended + &input);
        let mut wide = self.wide.of(&input);
        wide.mapv_inplace(gelu);
        self.norm.of(self.narrow.of(&wide) + &input)
    }

    fn attend(&self, input: &Array2<f32>, heads: usize) -> Array2<f32> {
        let (query, key, value) = (self.query.of(input), self.key.of(input), self.value.of(input));
        let size = query.ncols() / heads;
        let scale = 1.0 / (size as f32).sqrt();
        let mut out = Array2::zeros(query.raw_dim());
        for head in 0..heads {
            let part = s![.., head * size..(head + 1) * size];
            let mut scores = query.slice(part).dot(&key.slice(part).t()) * scale;
            scores.rows_mut().into_iter().for_each(softmax);
            out.slice_mut(part).assign(&scores.dot(&value.slice(part)));
        }
        out
    }
}

fn softmax(mut row: ArrayViewMut1<f32>) {
    let most = row.fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    row.mapv_inplace(|x| (x - most).exp());
    let sum = row.sum();
    row /= sum;
}

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}
