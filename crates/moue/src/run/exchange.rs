//! Weights in files: safetensors written and read, public PyTorch checkpoints read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;

use burn::tensor::TensorData;
use half::f16;
use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::base::error::{Error, Result};
use crate::nn::module::{Module, for_each};

/// The single key of our files' metadata; it holds JSON. One key, since the order of several is random.
const METADATA_KEY: &str = "moue";

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// f32: exact.
    Full,
    /// f16: half the size; fine for translating, not for going on with training.
    Half,
}

/// Tensors by name, on the host, and the file's JSON metadata.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    /// Shape and f32 values of each tensor.
    pub values: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// What the file says of itself; empty when it says nothing to us.
    pub metadata: String,
}

impl Tensors {
    /// The tensors of a module.
    pub fn of(module: &mut dyn Module, metadata: String) -> Self {
        let mut values = BTreeMap::new();
        for_each(module, |name, _, tensor| {
            let shape = tensor.shape();
            let data = tensor.data().try_into_vec::<f32>().expect("a tensor's data was converted to f32");
            values.insert(name.to_string(), (shape, data));
        });
        Self { values, metadata }
    }

    /// Takes from `module` the tensors of those of its parts (named by what stands before the first dot) of which
    /// there are none here.
    pub fn take_absent_parts(&mut self, module: &mut dyn Module) {
        let part = |name: &str| name.split('.').next().unwrap_or_default().to_string();
        let known: BTreeSet<String> = self.values.keys().map(|name| part(name)).collect();
        let own = Self::of(module, String::new()).values;
        self.values.extend(own.into_iter().filter(|(name, _)| !known.contains(&part(name))));
    }

    /// Where the names of some tensors begin with `prefix`, keeps those alone, without it.
    pub fn keep_player(&mut self, prefix: &str) {
        if self.values.keys().any(|name| name.starts_with(prefix)) {
            let all = std::mem::take(&mut self.values).into_iter();
            let of_player =
                |(name, tensor): (String, _)| Some((name.strip_prefix(prefix)?.to_string(), tensor));
            self.values = all.filter_map(of_player).collect();
        }
    }

    /// Writes a safetensors file. The same tensors give the same bytes.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, precision: Precision, output: &mut dyn Write) -> std::io::Result<()> {
        let (dtype, bytes): (_, Vec<_>) = match precision {
            Precision::Full => (Dtype::F32, self.each(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect())),
            Precision::Half => {
                let bytes = |x: &f32| f16::from_f32(*x).to_le_bytes();
                (Dtype::F16, self.each(|v| v.iter().flat_map(bytes).collect()))
            }
        };
        let views = self.values.iter().zip(&bytes).map(|((name, (shape, _)), bytes)| {
            let view = TensorView::new(dtype, shape.clone(), bytes).map_err(std::io::Error::other)?;
            Ok((name.as_str(), view))
        });
        let views = views.collect::<std::io::Result<Vec<_>>>()?;
        let metadata = HashMap::from([(METADATA_KEY.to_string(), self.metadata.clone())]);
        let file = safetensors::serialize(views, Some(metadata)).map_err(std::io::Error::other)?;
        output.write_all(&file)
    }

    /// Reads a safetensors file's bytes; f16 and f64 become f32, integers are left out.
    ///
    /// # Errors
    /// [`Error::Weights`] naming `path` when they are cut off or of another kind.
    pub fn read(bytes: &[u8], path: &Path) -> Result<Self> {
        let damaged = |error| {
            let hint = "the file is damaged or cut off: copy it again, or take an older checkpoint";
            Error::weights(path, format!("no safetensors file ({error})"), hint)
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata =
            header.metadata().as_ref().and_then(|map| map.get(METADATA_KEY)).cloned().unwrap_or_default();
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut values = BTreeMap::new();
        for (name, view) in file.tensors() {
            let number = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::F64 => DType::F64,
                Dtype::BF16 => DType::BF16,
                _ => continue,
            };
            values.insert(name, (view.shape().to_vec(), numbers(view.data(), number)));
        }
        Ok(Self { values, metadata })
    }

    /// Reads the state dict of a PyTorch checkpoint (`.pth`, `.pt`, `.ckpt`), without its integer tensors.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is none.
    pub fn read_pytorch(path: &Path) -> Result<Self> {
        let hint = "import a state dict saved by torch.save, such as StarGAN's 200000-G.ckpt";
        let reader = PytorchReader::new(path)
            .map_err(|e| Error::weights(path, format!("no PyTorch checkpoint ({e})"), hint))?;
        let mut values = BTreeMap::new();
        for (name, tensor) in reader.into_tensors() {
            if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::F64 | DType::BF16) {
                continue;
            }
            let bytes = tensor.read().map_err(Error::read(path))?;
            values.insert(name, (tensor.shape().to_vec(), numbers(&bytes, tensor.dtype())));
        }
        Ok(Self { values, metadata: String::new() })
    }

    /// Gives a module its tensors. Tensors that it does not know must be in `ignored` by the end of their name.
    ///
    /// # Errors
    /// [`Error::Weights`] naming the first tensor that is missing, unknown or of another shape; the module may hold
    /// some of the tensors then.
    pub fn load(&self, module: &mut dyn Module, path: &Path, ignored: &[&str]) -> Result<()> {
        let mut problem = None;
        let mut known = Vec::new();
        for_each(module, |name, _, tensor| {
            known.push(name.to_string());
            let shape = tensor.shape();
            match self.values.get(name) {
                Some((stored, values)) if *stored == shape => {
                    tensor.set(TensorData::new(values.clone(), shape));
                }
                Some((stored, _)) => {
                    let text = format!("{name} is {stored:?} in the file, {shape:?} in this configuration");
                    problem.get_or_insert(text);
                }
                None => {
                    problem.get_or_insert(format!("{name} is missing"));
                }
            }
        });
        let unknown = self
            .values
            .keys()
            .find(|name| !known.iter().any(|k| k == *name) && !ignored.iter().any(|end| name.ends_with(end)));
        let problem =
            problem.or_else(|| unknown.map(|name| format!("{name} is not in this configuration's networks")));
        match problem {
            None => Ok(()),
            Some(problem) => Err(Error::weights(
                path,
                format!("weights of another configuration: {problem}"),
                "use the run.toml that they were trained with, or weights of this method and size",
            )),
        }
    }

    /// Whether they are a module's: the same names and shapes.
    pub fn fit(&self, module: &mut dyn Module) -> bool {
        let (mut fitting, mut count) = (true, 0);
        for_each(module, |name, _, tensor| {
            fitting &= self.values.get(name).is_some_and(|(shape, _)| *shape == tensor.shape());
            count += 1;
        });
        fitting && count == self.values.len()
    }

    fn each(&self, bytes: impl Fn(&Vec<f32>) -> Vec<u8>) -> Vec<Vec<u8>> {
        self.values.values().map(|(_, values)| bytes(values)).collect()
    }
}

/// Little-endian floating-point numbers as f32.
fn numbers(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        DType::BF16 => {
            bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        DType::F64 => {
            let number =
                |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32;
            bytes.chunks_exact(8).map(number).collect()
        }
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    }
}
