//! Embedded networks' weights, and the layer that most of them are made of.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use moue_kernels::{Depthwise, convolution, depthwise};
use safetensors::{Dtype, SafeTensors};

/// An embedded safetensors file. It holds f16, f32, or bytes that stand for `scale * byte + minimum`; the pairs of scale
/// and minimum are JSON under the metadata's key `quantization`, by the tensor's name.
///
/// The file is part of the program: whatever is missing in it is a mistake in the program, and panics.
pub struct Weights<'a> {
    tensors: SafeTensors<'a>,
    quantization: BTreeMap<String, [f64; 2]>,
    device: &'a Device,
}

impl<'a> Weights<'a> {
    /// The tensors of a safetensors file's bytes, which [`Weights::tensor`] brings to `device`.
    pub fn new(file: &'a [u8], device: &'a Device) -> Self {
        let (_, header) = SafeTensors::read_metadata(file).expect("the embedded file is safetensors");
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get("quantization"));
        let quantization = text.map(|text| serde_json::from_str(text).expect("the metadata is JSON"));
        let tensors = SafeTensors::deserialize(file).expect("the embedded file is whole");
        Self { tensors, quantization: quantization.unwrap_or_default(), device }
    }

    /// The tensor of a name, as f32.
    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let view = self.tensors.tensor(name).unwrap_or_else(|_| panic!("{name} is not in the embedded file"));
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F16 => data.chunks(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::F32 => data.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::U8 => {
                let [scale, minimum] = self.quantization[name];
                data.iter().map(|&byte| (f64::from(byte) * scale + minimum) as f32).collect()
            }
            other => panic!("{name} is {other:?}"),
        };
        Tensor::from_data(TensorData::new(values, view.shape().to_vec()), self.device)
    }

    /// The depthwise separable convolution of a name's `depthwise`, `pointwise` and `bias`.
    pub fn separable(&self, name: &str, stride: usize) -> Separable {
        let part = |part: &str| format!("{name}.{part}");
        Separable {
            depthwise: self.tensor(&part("depthwise")),
            pointwise: self.tensor(&part("pointwise")),
            bias: self.tensor(&part("bias")),
            stride,
        }
    }
}

/// A 3x3 convolution of each channel by itself, then a 1x1 convolution with bias:
/// `[batch, in, h, w] -> [batch, out, h / stride, w / stride]` for even sides.
#[derive(Debug, Clone)]
pub struct Separable {
    /// `[in, 1, 3, 3]`.
    depthwise: Tensor<4>,
    /// `[out, in, 1, 1]`.
    pointwise: Tensor<4>,
    /// `[out]`.
    bias: Tensor<1>,
    stride: usize,
}

impl Separable {
    /// The layer's outputs.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [outputs, ..] = self.pointwise.dims();
        debug_assert_eq!(self.bias.dims(), [outputs]);
        let x = same_padded_depthwise(x, self.depthwise.clone(), self.stride);
        convolution(x, self.pointwise.clone(), Some(self.bias.clone()), 1, 0)
    }
}

/// A convolution with TensorFlow's padding `SAME` for even sides: where the zeros do not come out even, as with stride
/// 2, the odd one is at the end.
pub fn same_padded(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, stride: usize) -> Tensor<4> {
    let [before, after] = same_padding(&weight, stride);
    convolution(x.pad([(before, after); 2], 0.0), weight, Some(bias), stride, 0)
}

/// The same of each channel by itself, `weight` is `[channels, 1, size, size]`.
pub fn same_padded_depthwise(x: Tensor<4>, weight: Tensor<4>, stride: usize) -> Tensor<4> {
    let padding = same_padding(&weight, stride);
    depthwise(x, weight, Depthwise { stride, padding })
}

fn same_padding(weight: &Tensor<4>, stride: usize) -> [usize; 2] {
    let zeros = weight.dims()[2] - stride;
    [zeros / 2, zeros.div_ceil(2)]
}
