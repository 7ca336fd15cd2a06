//! The operations on GPUs, as kernels of CubeCL: one launch, or two where sums go over the batch, for what burn's own
//! operations need up to thirty of. A small network's step is bound by the launching.
//!
//! Convolutions and attention's products are burn's, of several kernels the one that it found to be the fastest, or where
//! [`crate::compute_exactly`] asks for it those of `exact`. What is missing here is composed of burn's operations.

mod adam;
mod edit;
mod exact;
mod instance_norm;
mod layout;
mod means;
mod products;
mod resize;
mod sums;

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use self::resize::{Change, resized};
use crate::attention::portable::Tiling;
use crate::convolution::portable;
use crate::{AdamStep, Apart, Logistic, Operations, Step, Tensors, attention, computes_exactly};

/// Attention's map in tiles of four times the size that they have elsewhere, for fewer launches.
fn tiling() -> Tiling<CubeBackend> {
    let product = if computes_exactly() { exact::matrices } else { CubeBackend::float_matmul };
    Tiling { bytes: 128 << 20, product }
}

impl Operations for CubeBackend {
    fn position_attention_forward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        attention::portable::forward::<Self>(query, key, value, tiling())
    }

    fn position_attention_backward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        attended: CubeTensor,
        statistics: CubeTensor,
        output: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        attention::portable::backward::<Self>([query, key, value], attended, statistics, output, tiling())
    }

    fn adam(
        parameters: Tensors<Self>,
        gradients: Tensors<Self>,
        means: Tensors<Self>,
        squares: Tensors<Self>,
        step: AdamStep,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        adam::step(parameters, gradients, means, squares, step)
    }

    fn moving_average(averages: Tensors<Self>, parameters: Tensors<Self>, share: f32) -> Tensors<Self> {
        adam::moving_average(averages, parameters, share)
    }

    fn convolution(x: CubeTensor, weight: CubeTensor, step: Step) -> CubeTensor {
        if computes_exactly() {
            exact::convolution(x, weight, None, step)
        } else {
            portable::convolution::<Self>(x, weight, step)
        }
    }

    fn biased_convolution(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, step: Step) -> CubeTensor {
        if computes_exactly() {
            exact::convolution(x, weight, Some(bias), step)
        } else {
            portable::biased_convolution::<Self>(x, weight, bias, step)
        }
    }

    fn convolution_x_gradient(
        x: CubeTensor,
        weight: CubeTensor,
        output: CubeTensor,
        step: Step,
    ) -> CubeTensor {
        if computes_exactly() {
            exact::input_gradient(output, weight, x.shape().dims(), step)
        } else {
            portable::convolution_x_gradient::<Self>(x, weight, output, step)
        }
    }

    fn convolution_weight_gradient(
        x: CubeTensor,
        weight: CubeTensor,
        output: CubeTensor,
        step: Step,
    ) -> CubeTensor {
        if computes_exactly() {
            exact::weight_gradient(output, x, weight.shape().dims(), step)
        } else {
            portable::convolution_weight_gradient::<Self>(x, weight, output, step)
        }
    }

    fn transposed_convolution(x: CubeTensor, weight: CubeTensor, step: Step) -> CubeTensor {
        if computes_exactly() {
            let ([batch, _, height, width], [_, channels, kh, kw]) =
                (x.shape().dims(), weight.shape().dims());
            let side = |size: usize, kernel: usize| (size - 1) * step.stride + kernel - 2 * step.padding;
            exact::input_gradient(x, weight, [batch, channels, side(height, kh), side(width, kw)], step)
        } else {
            portable::transposed_convolution::<Self>(x, weight, step)
        }
    }

    fn transposed_convolution_x_gradient(weight: CubeTensor, output: CubeTensor, step: Step) -> CubeTensor {
        if computes_exactly() {
            exact::convolution(output, weight, None, step)
        } else {
            portable::transposed_convolution_x_gradient::<Self>(weight, output, step)
        }
    }

    fn transposed_convolution_weight_gradient(
        x: CubeTensor,
        weight: CubeTensor,
        output: CubeTensor,
        step: Step,
    ) -> CubeTensor {
        if computes_exactly() {
            exact::weight_gradient(x, output, weight.shape().dims(), step)
        } else {
            portable::transposed_convolution_weight_gradient::<Self>(x, weight, output, step)
        }
    }

    fn channel_sums(x: CubeTensor) -> CubeTensor {
        sums::channel_sums(x)
    }

    fn grid_sample(x: CubeTensor, flow: CubeTensor) -> CubeTensor {
        edit::grid_sample(x, flow)
    }

    fn grid_sample_flow_gradient(x: CubeTensor, flow: CubeTensor, output: CubeTensor) -> CubeTensor {
        edit::flow_gradient(x, flow, output)
    }

    fn instance_norm_forward(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        relu: bool,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        instance_norm::forward(x, weight, bias, relu)
    }

    fn instance_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        mean: CubeTensor,
        inverse: CubeTensor,
        output: CubeTensor,
        relu: bool,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        instance_norm::backward(x, [weight, bias], [mean, inverse], output, relu)
    }

    fn scaled_leaky_relu(x: CubeTensor, scale: CubeTensor, bias: CubeTensor, slope: f32) -> CubeTensor {
        sums::leaky_relu(x, scale, bias, slope)
    }

    fn scaled_leaky_relu_backward(
        x: CubeTensor,
        scale: CubeTensor,
        y: CubeTensor,
        output: CubeTensor,
        slope: f32,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        sums::leaky_relu_backward(x, scale, y, output, slope)
    }

    fn halved(x: CubeTensor) -> CubeTensor {
        resized(x, Change::Halved)
    }

    fn halved_gradient(output: CubeTensor) -> CubeTensor {
        resized(output, Change::HalvedGradient)
    }

    fn doubled(x: CubeTensor) -> CubeTensor {
        resized(x, Change::Doubled)
    }

    fn doubled_gradient(output: CubeTensor) -> CubeTensor {
        resized(output, Change::DoubledGradient)
    }

    fn logistic(x: CubeTensor, function: Logistic) -> CubeTensor {
        edit::logistic(x, function)
    }

    fn logistic_gradient(y: CubeTensor, output: CubeTensor, function: Logistic) -> CubeTensor {
        edit::logistic_gradient(y, output, function)
    }

    fn mean_absolute(x: CubeTensor) -> CubeTensor {
        means::mean_absolute(x, None)
    }

    fn mean_absolute_gradient(x: CubeTensor, output: CubeTensor) -> CubeTensor {
        means::mean_absolute_gradient(x, None, output)
    }

    fn weighted_mean_absolute(x: CubeTensor, weights: CubeTensor) -> CubeTensor {
        means::mean_absolute(x, Some(weights))
    }

    fn weighted_mean_absolute_gradient(x: CubeTensor, weights: CubeTensor, output: CubeTensor) -> CubeTensor {
        means::mean_absolute_gradient(x, Some(weights), output)
    }

    fn mean_between_neighbours(x: CubeTensor, apart: Apart) -> CubeTensor {
        means::mean_between_neighbours(x, apart)
    }

    fn mean_between_neighbours_gradient(x: CubeTensor, output: CubeTensor, apart: Apart) -> CubeTensor {
        means::mean_between_neighbours_gradient(x, output, apart)
    }

    fn blend(below: CubeTensor, mask: CubeTensor, above: CubeTensor) -> CubeTensor {
        edit::blend(below, mask, above)
    }

    fn blend_backward(
        below: CubeTensor,
        mask: CubeTensor,
        above: CubeTensor,
        output: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        edit::blend_backward(below, mask, above, output)
    }

    fn matrix_vector(matrix: CubeTensor, vector: CubeTensor) -> CubeTensor {
        products::matrix_vector(matrix, vector)
    }

    fn vector_matrix(vector: CubeTensor, matrix: CubeTensor) -> CubeTensor {
        products::vector_matrix(vector, matrix)
    }

    fn bilinear(left: CubeTensor, matrix: CubeTensor, right: CubeTensor) -> CubeTensor {
        products::bilinear(left, matrix, right)
    }

    fn outer_product(left: CubeTensor, right: CubeTensor, scale: CubeTensor) -> CubeTensor {
        products::outer_product(left, right, scale)
    }

    fn normalised(vector: CubeTensor) -> CubeTensor {
        products::normalised(vector)
    }
}
