//! The exact gradient penalty with first-order autodiff.
//!
//! The gradient of a discriminator's output with respect to its input is itself a forward computation: from the last
//! layer to the first, transposed convolutions with the same weights, and the slopes of the activations between them
//! as constants. Written so, one ordinary backward pass gives the penalty's gradient with respect to the weights,
//! as double backward would (equal to 2e-6 against PyTorch's).

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Tensor, TensorData};

use super::layers::Convolution;
use crate::base::rng::Rng;

/// The gradient of the sum of `source_head`'s outputs with respect to `x`, shaped like `x`, for a discriminator of
/// leaky convolutions (Gulrajani et al. 2017 take it at points between real and synthesised images).
/// Gradients flow to the weights of `layers` and `source_head`; `x` is a constant.
pub fn input_gradient(
    layers: &[&Convolution],
    source_head: &Convolution,
    negative_slope: f32,
    x: Tensor<4>,
) -> Tensor<4> {
    let mut all_slopes = Vec::with_capacity(layers.len());
    let mut activation = x;
    for layer in layers {
        let before = layer.forward(activation).without_autodiff();
        all_slopes.push(slopes(before.clone(), negative_slope));
        activation = leaky_relu(before, f64::from(negative_slope));
    }
    let logits = source_head.forward(activation).without_autodiff();
    let mut gradient = source_head.input_gradient(logits.ones_like());
    for (layer, slope) in layers.iter().zip(all_slopes).rev() {
        gradient = layer.input_gradient(gradient * slope);
    }
    gradient
}

/// What a leaky ReLU multiplies a gradient by: 1 where the pre-activation is positive, else `negative_slope`.
pub fn slopes<const D: usize>(before: Tensor<D>, negative_slope: f32) -> Tensor<D> {
    before.without_autodiff().greater_scalar(0.0).float() * (1.0 - negative_slope) + negative_slope
}

/// Added to the variance by instance norm.
const EPSILON: f32 = 1e-5;

/// Planes with mean 0 and variance 1, `n = (z - mean z) / sigma` with `sigma = sqrt(variance + eps)`: what instance norm
/// does before it scales and shifts. Kept apart, because its gradient is needed as a forward computation.
pub struct NormalPlanes {
    /// n, `[batch, channels, height, width]`.
    pub normal: Tensor<4>,
    /// sigma, `[batch, channels, 1, 1]`.
    deviation: Tensor<4>,
}

impl NormalPlanes {
    /// The planes of `z` `[batch, channels, height, width]`.
    pub fn of(z: Tensor<4>) -> Self {
        let centred = z.clone() - plane_means(z);
        let deviation = (plane_means(centred.clone().square()) + EPSILON).sqrt();
        Self { normal: centred / deviation.clone(), deviation }
    }

    /// The gradient of n, weighted by `q`, with respect to z: `(q - mean q - n mean(q n)) / sigma`. Both n and sigma
    /// depend on the weights of the layers before: taken as constants, the penalty's gradient would be wrong.
    pub fn input_gradient(self, q: Tensor<4>) -> Tensor<4> {
        let Self { normal, deviation } = self;
        let along = plane_means(q.clone() * normal.clone());
        (q.clone() - plane_means(q) - normal * along) / deviation
    }
}

/// The mean of each plane, `[batch, channels, 1, 1]`.
fn plane_means(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width, 1]).mean_dim(2)
}

/// `mean_b (|g_b|_2 - 1)^2` of the gradients `[batch, 3, h, w]`: the penalty of WGAN-GP, without its weight.
pub fn gradient_penalty(gradient: Tensor<4>) -> Tensor<1> {
    let rows: Tensor<2> = gradient.flatten(1, 3);
    let length = rows.square().sum_dim(1).sqrt();
    (length - 1.0).square().mean()
}

/// A uniform number for each image of `x`, `[batch, 1, 1, 1]` in 0..1.
pub fn mixing_weights(x: &Tensor<4>, rng: &mut Rng) -> Tensor<4> {
    let [batch, ..] = x.dims();
    let alpha: Vec<f32> = (0..batch).map(|_| rng.uniform()).collect();
    Tensor::from_data(TensorData::new(alpha, [batch, 1, 1, 1]), &x.device())
}

/// The point `alpha real + (1 - alpha) fake` for each image.
pub fn mix(real: Tensor<4>, fake: Tensor<4>, alpha: Tensor<4>) -> Tensor<4> {
    alpha.clone() * real + (-alpha + 1.0) * fake
}
