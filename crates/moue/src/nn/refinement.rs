//! What an edit that was made at half the side lacks at the whole side.

use burn::tensor::{Device, Tensor, TensorData};
use moue_kernels::doubled;

use super::layers::{Convolution, Geometry, InstanceNorm};
use super::module::{Module, Visitor};
use super::residual::ResidualBlock;
use crate::base::rng::Rng;

/// Deviation of the heads' first weights: an untrained edit moves nothing.
const HEAD_DEVIATION: f32 = 0.002;

/// Gives a head of an edit weights that say nearly nothing beside its bias.
pub fn calm(head: &mut Convolution, bias: [f32; 6], rng: &mut Rng) {
    let (shape, device) = (head.weight.dims(), head.weight.device());
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| HEAD_DEVIATION * rng.normal()).collect();
    head.weight = Tensor::from_data(TensorData::new(values, shape), &device);
    head.bias = Some(Tensor::from_data(bias, &device));
}

/// A shallow network that sees the face, the face after the edit so far, that edit's outputs, and the features of half the
/// side that they were made of. It starts at changing nothing.
///
/// The features are doubled bilinearly: a transposed convolution has other weights for every second pixel, and draws their
/// grid into what is painted (Odena, Dumoulin, Olah 2016, *Deconvolution and checkerboard artifacts*).
#[derive(Debug, Clone)]
pub struct Refinement {
    face: Convolution,
    features: Convolution,
    norm: InstanceNorm,
    residual: [ResidualBlock; 2],
    head: Convolution,
}

impl Refinement {
    /// With so many channels of the features at half the side, and of its own. PyTorch's default initialisation but for
    /// the head.
    pub fn new([features, channels]: [usize; 2], device: &Device, rng: &mut Rng) -> Self {
        let plain = Geometry::new(3, 1, 1);
        let mut head = Convolution::new([channels, 6], plain, true, device, rng);
        calm(&mut head, [0.0; 6], rng);
        Self {
            face: Convolution::new([3 + 3 + 6, channels], plain, false, device, rng),
            features: Convolution::new([features, channels], plain, false, device, rng),
            norm: InstanceNorm::new(channels, device),
            residual: [(); 2].map(|()| ResidualBlock::new(channels, device, rng)),
            head,
        }
    }

    /// What is to be added to the outputs of half the side, and the features that it was made of: `seen` are the face,
    /// the face after the edit so far and that edit's outputs, `[b, 3 + 3 + 6, s, s]`, `features` `[b, c, s/2, s/2]`.
    pub fn forward(&self, seen: [Tensor<4>; 3], features: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let seen = self.face.forward(Tensor::cat(seen.to_vec(), 1)); // 24 @ 128
        let features = doubled(self.features.forward(features)); // 24 @ 64, 24 @ 128
        let y = self.norm.forward_relu(seen + features);
        let y = self.residual.iter().fold(y, |y, block| block.forward(y));
        (self.head.forward(y.clone()), y) // 6 @ 128, 24 @ 128
    }
}

impl Module for Refinement {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("face", &mut self.face);
        visitor.module("features", &mut self.features);
        visitor.module("norm", &mut self.norm);
        for (n, block) in self.residual.iter_mut().enumerate() {
            visitor.module(&format!("res.{n}"), block);
        }
        visitor.module("head", &mut self.head);
    }
}
