//! Adam's step and the moving average of weights, each in one pass and in place.

use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{element_wise, owned};
use crate::AdamStep;

/// The parameter and its moments after the step.
pub(super) fn step(
    parameter: CubeTensor,
    gradient: CubeTensor,
    mean: CubeTensor,
    square: CubeTensor,
    step: AdamStep,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [parameter, mean, square] = [parameter, mean, square].map(owned);
    let (count, dim) = element_wise(&parameter, parameter.meta.num_elements());
    step_kernel::launch(
        &parameter.client,
        count,
        dim,
        into_contiguous(gradient).into_buffer_arg(),
        parameter.clone().into_buffer_arg(),
        mean.clone().into_buffer_arg(),
        square.clone().into_buffer_arg(),
        step.rate,
        step.beta1,
        step.beta2,
        1.0 / step.correction,
        step.epsilon,
    );
    (parameter, mean, square)
}

/// `average + share (parameter - average)`.
pub(super) fn moving_average(average: CubeTensor, parameter: CubeTensor, share: f32) -> CubeTensor {
    let average = owned(average);
    let (count, dim) = element_wise(&average, average.meta.num_elements());
    moving_average_kernel::launch(
        &average.client,
        count,
        dim,
        into_contiguous(parameter).into_buffer_arg(),
        average.clone().into_buffer_arg(),
        share,
    );
    average
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn step_kernel(
    gradients: &[f32],
    parameters: &mut [f32],
    means: &mut [f32],
    squares: &mut [f32],
    rate: f32,
    beta1: f32,
    beta2: f32,
    inverse_correction: f32,
    epsilon: f32,
) {
    if ABSOLUTE_POS >= parameters.len() {
        terminate!();
    }
    let gradient = gradients[ABSOLUTE_POS];
    let before = means[ABSOLUTE_POS];
    let mean = before + (1.0f32 - beta1) * (gradient - before);
    let square = beta2 * squares[ABSOLUTE_POS] + (1.0f32 - beta2) * gradient * gradient;
    means[ABSOLUTE_POS] = mean;
    squares[ABSOLUTE_POS] = square;
    parameters[ABSOLUTE_POS] -= rate * (mean / (square.sqrt() * inverse_correction + epsilon));
}

#[cube(launch)]
fn moving_average_kernel(parameters: &[f32], averages: &mut [f32], share: f32) {
    if ABSOLUTE_POS >= averages.len() {
        terminate!();
    }
    let average = averages[ABSOLUTE_POS];
    averages[ABSOLUTE_POS] = average + share * (parameters[ABSOLUTE_POS] - average);
}
