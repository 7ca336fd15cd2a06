//! The means that losses are made of: a kernel for the sums of many cubes and one for their sum, and one backward.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::edit::{Place, at, place};
use super::layout::{
    Extent, LANES, dense, element_wise, empty, empty_laid, extent, lies_at, memory, sum_of_units, summing,
};
use crate::Apart;
use crate::means::shares;

/// Cubes that share a sum at most.
const CUBES: usize = 256;
/// What each of their units adds up at least, where there is enough.
const EACH: usize = 8;

/// See [`crate::mean_absolute`] and [`crate::weighted_mean_absolute`].
pub(super) fn mean_absolute(x: CubeTensor, weights: Option<CubeTensor>) -> CubeTensor {
    let (x, layout) = dense(x);
    let numbers = x.meta.num_elements();
    let (partial, count, dim) = cubes(&x, numbers);
    let weighted = weights.is_some();
    let (extent, step) = (extent(&x, layout), weights_step(&x, weights.as_ref()));
    let weights = into_contiguous(weights.unwrap_or_else(|| partial.clone())); // not read where there are none
    absolute_kernel::launch(
        &partial.client,
        count,
        dim,
        memory(x, layout),
        weights.into_buffer_arg(),
        partial.clone().into_buffer_arg(),
        extent,
        step,
        dim.num_elems() as usize,
        layout.is_interleaved(),
        weighted,
    );
    total(partial, 1.0 / numbers as f32)
}

/// The gradient by `x`.
pub(super) fn mean_absolute_gradient(
    x: CubeTensor,
    weights: Option<CubeTensor>,
    output: CubeTensor,
) -> CubeTensor {
    let (x, layout) = dense(x);
    let numbers = x.meta.num_elements();
    let gradient = empty_laid(&x, x.shape().dims(), layout);
    let (count, dim) = element_wise(&x, numbers);
    let weighted = weights.is_some();
    let (extent, step) = (extent(&x, layout), weights_step(&x, weights.as_ref()));
    let weights = into_contiguous(weights.unwrap_or_else(|| output.clone())); // not read where there are none
    absolute_gradient_kernel::launch(
        &gradient.client,
        count,
        dim,
        memory(x, layout),
        weights.into_buffer_arg(),
        output.into_buffer_arg(),
        memory(gradient.clone(), layout),
        extent,
        step,
        1.0 / numbers as f32,
        layout.is_interleaved(),
        weighted,
    );
    gradient
}

/// See [`crate::mean_between_neighbours`].
pub(super) fn mean_between_neighbours(x: CubeTensor, apart: Apart) -> CubeTensor {
    let numbers = x.meta.num_elements();
    let [across, down] = shares(&x.shape());
    let (partial, count, dim) = cubes(&x, numbers);
    neighbours_kernel::launch(
        &partial.client,
        count,
        dim,
        x.into_tensor_arg(),
        partial.clone().into_buffer_arg(),
        numbers as u32,
        across,
        down,
        dim.num_elems() as usize,
        apart,
    );
    total(partial, 1.0)
}

/// The gradient by `x`.
pub(super) fn mean_between_neighbours_gradient(
    x: CubeTensor,
    output: CubeTensor,
    apart: Apart,
) -> CubeTensor {
    let gradient = empty(&x, x.shape().dims::<4>());
    let [across, down] = shares(&x.shape());
    let (count, dim) = element_wise(&x, x.meta.num_elements());
    neighbours_gradient_kernel::launch(
        &gradient.client,
        count,
        dim,
        x.into_tensor_arg(),
        output.into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        across,
        down,
        apart,
    );
    gradient
}

/// Room for the sums of so many cubes as share `numbers`.
fn cubes(x: &CubeTensor, numbers: usize) -> (CubeTensor, CubeCount, CubeDim) {
    let units = summing(x);
    let count = numbers.div_ceil(units as usize * EACH).clamp(1, CUBES);
    (empty(x, [count]), CubeCount::new_1d(count as u32), CubeDim::new_2d(LANES, units / LANES))
}

/// The sum of all times `factor`, `[1]`.
fn total(partial: CubeTensor, factor: f32) -> CubeTensor {
    let sum = empty(&partial, [1]);
    let units = summing(&partial);
    let length = partial.meta.num_elements() as u32;
    total_kernel::launch(
        &sum.client,
        CubeCount::new_single(),
        CubeDim::new_2d(LANES, units / LANES),
        partial.into_buffer_arg(),
        sum.clone().into_buffer_arg(),
        length,
        factor,
        units as usize,
    );
    sum
}

/// From the weights of an image to those of the next: 0 where all have the same.
fn weights_step(x: &CubeTensor, weights: Option<&CubeTensor>) -> u32 {
    let [_, _, height, width] = x.shape().dims();
    let of_an_image = weights.is_some_and(|weights| weights.shape()[0] > 1);
    if of_an_image { (height * width) as u32 } else { 0 }
}

/// Where the weight of the `n`th number lies.
#[cube]
fn weighs(n: u32, extent: &Extent, step: u32, #[comptime] interleaved: bool) -> u32 {
    if comptime!(interleaved) {
        let pixel = n / extent.channels;
        pixel / extent.plane * step + pixel % extent.plane
    } else {
        n / extent.plane / extent.channels * step + n % extent.plane
    }
}

