//! The operations on GPUs, as kernels of CubeCL: one launch, or two where sums go over the batch, for what burn's own
//! operations need up to thirty of. A small network's step is bound by the launching.
//!
//! What is missing here is composed of burn's operations: convolutions, products of matrices and attention.

mod adam;
mod edit;
mod instance_norm;
mod layout;
mod means;
mod products;
mod resize;
mod sums;

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use self::resize::{Change, resized};
use crate::{AdamStep, Apart, Logistic, Operations, attention};

/// The most that a tile of attention's map takes: four times what it takes elsewhere, for fewer launches.
const TILE_BYTES: usize = 128 << 20;

impl Operations for CubeBackend {
    fn position_attention_forward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        attention::portable::forward::<Self>(query, key, value, TILE_BYTES)
    }

    fn position_attention_backward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        attended: CubeTensor,
        statistics: CubeTensor,
        output: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        attention::portable::backward::<Self>([query, key, value], attended, statistics, output, TILE_BYTES)
    }

    fn adam(
        parameter: CubeTensor,
        gradient: CubeTensor,
        mean: CubeTensor,
        square: CubeTensor,
        step: AdamStep,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        adam::step(parameter, gradient, mean, square, step)
    }

    fn moving_average(average: CubeTensor, parameter: CubeTensor, share: f32) -> CubeTensor {
        adam::moving_average(average, parameter, share)
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
