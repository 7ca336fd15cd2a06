//! Instance norm with the ReLU after it: a kernel forward, and one backward with another for the sums over the batch.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{
    Extent, dense, empty, empty_laid, extent, is_first, laid, memory, sum_of_units, walk, walks,
};
use super::sums::totals;
use crate::instance_norm::EPSILON;

/// The output, the mean and 1 / deviation.
pub(super) fn forward(
    x: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    relu: bool,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let (x, layout) = dense(x);
    let ([batch, channels, ..], extent) = (x.shape().dims::<4>(), extent(&x, layout));
    let y = empty_laid(&x, x.shape().dims(), layout);
    let [mean, inverse] = [(); 2].map(|()| empty(&x, [batch, channels]));
    let (count, dim) = walks(&x, channels, batch, layout);
    forward_kernel::launch(
        &y.client,
        count,
        dim,
        memory(x, layout),
        into_contiguous(weight).into_buffer_arg(),
        into_contiguous(bias).into_buffer_arg(),
        memory(y.clone(), layout),
        mean.clone().into_buffer_arg(),
        inverse.clone().into_buffer_arg(),
        extent,
        EPSILON,
        dim.num_elems() as usize,
        layout.is_interleaved(),
        relu,
    );
    (y, mean, inverse)
}

/// The gradients of input, scale and shift.
pub(super) fn backward(
    x: CubeTensor,
    [weight, bias]: [CubeTensor; 2],
    [mean, inverse]: [CubeTensor; 2],
    output: CubeTensor,
    relu: bool,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let (x, layout) = dense(x);
    let output = laid(output, layout);
    let ([batch, channels, ..], extent) = (x.shape().dims::<4>(), extent(&x, layout));
    let gradient = empty_laid(&x, x.shape().dims(), layout);
    let [sums, products] = [(); 2].map(|()| empty(&x, [batch, channels]));
    let (count, dim) = walks(&x, channels, batch, layout);
    backward_kernel::launch(
        &gradient.client,
        count,
        dim,
        memory(x, layout),
        into_contiguous(weight).into_buffer_arg(),
        into_contiguous(bias).into_buffer_arg(),
        mean.into_buffer_arg(),
        inverse.into_buffer_arg(),
        memory(output, layout),
        memory(gradient.clone(), layout),
        sums.clone().into_buffer_arg(),
        products.clone().into_buffer_arg(),
        extent,
        dim.num_elems() as usize,
        layout.is_interleaved(),
        relu,
    );
    let [by_bias, by_weight, _] = totals([sums, products], 1);
    (gradient, by_weight, by_bias)
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn forward_kernel(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
    means: &mut [f32],
    inverses: &mut [f32],
    extent: &Extent,
    epsilon: f32,
    #[comptime] units: usize,
    #[comptime] interleaved: bool,
    #[comptime] relu: bool,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let walk = walk(extent, 1u32, interleaved);
    let numbers = f32::cast_from(extent.plane);

    let mut sum = 0.0f32;
    let mut position = walk.first;
    while position < walk.end {
        sum += x[(walk.base + position * walk.stride) as usize];
        position += walk.step;
    }
    let mean = sum_of_units(sum, &mut shared, interleaved) / numbers;

    let mut squares = 0.0f32;
    position = walk.first;
    while position < walk.end {
        let centred = x[(walk.base + position * walk.stride) as usize] - mean;
        squares += centred * centred;
        position += walk.step;
    }
    let variance = sum_of_units(squares, &mut shared, interleaved) / numbers;
    let inverse = 1.0f32 / (variance + epsilon).sqrt();

    if walk.first < walk.end {
        let scale = weight[walk.channel as usize] * inverse;
        let shift = bias[walk.channel as usize];
        position = walk.first;
        while position < walk.end {
            let place = (walk.base + position * walk.stride) as usize;
            let value = (x[place] - mean) * scale + shift;
            // What is no number goes on.
            y[place] = if comptime!(relu) { select(value < 0.0f32, 0.0f32, value) } else { value };
            position += walk.step;
        }
        if is_first(&walk, extent, interleaved) {
            let place = (CUBE_POS_Y * extent.channels + walk.channel) as usize;
            means[place] = mean;
            inverses[place] = inverse;
        }
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn backward_kernel(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    means: &[f32],
    inverses: &[f32],
    output: &[f32],
    gradient: &mut [f32],
    sums: &mut [f32],
    products: &mut [f32],
    extent: &Extent,
    #[comptime] units: usize,
    #[comptime] interleaved: bool,
    #[comptime] relu: bool,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let walk = walk(extent, 1u32, interleaved);
    let row = (CUBE_POS_Y * extent.channels + walk.channel) as usize;
    let mut mean = 0.0f32;
    let mut inverse = 0.0f32;
    let mut scale = 0.0f32;
    let mut shift = 0.0f32;
    if walk.first < walk.end {
        mean = means[row];
        inverse = inverses[row];
        scale = weight[walk.channel as usize];
        shift = bias[walk.channel as usize];
    }

    let mut sum = 0.0f32;
    let mut product = 0.0f32;
    let mut position = walk.first;
    while position < walk.end {
        let place = (walk.base + position * walk.stride) as usize;
        let normal = (x[place] - mean) * inverse;
        let through = through_relu(output[place], normal * scale + shift, relu);
        sum += through;
        product += through * normal;
        position += walk.step;
    }
    let sum = sum_of_units(sum, &mut shared, interleaved);
    let product = sum_of_units(product, &mut shared, interleaved);

    let common = 1.0f32 / f32::cast_from(extent.plane);
    position = walk.first;
    while position < walk.end {
        let place = (walk.base + position * walk.stride) as usize;
        let normal = (x[place] - mean) * inverse;
        let through = through_relu(output[place], normal * scale + shift, relu);
        gradient[place] = (through - (sum + normal * product) * common) * inverse * scale;
        position += walk.step;
    }
    if is_first(&walk, extent, interleaved) {
        sums[row] = sum;
        products[row] = product;
    }
}

/// A gradient through the ReLU that gave the positive part of `y`.
#[cube]
fn through_relu(gradient: f32, y: f32, #[comptime] relu: bool) -> f32 {
    if comptime!(relu) { select(y > 0.0f32, gradient, 0.0f32) } else { gradient }
}