#[cube]
fn sign(x: f32) -> f32 {
    select(x > 0.0f32, 1.0f32, select(x < 0.0f32, -1.0f32, 0.0f32))
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn absolute_kernel(
    x: &[f32],
    weights: &[f32],
    partial: &mut [f32],
    extent: &Extent,
    step: u32,
    #[comptime] units: usize,
    #[comptime] interleaved: bool,
    #[comptime] weighted: bool,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let mut sum = 0.0f32;
    let mut n = ABSOLUTE_POS as u32;
    while n < extent.numbers {
        let value = x[lies_at(n, extent, interleaved) as usize].abs();
        sum += if comptime!(weighted) {
            value * weights[weighs(n, extent, step, interleaved) as usize]
        } else {
            value
        };
        n += CUBE_COUNT as u32 * CUBE_DIM;
    }
    let sum = sum_of_units(sum, &mut shared, false);
    if UNIT_POS == 0u32 {
        partial[CUBE_POS] = sum;
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn absolute_gradient_kernel(
    x: &[f32],
    weights: &[f32],
    output: &[f32],
    gradient: &mut [f32],
    extent: &Extent,
    step: u32,
    share: f32,
    #[comptime] interleaved: bool,
    #[comptime] weighted: bool,
) {
    let n = ABSOLUTE_POS as u32;
    if n >= extent.numbers {
        terminate!();
    }
    let place = lies_at(n, extent, interleaved) as usize;
    let share = output[0] * share;
    let share = if comptime!(weighted) {
        share * weights[weighs(n, extent, step, interleaved) as usize]
    } else {
        share
    };
    gradient[place] = sign(x[place]) * share;
}

#[cube(launch)]
fn total_kernel(partial: &[f32], total: &mut [f32], length: u32, factor: f32, #[comptime] units: usize) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let mut sum = 0.0f32;
    let mut n = UNIT_POS;
    while n < length {
        sum += partial[n as usize];
        n += CUBE_DIM;
    }
    let sum = sum_of_units(sum, &mut shared, false);
    if UNIT_POS == 0u32 {
        total[0] = sum * factor;
    }
}

/// `[above, before, here, after, below]`, for the number at a place; where a neighbour is missing, the number itself.
#[derive(CubeType, Clone, Copy)]
struct Cross {
    above: f32,
    before: f32,
    here: f32,
    after: f32,
    below: f32,
}

#[cube]
fn cross(x: &Tensor<f32>, of: &Place) -> Cross {
    let here = at(x, of);
    let place = of.image * x.stride(0) + of.channel * x.stride(1);
    let row = place + of.row * x.stride(2);
    let column = place + of.column * x.stride(3);
    let (height, width) = (x.shape(2), x.shape(3));
    Cross {
        above: x[column + select(of.row == 0, of.row, of.row - 1) * x.stride(2)],
        before: x[row + select(of.column == 0, of.column, of.column - 1) * x.stride(3)],
        here,
        after: x[row + min(of.column + 1, width - 1) * x.stride(3)],
        below: x[column + min(of.row + 1, height - 1) * x.stride(2)],
    }
}

#[cube]
fn distance(difference: f32, #[comptime] apart: Apart) -> f32 {
    if comptime!(apart == Apart::Absolute) { difference.abs() } else { difference * difference }
}

/// The slope of [`distance`].
#[cube]
fn slope(difference: f32, #[comptime] apart: Apart) -> f32 {
    if comptime!(apart == Apart::Absolute) { sign(difference) } else { 2.0f32 * difference }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn neighbours_kernel(
    x: &Tensor<f32>,
    partial: &mut [f32],
    numbers: u32,
    across: f32,
    down: f32,
    #[comptime] units: usize,
    #[comptime] apart: Apart,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let mut sum = 0.0f32;
    let mut n = ABSOLUTE_POS;
    while n < numbers as usize {
        let cross = cross(x, &place(n, x, x.shape(1)));
        sum += across * distance(cross.after - cross.here, apart)
            + down * distance(cross.below - cross.here, apart);
        n += CUBE_COUNT * CUBE_DIM as usize;
    }
    let sum = sum_of_units(sum, &mut shared, false);
    if UNIT_POS == 0u32 {
        partial[CUBE_POS] = sum;
    }
}

#[cube(launch)]
fn neighbours_gradient_kernel(
    x: &Tensor<f32>,
    output: &[f32],
    gradient: &mut [f32],
    across: f32,
    down: f32,
    #[comptime] apart: Apart,
) {
    if ABSOLUTE_POS >= gradient.len() {
        terminate!();
    }
    let cross = cross(x, &place(ABSOLUTE_POS, x, x.shape(1)));
    let by_row = slope(cross.here - cross.before, apart) - slope(cross.after - cross.here, apart);
    let by_column = slope(cross.here - cross.above, apart) - slope(cross.below - cross.here, apart);
    gradient[ABSOLUTE_POS] = output[0] * (across * by_row + down * by_column);
}
