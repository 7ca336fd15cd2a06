//! StarGAN's residual block.

use burn::tensor::{Device, Tensor};

use super::layers::{Convolution, Geometry, InstanceNorm};
use super::module::{Module, Visitor};
use crate::base::rng::Rng;

/// `x + norm(conv(relu(norm(conv(x)))))`, 3x3 convolutions without bias, shape kept.
#[derive(Debug, Clone)]
pub struct ResidualBlock {
    convolutions: [Convolution; 2],
    norms: [InstanceNorm; 2],
}

impl ResidualBlock {
    /// A block of as many channels in as out.
    pub fn new(channels: usize, device: &Device, rng: &mut Rng) -> Self {
        let mut convolution = || Convolution::new([channels; 2], Geometry::new(3, 1, 1), false, device, rng);
        let convolutions = [convolution(), convolution()];
        Self { convolutions, norms: [(); 2].map(|()| InstanceNorm::new(channels, device)) }
    }

    /// `[batch, channels, h, w]`, shape kept.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [first, second] = &self.convolutions;
        let [first_norm, second_norm] = &self.norms;
        let inner = first_norm.forward_relu(first.forward(x.clone()));
        x + second_norm.forward(second.forward(inner))
    }
}

impl Module for ResidualBlock {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let [first, second] = &mut self.convolutions;
        let [first_norm, second_norm] = &mut self.norms;
        visitor.module("main.0", first);
        visitor.module("main.1", first_norm);
        visitor.module("main.3", second);
        visitor.module("main.4", second_norm);
    }
}
