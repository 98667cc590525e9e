//! Tensors of a `.safetensors` file, read one by one: the file is never in memory twice.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::memory::hex;

/// A header that is longer belongs to no model of this kind.
const LONGEST_HEADER: u64 = 16 * 1024 * 1024;
/// Places that the fingerprint looks at, evenly spread, and how much of each.
const LOOKS: u64 = 64;
const LOOK: usize = 4096;
const FLOAT: usize = size_of::<f32>();

/// What the header says of a tensor.
#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    /// From where to where, behind the header.
    data_offsets: (usize, usize),
}

pub(super) struct Weights {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
    /// Where the tensors begin.
    base: u64,
    /// Bytes behind that.
    size: u64,
}

impl Weights {
    /// Reads the header: its length in eight bytes, then JSON.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let told = |error: &dyn std::fmt::Display| format!("model.safetensors: {error}");
        let mut file = File::open(path).map_err(|error| told(&error))?;
        let whole = file.metadata().map_err(|error| told(&error))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| told(&error))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(told(&"it does not begin as such a file does"));
        }
        let header = BufReader::new(file.take(length));
        let all: HashMap<String, Value> =
            serde_json::from_reader(header).map_err(|error| told(&error))?;
        let tensors = all
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, value)| {
                let tensor = serde_json::from_value(value);
                tensor
                    .map(|tensor| (name.clone(), tensor))
                    .map_err(|e| told(&format!("{name}: {e}")))
            })
            .collect::<Result<_, String>>()?;
        let base = 8 + length;
        Ok(Self { path: path.to_owned(), tensors, base, size: whole.saturating_sub(base) })
    }

    /// Whether `name` is there with this shape. Some files put `bert.` before every name.
    pub(super) fn check(&self, name: &str, shape: &[usize]) -> Result<(), String> {
        let tensor = self.tensor(name)?;
        if tensor.dtype != "F32" {
            return Err(format!("model.safetensors: {name} is {}, not F32", tensor.dtype));
        }
        if tensor.shape != shape {
            return Err(format!(
                "model.safetensors: {name} is {:?}, but config.json says {shape:?}",
                tensor.shape
            ));
        }
        let (from, to) = tensor.data_offsets;
        if to.checked_sub(from) != Some(FLOAT * shape.iter().product::<usize>()) {
            return Err(format!("model.safetensors: {name} has not the bytes of its shape"));
        }
        if to as u64 > self.size {
            return Err(format!("model.safetensors: it ends before {name}; copy it again"));
        }
        Ok(())
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, String> {
        [name.to_owned(), format!("bert.{name}")]
            .into_iter()
            .find_map(|name| self.tensors.get(&name))
            .ok_or_else(|| format!("model.safetensors: there is no {name}"))
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, String> {
        let (from, to) = self.tensor(name)?.data_offsets;
        let told = |error: std::io::Error| format!("model.safetensors: {name}: {error}");
        let mut file = File::open(&self.path).map_err(told)?;
        file.seek(SeekFrom::Start(self.base + from as u64)).map_err(told)?;
        let mut file = BufReader::with_capacity(64 * 1024, file);
        let count = to.saturating_sub(from) / FLOAT;
        let mut values = Vec::with_capacity(count);
        let mut four = [0; FLOAT];
        while values.len() < count {
            file.read_exact(&mut four).map_err(told)?;
            values.push(f32::from_le_bytes(four));
        }
        Ok(values)
    }

    pub(super) fn vector(&self, name: &str) -> Result<Array1<f32>, String> {
        self.read(name).map(Array1::from)
    }

    pub(super) fn matrix(&self, name: &str, rows: usize) -> Result<Array2<f32>, String> {
        let values = self.read(name)?;
        let columns = values.len() / rows.max(1);
        Array2::from_shape_vec((rows, columns), values).map_err(|error| format!("{name}: {error}"))
    }

    /// Names these weights. Looks at a sample of the file, since any training changes all of it.
    pub(super) fn fingerprint(&self) -> Result<String, String> {
        let told = |error: std::io::Error| format!("model.safetensors: {error}");
        let mut file = File::open(&self.path).map_err(told)?;
        let size = file.metadata().map_err(told)?.len();
        let mut hash = Sha256::new().chain_update(size.to_le_bytes());
        let mut look = Vec::with_capacity(LOOK);
        for number in 0..LOOKS {
            file.seek(SeekFrom::Start(size / LOOKS * number)).map_err(told)?;
            look.clear();
            (&mut file).take(LOOK as u64).read_to_end(&mut look).map_err(told)?;
            hash.update(&look);
        }
        Ok(hex(&hash.finalize()[..8]))
    }
}
