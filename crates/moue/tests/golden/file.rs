//! Golden files and the comparisons with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use moue::base::expression::Expression;
use moue::nn::module::{Kind, Module, for_each};
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;

/// Outputs and losses: |ours - reference| <= 1e-4 max(1, |reference|).
const OUTPUT_TOLERANCE: f64 = 1e-4;

/// Running statistics: |ours - reference|.
const STATISTICS_TOLERANCE: f32 = 1e-6;

/// Where the golden tests compute: `MOUE_DEVICE`, as `--device` has it, else the CPU; exactly where `MOUE_EXACT` is set.
pub(crate) fn device() -> Device {
    moue::base::device::compute_exactly(std::env::var_os("MOUE_EXACT").is_some());
    let name = std::env::var("MOUE_DEVICE").unwrap_or_else(|_| "cpu".to_string());
    moue::base::device::device(&name).expect("MOUE_DEVICE names a device of this build")
}

/// One case.
pub(crate) struct Golden {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    labels: BTreeMap<String, Vec<i64>>,
}

impl Golden {
    /// Opens a case of `MOUE_GOLDEN`, or of the repository where it is absent there.
    pub(crate) fn open(case: &str) -> Self {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
        let file = format!("{case}.safetensors");
        let chosen = std::env::var_os("MOUE_GOLDEN").map(|folder| PathBuf::from(folder).join(&file));
        Self::read(chosen.filter(|path| path.exists()).unwrap_or_else(|| committed.join(&file)))
    }

    /// Opens a case's file.
    pub(crate) fn read(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a golden file is safetensors");
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let (mut tensors, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in SafeTensors::deserialize(&bytes).expect("a golden file is whole").tensors() {
            match view.dtype() {
                Dtype::F32 => {
                    let values = view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                    tensors.insert(name, (view.shape().to_vec(), values.collect()));
                }
                Dtype::I64 => {
                    let values = view.data().chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
                    labels.insert(name, values.collect());
                }
                other => panic!("{name} is {other:?}"),
            }
        }
        Self { path, metadata, tensors, labels }
    }

    /// A setting of the metadata, which holds JSON.
    pub(crate) fn setting<T: DeserializeOwned>(&self, key: &str) -> T {
        self.setting_if_any(key).unwrap_or_else(|| panic!("{}: no setting {key}", self.path.display()))
    }

    /// As [`Golden::setting`], where the file has it.
    pub(crate) fn setting_if_any<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let text = self.metadata.get(key)?;
        Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("{key} = {text}: {error}")))
    }

    /// A tensor.
    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.get(name);
        Tensor::from_data(TensorData::new(values.clone(), shape.clone()), device)
    }

    /// A tensor's values in a row.
    pub(crate) fn flat(&self, name: &str, device: &Device) -> Tensor<1> {
        let values = self.get(name).1.clone();
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), device)
    }

    /// A loss.
    pub(crate) fn number(&self, name: &str) -> f32 {
        self.get(name).1[0]
    }

    /// Labels as expressions.
    pub(crate) fn expressions(&self, name: &str) -> Vec<Expression> {
        let labels = self.labels.get(name).unwrap_or_else(|| panic!("no labels {name}"));
        labels.iter().map(|&label| Expression::from_index(label as usize).expect("0..8")).collect()
    }

    /// How many of the names for 0, 1, 2 … exist.
    pub(crate) fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|&n| self.tensors.contains_key(&name(n))).count()
    }

    /// Whether any tensor's name begins so.
    pub(crate) fn has_any(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }

    /// Gives a network the weights whose names begin with `prefix`.
    pub(crate) fn load(&self, prefix: &str, module: &mut dyn Module) {
        let mut names = Vec::new();
        for_each(module, |name, _, tensor| {
            let (shape, values) = self.get(&format!("{prefix}{name}"));
            assert_eq!(&tensor.shape(), shape, "{prefix}{name}");
            tensor.set(TensorData::new(values.clone(), shape.clone()));
            names.push(format!("{prefix}{name}"));
        });
        let unused: Vec<_> = self
            .tensors
            .keys()
            .filter(|name| name.starts_with(prefix) && !name[prefix.len()..].starts_with("out_"))
            .filter(|name| !names.contains(name))
            .collect();
        assert!(unused.is_empty(), "not in our network: {unused:?}");
    }

    /// Checks an output or a loss.
    pub(crate) fn check_output<const D: usize>(&self, name: &str, ours: Tensor<D>) {
        let (_, reference) = self.get(name);
        let ours = values(ours);
        assert_eq!(ours.len(), reference.len(), "{name}");
        for (i, (&ours, &reference)) in ours.iter().zip(reference).enumerate() {
            let (ours, reference) = (f64::from(ours), f64::from(reference));
            let bound = OUTPUT_TOLERANCE * reference.abs().max(1.0);
            assert!((ours - reference).abs() <= bound, "{name}[{i}]: {ours}, not {reference}");
        }
    }

    /// As [`Golden::check_output`], where the file has it.
    pub(crate) fn check_output_if_any<const D: usize>(&self, name: &str, ours: Tensor<D>) {
        if self.tensors.contains_key(name) {
            self.check_output(name, ours);
        }
    }

    /// Checks weights after the steps, tensor by tensor: |ours - after|_2 <= 1e-2 |after - before|_2, since Adam's
    /// first steps are the learning rate times the gradient's sign; a moving average's first way is so short that
    /// rounding to f32 counts too: 1e-7 |after|_2. Buffers agree as outputs do, running statistics to 1e-6.
    pub(crate) fn check_weights(&self, prefix: &str, after: &str, module: &mut dyn Module) {
        self.check_weights_but(|_| false, prefix, after, module);
    }

    /// As [`Golden::check_weights`], without those that have an exactly zero gradient by their name.
    pub(crate) fn check_weights_but(
        &self,
        excused: impl Fn(&str) -> bool,
        prefix: &str,
        after: &str,
        module: &mut dyn Module,
    ) {
        for_each(module, |name, kind, tensor| {
            let (shape, before) = self.get(&format!("{prefix}{name}"));
            let (_, after) = self.get(&format!("{after}{name}"));
            let ours = tensor.data().try_to_vec::<f32>().unwrap();
            if kind == Kind::Buffer {
                let worst = ours.iter().zip(after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let running = name.contains("running_");
                let bound = if running { STATISTICS_TOLERANCE } else { OUTPUT_TOLERANCE as f32 };
                assert!(worst <= bound, "{name} differs by {worst}");
                return;
            }
            if excused(name) {
                return;
            }
            // Biases of AttGAN's real-or-fake head, where real and fake cancel.
            let cancels = |i: usize| {
                let gradient = self.tensors.get(&format!("grad.{prefix}{name}"));
                name.starts_with("fc_adv") && gradient.is_some_and(|(_, values)| values[i].abs() < 1e-7)
            };
            let used = (0..ours.len()).filter(|&i| !zero_gradient(name, shape, i) && !cancels(i));
            let used: Vec<usize> = used.collect();
            let distance = |a: &[f32], b: &[f32]| norm(used.iter().map(|&i| a[i] - b[i]));
            let (error, moved) = (distance(&ours, after), distance(after, before));
            let rounding = 1e-7 * norm(used.iter().map(|&i| after[i]));
            assert!(error <= 1e-2 * moved + rounding, "{name}: off by {error} after a way of {moved}");
        });
    }

    fn get(&self, name: &str) -> &(Vec<usize>, Vec<f32>) {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.path.display()))
    }
}

