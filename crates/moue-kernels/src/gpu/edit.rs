//! What an edit is made of: the logistic function, the blend, and the sampling of an image along a flow. A unit for each
//! number or pixel; inputs are read wherever they lie, for they are often slices of a convolution's output.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{element_wise, empty};
use crate::Logistic;

/// See [`crate::logistic`].
pub(super) fn logistic(x: CubeTensor, function: Logistic) -> CubeTensor {
    let y = empty(&x, x.shape().dims::<4>());
    let (count, dim) = element_wise(&y, y.meta.num_elements());
    let Logistic { low, high, steepness } = function;
    let arg = x.into_tensor_arg();
    logistic_kernel::launch(&y.client, count, dim, arg, y.clone().into_buffer_arg(), low, high, steepness);
    y
}

/// Its gradient by its input; `y` is what it gave.
pub(super) fn logistic_gradient(y: CubeTensor, output: CubeTensor, function: Logistic) -> CubeTensor {
    let gradient = empty(&y, y.shape().dims::<4>());
    let (count, dim) = element_wise(&y, y.meta.num_elements());
    let Logistic { low, high, steepness } = function;
    logistic_gradient_kernel::launch(
        &gradient.client,
        count,
        dim,
        y.into_tensor_arg(),
        output.into_tensor_arg(),
        gradient.clone().into_buffer_arg(),
        low,
        high,
        steepness / (high - low),
    );
    gradient
}

/// See [`crate::blend`].
pub(super) fn blend(below: CubeTensor, mask: CubeTensor, above: CubeTensor) -> CubeTensor {
    let y = empty(&below, below.shape().dims::<4>());
    let (count, dim) = element_wise(&y, y.meta.num_elements());
    blend_kernel::launch(
        &y.client,
        count,
        dim,
        below.into_tensor_arg(),
        mask.into_tensor_arg(),
        above.into_tensor_arg(),
        y.clone().into_buffer_arg(),
    );
    y
}

/// Its gradients by what is below, the mask, and what is above.
pub(super) fn blend_backward(
    below: CubeTensor,
    mask: CubeTensor,
    above: CubeTensor,
    output: CubeTensor,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [batch, channels, height, width] = below.shape().dims();
    let [by_below, by_above] = [(); 2].map(|()| empty(&below, [batch, channels, height, width]));
    let by_mask = empty(&below, [batch, 1, height, width]);
    let (count, dim) = element_wise(&below, batch * height * width);
    blend_backward_kernel::launch(
        &by_mask.client,
        count,
        dim,
        below.into_tensor_arg(),
        mask.into_tensor_arg(),
        above.into_tensor_arg(),
        output.into_tensor_arg(),
        by_below.clone().into_buffer_arg(),
        by_mask.clone().into_buffer_arg(),
        by_above.clone().into_buffer_arg(),
    );
    (by_below, by_mask, by_above)
}

/// See [`crate::grid_sample`].
pub(super) fn grid_sample(x: CubeTensor, flow: CubeTensor) -> CubeTensor {
    let y = empty(&x, x.shape().dims::<4>());
    let [batch, _, height, width] = x.shape().dims();
    let (count, dim) = element_wise(&x, batch * height * width);
    let (x, flow) = (x.into_tensor_arg(), flow.into_tensor_arg());
    grid_sample_kernel::launch(&y.client, count, dim, x, flow, y.clone().into_buffer_arg());
    y
}

/// Its gradient by the flow.
pub(super) fn flow_gradient(x: CubeTensor, flow: CubeTensor, output: CubeTensor) -> CubeTensor {
    let [batch, _, height, width] = x.shape().dims();
    let gradient = empty(&x, [batch, 2, height, width]);
    let (count, dim) = element_wise(&x, batch * height * width);
    flow_gradient_kernel::launch(
        &gradient.client,
        count,
        dim,
        x.into_tensor_arg(),
        flow.into_tensor_arg(),
        output.into_tensor_arg(),
        gradient.clone().into_buffer_arg(),
    );
    gradient
}

/// A place in `[batch, channels, h, w]`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Place {
    pub(super) image: usize,
    pub(super) channel: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// The place of the `n`th number of a planar tensor of so many channels, of `like`'s height and width.
#[cube]
pub(super) fn place(n: usize, like: &Tensor<f32>, channels: usize) -> Place {
    let (height, width) = (like.shape(2), like.shape(3));
    let plane = n / (width * height);
    Place { image: plane / channels, channel: plane % channels, row: (n / width) % height, column: n % width }
}

/// Where a planar tensor of so many channels, of `like`'s height and width, has the place's pixel in `channel`.
#[cube]
fn target(like: &Tensor<f32>, place: &Place, channel: usize, channels: usize) -> usize {
    let row = (place.image * channels + channel) * like.shape(2) + place.row;
    row * like.shape(3) + place.column
}

/// Where the first channel's number at the place lies.
#[cube]
fn first(tensor: &Tensor<f32>, place: &Place) -> usize {
    place.image * tensor.stride(0) + place.row * tensor.stride(2) + place.column * tensor.stride(3)
}

#[cube]
pub(super) fn at(tensor: &Tensor<f32>, place: &Place) -> f32 {
    tensor[first(tensor, place) + place.channel * tensor.stride(1)]
}

