//! Weights as TensorFlow.js publishes them: a JSON manifest of names, shapes and quantisation, and the bytes of all
//! tensors one after the other.

use std::path::Path;

use moue::base::error::Result;
use moue::run::exchange::Tensors;
use serde::Deserialize;

use super::layers::{damaged, with_pytorch_axes};

#[derive(Deserialize)]
struct Group {
    weights: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

/// value = scale * byte + min
#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: f64,
    min: f64,
}

/// The tensors of a manifest and its one shard, kernels `[height, width, in, out]` as `[out, in, height, width]`.
pub(super) fn read(manifest: &[u8], shard: &[u8], path: &Path) -> Result<Tensors> {
    let groups: Vec<Group> = serde_json::from_slice(manifest)
        .map_err(|error| damaged(path, format!("no manifest of TensorFlow.js ({error})")))?;
    let mut rest = shard;
    let mut tensors = Tensors::default();
    for entry in groups.into_iter().flat_map(|group| group.weights) {
        let name = &entry.name;
        let size = match &entry.quantization {
            _ if entry.dtype != "float32" => None,
            None => Some(4),
            Some(quantization) => (quantization.dtype == "uint8").then_some(1),
        };
        let size = size.ok_or_else(|| damaged(path, format!("{name} is neither float32 nor uint8")))?;
        let length = entry.shape.iter().try_fold(size, |length, side| usize::checked_mul(length, *side));
        let part = length.and_then(|length| rest.split_at_checked(length));
        let (bytes, others) = part.ok_or_else(|| damaged(path, format!("it ends within {name}")))?;
        rest = others;
        let values = match &entry.quantization {
            None => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Some(Quantization { scale, min, .. }) => {
                bytes.iter().map(|&byte| (f64::from(byte) * scale + min) as f32).collect()
            }
        };
        tensors.values.insert(entry.name, with_pytorch_axes(entry.shape, values));
    }
    if rest.is_empty() {
        return Ok(tensors);
    }
    Err(damaged(path, format!("{} bytes are left after the last tensor", rest.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"[{"weights": [
        {"name": "a", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "b", "shape": [1, 1, 2, 1], "dtype": "float32"}]}]"#;

    fn shard() -> Vec<u8> {
        [vec![0, 2, 255], 1.5f32.to_le_bytes().to_vec(), (-2f32).to_le_bytes().to_vec()].concat()
    }

    #[test]
    fn bytes_are_scaled_and_kernels_turned() {
        let tensors = read(MANIFEST.as_bytes(), &shard(), Path::new("x")).unwrap().values;
        assert_eq!(tensors["a"], (vec![3], vec![-1.0, 0.0, 126.5]));
        assert_eq!(tensors["b"], (vec![1, 2, 1, 1], vec![1.5, -2.0]));
    }

    #[test]
    fn damage_is_named() {
        let problem = |manifest: &str, shard: &[u8]| {
            read(manifest.as_bytes(), shard, Path::new("x")).unwrap_err().to_string()
        };
        assert!(problem("{", &shard()).contains("no manifest"));
        assert!(problem(MANIFEST, &shard()[..8]).contains("ends within b"));
        assert!(problem(MANIFEST, &[shard(), vec![0]].concat()).contains("1 bytes are left"));
        assert!(problem(&MANIFEST.replace("uint8", "uint16"), &shard()).contains("neither"));
        assert!(problem(&MANIFEST.replace("[3]", "[4294967296, 4294967296, 4]"), &shard()).contains("a"));
    }
}
