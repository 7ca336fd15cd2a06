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
    let mut slopes = Vec::with_capacity(layers.len());
    let mut activation = x;
    for layer in layers {
        let before = layer.forward(activation).without_autodiff();
        // 1 where the pre-activation is positive, else the leaky slope.
        slopes.push(before.clone().greater_scalar(0.0).float() * (1.0 - negative_slope) + negative_slope);
        activation = leaky_relu(before, f64::from(negative_slope));
    }
    let logits = source_head.forward(activation).without_autodiff();
    let mut gradient = source_head.input_gradient(logits.ones_like());
    for (layer, slope) in layers.iter().zip(slopes).rev() {
        gradient = layer.input_gradient(gradient * slope);
    }
    gradient
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