/// Weights whose gradient is exactly zero, so that Adam follows rounding errors: the key's bias (softmax over the keys
/// ignores it), and the centre tap of the constant label planes before an instance norm.
fn zero_gradient(name: &str, shape: &[usize], index: usize) -> bool {
    if name.starts_with("attention") && name.ends_with("f.bias") {
        return true;
    }
    if !matches!(name, "stem.weight" | "main.0.weight") || shape[1] != 3 + Expression::COUNT {
        return false;
    }
    let kernel = shape[2] * shape[3];
    let channel = index / kernel % shape[1];
    channel >= 3 && index % kernel == kernel / 2
}

/// The gradients of one player, to be compared together.
#[derive(Default)]
pub(crate) struct Agreement(Vec<(String, Vec<f32>)>);

impl Agreement {
    /// A gradient by the name of its golden tensor.
    pub(crate) fn add<const D: usize>(&mut self, name: &str, gradient: Tensor<D>) {
        self.0.push((name.to_string(), values(gradient)));
    }

    /// The gradients of all parameters of a tracked network.
    pub(crate) fn add_gradients(&mut self, prefix: &str, module: &mut dyn Module, gradients: &mut Gradients) {
        for_each(module, |name, kind, tensor| {
            if kind == Kind::Parameter {
                let gradient = tensor.gradient(gradients).unwrap_or_else(|| panic!("no gradient of {name}"));
                self.add(&format!("{prefix}{name}"), gradient);
            }
        });
    }

    /// |ours - reference|_2 <= 1e-3 |reference|_2 + 1e-7 |all of the player's|_2, tensor by tensor.
    pub(crate) fn check_gradients(&self, golden: &Golden) {
        let all = norm(self.0.iter().flat_map(|(name, _)| golden.get(name).1.iter().copied()));
        assert!(all > 0.0);
        for (name, ours) in &self.0 {
            let (_, reference) = golden.get(name);
            assert_eq!(ours.len(), reference.len(), "{name}");
            let error = norm(ours.iter().zip(reference).map(|(a, b)| a - b));
            let bound = 1e-3 * norm(reference.iter().copied()) + 1e-7 * all;
            assert!(error <= bound, "{name}: off by {error}, allowed are {bound}");
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("the data was converted to f32")
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
