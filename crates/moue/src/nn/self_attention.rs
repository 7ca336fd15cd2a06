//! Self-attention over the positions of a feature map (the paper's eqs. 1-4; Zhang et al. 2019, SAGAN).

use burn::tensor::{Device, Tensor};

use super::layers::{Convolution, Geometry};
use super::module::{Module, Visitor};
use super::tape::{Report, report};
use crate::base::rng::Rng;

/// `y = gamma * o + x` with `o_j = sum_i softmax_i(f(x_i)^T g(x_j)) h(x_i)`.
///
/// f and g are 1x1 convolutions to an eighth of the channels (at least one), h to all of them, each with bias, as in
/// the public PyTorch code of SAGAN (its query is g, its key f, its value h). The learned gamma starts at 0, so the
/// module starts as the identity. The N x N map is never whole in memory: see [`moue_kernels::attention`].
#[derive(Debug, Clone)]
pub struct SelfAttention {
    f: Convolution,
    g: Convolution,
    h: Convolution,
    /// `[1]`: how much of the attended value is added.
    pub gamma: Tensor<1>,
}

impl SelfAttention {
    /// For feature maps of `channels` channels.
    pub fn new(channels: usize, device: &Device, rng: &mut Rng) -> Self {
        let width = (channels / 8).max(1);
        let mut pointwise =
            |outputs| Convolution::new([channels, outputs], Geometry::new(1, 1, 0), true, device, rng);
        let (f, g, h) = (pointwise(width), pointwise(width), pointwise(channels));
        Self { f, g, h, gamma: Tensor::zeros([1], device) }
    }

    /// `[batch, channels, h, w]`, shape kept.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let positions = |map: Tensor<4>| map.flatten::<3>(2, 3); // [batch, channels, N]
        let key = positions(self.f.forward(x.clone()));
        let query = positions(self.g.forward(x.clone()));
        let value = positions(self.h.forward(x.clone()));
        // A product with every query of each of the N x N, and one with every value.
        let products = batch * (height * width).pow(2) * (key.dims()[1] + channels);
        let attended = moue_kernels::attention(query, key, value);
        let y =
            x + attended.reshape([batch, channels, height, width]) * self.gamma.clone().reshape([1, 1, 1, 1]);
        report(|| Report::of("attention", &self.gamma, &y, products));
        y
    }
}

impl Module for SelfAttention {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("f", &mut self.f);
        visitor.module("g", &mut self.g);
        visitor.module("h", &mut self.h);
        visitor.parameter("gamma", &mut self.gamma);
    }
}
