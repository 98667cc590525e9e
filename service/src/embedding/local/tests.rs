//! Against vectors that others computed: numpy for a small model that is made here, and for
//! all-MiniLM-L6-v2 if `NEUROCA_TEST_MODEL` names a directory that holds it.

use serde_json::{Map, json};

use super::*;

const HIDDEN: usize = 8;
const WIDE: usize = 16;
const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nzurich\n,\n\u{65e5}\nx";
const POSITIONS: usize = 8;

fn tensors() -> Vec<(String, Vec<usize>)> {
    let norm =
        |at: &str| [(format!("{at}.weight"), vec![HIDDEN]), (format!("{at}.bias"), vec![HIDDEN])];
    let linear = |at: String, out: usize, of: usize| {
        [(format!("{at}.weight"), vec![out, of]), (format!("{at}.bias"), vec![out])]
    };
    let rows = VOCABULARY.lines().count();
    let mut all: Vec<(String, Vec<usize>)> =
        [("word", rows), ("position", POSITIONS), ("token_type", 2)]
            .map(|(of, rows)| (format!("embeddings.{of}_embeddings.weight"), vec![rows, HIDDEN]))
            .into();
    all.extend(norm("embeddings.LayerNorm"));
    for layer in 0..2 {
        let at = format!("encoder.layer.{layer}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            all.extend(linear(format!("{at}.attention.{part}"), HIDDEN, HIDDEN));
        }
        all.extend(norm(&format!("{at}.attention.output.LayerNorm")));
        all.extend(linear(format!("{at}.intermediate.dense"), WIDE, HIDDEN));
        all.extend(linear(format!("{at}.output.dense"), HIDDEN, WIDE));
        all.extend(norm(&format!("{at}.output.LayerNorm")));
    }
    all
}

/// Weights by a formula, so that other programs can make the same.
fn safetensors() -> Vec<u8> {
    let (mut header, mut data, mut number) = (Map::new(), Vec::new(), 0i64);
    for (name, shape) in tensors() {
        let from = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            let value = ((number * number * 31 + number * 17) % 97 - 48) as f32 / 64.0;
            number += 1;
            let value = match name.as_str() {
                name if name.ends_with("LayerNorm.weight") => 1.0 + value / 4.0,
                name if name.ends_with("bias") => value / 4.0,
                _ => value,
            };
            data.extend(value.to_le_bytes());
        }
        let tensor = json!({ "dtype": "F32", "shape": shape, "data_offsets": [from, data.len()] });
        header.insert(name, tensor);
    }
    let header = serde_json::Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn small_model(first_token: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let shape = json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN, "intermediate_size": WIDE,
        "num_attention_heads": 2, "num_hidden_layers": 2, "max_position_embeddings": POSITIONS,
        "vocab_size": VOCABULARY.lines().count(), "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    });
    let pooling =
        json!({ "pooling_mode_cls_token": first_token, "pooling_mode_mean_tokens": !first_token });
    std::fs::create_dir(dir.path().join("1_Pooling")).expect("makes a folder");
    for (name, content) in [
        ("config.json", shape.to_string().into_bytes()),
        ("1_Pooling/config.json", pooling.to_string().into_bytes()),
        ("vocab.txt", VOCABULARY.into()),
        ("model.safetensors", safetensors()),
    ] {
        std::fs::write(dir.path().join(name), content).expect("writes");
    }
    dir
}

fn near(found: &[f32], expected: &[f32], most: f32) {
    let apart = found.iter().zip(expected).map(|(one, other)| (one - other).abs());
    assert!(apart.fold(0.0, f32::max) < most, "{found:?} and not {expected:?}");
}

/// Expected: BERT in numpy, in double precision.
#[test]
fn a_small_model_gives_the_vectors_that_numpy_gives() {
    let first = [-0.325537, 0.243969, 0.046579, 0.631257, -0.264024, -0.442535, -0.30822, 0.270746];
    let mean =
        [-0.407842, 0.252628, -0.008944, 0.634304, -0.182887, -0.411372, -0.304201, 0.268717];
    let other =
        [-0.533622, 0.305593, 0.002321, 0.534832, -0.139351, -0.523628, -0.001399, 0.205434];
    for (first_token, text, expected) in [
        (true, "Unaffable, Zürich", first),
        (false, "Unaffable, Zürich", mean),
        (false, "x", other),
    ] {
        let dir = small_model(first_token);
        let local = Local::open(dir.path()).expect("a model");
        near(&local.model.embed(text).expect("a vector"), &expected, 1e-5);
    }
}