#[cube(launch)]
fn logistic_kernel(x: &Tensor<f32>, y: &mut [f32], low: f32, high: f32, steepness: f32) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, x, x.shape(1));
    // Either way the exponential is of what is not positive: it does not overflow.
    let value = steepness * at(x, &place);
    let small = (-value.abs()).exp();
    let near = 1.0f32 / (1.0f32 + small);
    let share = select(value >= 0.0f32, near, small * near);
    y[ABSOLUTE_POS] = low + (high - low) * share;
}

#[cube(launch)]
fn logistic_gradient_kernel(
    y: &Tensor<f32>,
    output: &Tensor<f32>,
    gradient: &mut [f32],
    low: f32,
    high: f32,
    factor: f32,
) {
    if ABSOLUTE_POS >= gradient.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, y, y.shape(1));
    let value = at(y, &place);
    gradient[ABSOLUTE_POS] = (value - low) * (high - value) * factor * at(output, &place);
}

#[cube(launch)]
fn blend_kernel(below: &Tensor<f32>, mask: &Tensor<f32>, above: &Tensor<f32>, y: &mut [f32]) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, below, below.shape(1));
    let under = at(below, &place);
    y[ABSOLUTE_POS] = under + mask[first(mask, &place)] * (at(above, &place) - under);
}

#[cube(launch)]
fn blend_backward_kernel(
    below: &Tensor<f32>,
    mask: &Tensor<f32>,
    above: &Tensor<f32>,
    output: &Tensor<f32>,
    by_below: &mut [f32],
    by_mask: &mut [f32],
    by_above: &mut [f32],
) {
    if ABSOLUTE_POS >= by_mask.len() {
        terminate!();
    }
    let channels = below.shape(1);
    let place = place(ABSOLUTE_POS, below, 1usize);
    let share = mask[first(mask, &place)];
    let mut sum = 0.0f32;
    for channel in 0..channels {
        let here = first(output, &place) + channel * output.stride(1);
        let under = first(below, &place) + channel * below.stride(1);
        let over = first(above, &place) + channel * above.stride(1);
        let gradient = output[here];
        sum += gradient * (above[over] - below[under]);
        let target = target(below, &place, channel, channels);
        by_below[target] = gradient - share * gradient;
        by_above[target] = share * gradient;
    }
    by_mask[ABSOLUTE_POS] = sum;
}

/// How an axis of `size` pixels is sampled: the pixels at both sides, the way between them, and the slope of the
/// position by the flow, 0 where the border holds it.
#[derive(CubeType, Clone, Copy)]
struct Axis {
    low: usize,
    high: usize,
    fraction: f32,
    slope: f32,
}

#[cube]
fn axis(flow: f32, pixel: usize, size: usize) -> Axis {
    let half = f32::cast_from(size) * 0.5f32;
    let wanted = flow * half + f32::cast_from(pixel);
    let last = f32::cast_from(size - 1);
    let position = clamp(wanted, 0.0f32, last);
    let low = position.floor();
    Axis {
        low: usize::cast_from(low),
        high: usize::cast_from(min(low + 1.0f32, last)),
        fraction: position - low,
        slope: select(wanted == position, half, 0.0f32),
    }
}

#[cube]
fn axes(flow: &Tensor<f32>, place: &Place) -> (Axis, Axis) {
    let along = flow[first(flow, place)];
    let down = flow[first(flow, place) + flow.stride(1)];
    (axis(along, place.column, flow.shape(3)), axis(down, place.row, flow.shape(2)))
}

#[cube(launch)]
fn grid_sample_kernel(x: &Tensor<f32>, flow: &Tensor<f32>, y: &mut [f32]) {
    let channels = x.shape(1);
    if ABSOLUTE_POS * channels >= y.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, x, 1usize);
    let (along, down) = axes(flow, &place);
    for channel in 0..channels {
        let base = place.image * x.stride(0) + channel * x.stride(1);
        let upper = base + down.low * x.stride(2);
        let lower = base + down.high * x.stride(2);
        let (left, right) = (along.low * x.stride(3), along.high * x.stride(3));
        let top = x[upper + left] + (x[upper + right] - x[upper + left]) * along.fraction;
        let bottom = x[lower + left] + (x[lower + right] - x[lower + left]) * along.fraction;
        let target = target(x, &place, channel, channels);
        y[target] = top + (bottom - top) * down.fraction;
    }
}

#[cube(launch)]
fn flow_gradient_kernel(x: &Tensor<f32>, flow: &Tensor<f32>, output: &Tensor<f32>, gradient: &mut [f32]) {
    if ABSOLUTE_POS * 2usize >= gradient.len() {
        terminate!();
    }
    let place = place(ABSOLUTE_POS, x, 1usize);
    let (along, down) = axes(flow, &place);
    let mut by_along = 0.0f32;
    let mut by_down = 0.0f32;
    for channel in 0..x.shape(1) {
        let base = place.image * x.stride(0) + channel * x.stride(1);
        let upper = base + down.low * x.stride(2);
        let lower = base + down.high * x.stride(2);
        let (left, right) = (along.low * x.stride(3), along.high * x.stride(3));
        let (a, b, c, d) = (x[upper + left], x[upper + right], x[lower + left], x[lower + right]);
        let through = output[first(output, &place) + channel * output.stride(1)];
        let across = (b - a) + ((d - c) - (b - a)) * down.fraction;
        let below = (c - a) + ((d - b) - (c - a)) * along.fraction;
        by_along += across * through;
        by_down += below * through;
    }
    gradient[target(x, &place, 0usize, 2usize)] = by_along * along.slope;
    gradient[target(x, &place, 1usize, 2usize)] = by_down * down.slope;
}