#[test]
fn what_is_wrong_with_a_directory_is_told_when_it_is_opened() {
    let cut = safetensors();
    let cut = &cut[..cut.len() - 4];
    for (name, content, told) in [
        ("model.safetensors", cut, "it ends before encoder.layer.1.output.LayerNorm.bias"),
        (
            "model.safetensors",
            b"<html>404 not found</html>",
            "it does not begin as such a file does",
        ),
        ("vocab.txt", b"a\nb", "there is no [UNK]"),
        ("1_Pooling/config.json", b"{}", "neither mean nor first-token pooling"),
        ("config.json", b"[]", "config.json: "),
    ] {
        let dir = small_model(false);
        std::fs::write(dir.path().join(name), content).expect("writes");
        let error = Local::open(dir.path()).err().expect("it is broken");
        assert!(error.contains(told), "{name}: {error}");
    }
}

#[test]
fn other_weights_have_another_name() {
    let (one, other) = (small_model(false), small_model(false));
    let name = |dir: &tempfile::TempDir| Local::open(dir.path()).expect("opens").name().to_owned();
    assert_eq!(name(&one), name(&other));
    let mut changed = safetensors();
    *changed.last_mut().expect("a byte") ^= 1;
    std::fs::write(other.path().join("model.safetensors"), changed).expect("writes");
    assert_ne!(name(&one), name(&other));
}

fn minilm() -> Option<Local> {
    let path = std::env::var("NEUROCA_TEST_MODEL").ok()?;
    Some(Local::open(Path::new(&path)).expect("NEUROCA_TEST_MODEL holds a model"))
}

/// What its tokenizer in Python makes of it.
#[test]
fn tokens_are_those_that_the_model_was_trained_with() {
    let Some(local) = minilm() else { return };
    for (text, tokens) in [
        (
            "Ann's tea-time, isn't it? 日本 ÜBER 42 naïve café",
            &[
                101, 5754, 1005, 1055, 5572, 1011, 2051, 1010, 3475, 1005, 1056, 2009, 1029, 1864,
                1876, 19169, 4413, 15743, 7668, 102,
            ][..],
        ),
        (
            "unaffable Zürich—“quoted” text\nnew\tline x_y 1,000.50€ ½ ﬁ",
            &[
                101, 14477, 20961, 3468, 10204, 1517, 1523, 9339, 1524, 3793, 2047, 2240, 1060,
                1035, 1061, 1015, 1010, 2199, 1012, 2753, 30102, 1092, 1984, 102,
            ],
        ),
        (
            "🙂 hello 👍🏽 e-mail@host.com #tag $5",
            &[
                101, 100, 7592, 100, 1041, 1011, 5653, 1030, 3677, 1012, 4012, 1001, 6415, 1002,
                1019, 102,
            ],
        ),
    ] {
        assert_eq!(local.model.words.ids(text, 256), tokens, "{text}");
    }
    assert_eq!(local.model.words.ids(&"word ".repeat(500), local.model.longest).len(), 256);
}

/// The figures of the model's own documentation, and a vector by numpy.
#[test]
fn vectors_are_as_alike_as_the_model_says() {
    let Some(local) = minilm() else { return };
    let texts =
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."];
    let vectors = texts.map(|text| local.model.embed(text).expect("a vector"));
    let beginning =
        [0.019_195_73, 0.120_085_38, 0.159_598_34, 0.067_065_91, 0.050_074_81, -0.025_918_73];
    near(&vectors[0][..6], &beginning, 1e-5);
    let alike = |a: usize, b: usize| -> f32 {
        vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum()
    };
    let all = [alike(0, 0), alike(0, 1), alike(0, 2), alike(1, 2)];
    near(&all, &[1.0, 0.6660, 0.1046, 0.1411], 1e-4);
}
