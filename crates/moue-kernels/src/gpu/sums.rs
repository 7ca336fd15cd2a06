//! Sums of each channel, and the leaky ReLU whose gradients need them.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{
    Extent, LANES, Layout, dense, element_wise, empty, empty_laid, extent, is_first, laid, lies_at, memory,
    sum_of_units, summing, walk, walks,
};

/// Cubes that the sums over a batch are shared by, where channels are interleaved and there is enough to do.
const CUBES: usize = 256;
/// Positions that each of them has at least.
const EACH: usize = 16;

/// The sum of each channel of `[batch, channels, h, w]`.
pub(super) fn channel_sums(x: CubeTensor) -> CubeTensor {
    let (x, layout) = dense(x);
    let ([batch, channels, ..], extent) = (x.shape().dims::<4>(), extent(&x, layout));
    let shares = shares(&x, layout);
    let sums = empty(&x, [batch * shares, channels]);
    let (count, dim) = walks(&x, channels, batch * shares, layout);
    sums_kernel::launch(
        &sums.client,
        count,
        dim,
        memory(x, layout),
        sums.clone().into_buffer_arg(),
        extent,
        shares as u32,
        dim.num_elems() as usize,
        layout.is_interleaved(),
    );
    let [sums, ..] = totals([sums.clone(), sums], shares);
    sums
}

/// `x scale + bias`, of what is negative only `slope`.
pub(super) fn leaky_relu(x: CubeTensor, scale: CubeTensor, bias: CubeTensor, slope: f32) -> CubeTensor {
    let (x, layout) = dense(x);
    let y = empty_laid(&x, x.shape().dims(), layout);
    let extent = extent(&x, layout);
    let (count, dim) = element_wise(&x, x.meta.num_elements());
    leaky_relu_kernel::launch(
        &y.client,
        count,
        dim,
        memory(x, layout),
        scale.into_buffer_arg(),
        into_contiguous(bias).into_buffer_arg(),
        memory(y.clone(), layout),
        extent,
        slope,
        layout.is_interleaved(),
    );
    y
}

/// The gradients of input, scale and bias; `y` is what the forward gave.
pub(super) fn leaky_relu_backward(
    x: CubeTensor,
    scale: CubeTensor,
    y: CubeTensor,
    output: CubeTensor,
    slope: f32,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let (x, layout) = dense(x);
    let [y, output] = [y, output].map(|tensor| laid(tensor, layout));
    let ([batch, channels, ..], extent) = (x.shape().dims::<4>(), extent(&x, layout));
    let gradient = empty_laid(&x, x.shape().dims(), layout);
    let shares = shares(&x, layout);
    let [sums, products] = [(); 2].map(|()| empty(&x, [batch * shares, channels]));
    let (count, dim) = walks(&x, channels, batch * shares, layout);
    leaky_relu_backward_kernel::launch(
        &gradient.client,
        count,
        dim,
        memory(x, layout),
        scale.into_buffer_arg(),
        memory(y, layout),
        memory(output, layout),
        memory(gradient.clone(), layout),
        sums.clone().into_buffer_arg(),
        products.clone().into_buffer_arg(),
        extent,
        shares as u32,
        slope,
        dim.num_elems() as usize,
        layout.is_interleaved(),
    );
    let [by_bias, _, by_scale] = totals([sums, products], shares);
    (gradient, by_scale, by_bias)
}

/// The sums over the rows of two tensors `[images * shares, channels]`, `[channels]`, and the sum of all of the second,
/// `[1]`. One cube, so that they are added in the same order each time.
///
/// An image's shares are added first, then each image to its like in the batch's other half. So what the first half adds
/// and the second takes away is gone to the last bit: a critic's last bias, which sees real images and then as many fakes,
/// has no gradient, and Adam would make a whole step of what rounding leaves.
pub(super) fn totals([first, second]: [CubeTensor; 2], shares: usize) -> [CubeTensor; 3] {
    let [rows, channels] = first.shape().dims();
    let sums = [empty(&first, [channels]), empty(&first, [channels]), empty(&first, [1])];
    let units = summing(&first);
    totals_kernel::launch(
        &sums[0].client,
        CubeCount::new_single(),
        CubeDim::new_2d(LANES, units / LANES),
        first.into_buffer_arg(),
        second.into_buffer_arg(),
        sums[0].clone().into_buffer_arg(),
        sums[1].clone().into_buffer_arg(),
        sums[2].clone().into_buffer_arg(),
        channels as u32,
        (rows / shares) as u32,
        shares as u32,
        units as usize,
    );
    sums
}

/// Shares of an image whose sums are made apart, where channels are interleaved: what keeps the GPU busy.
fn shares(x: &CubeTensor, layout: Layout) -> usize {
    let [batch, channels, height, width] = x.shape().dims();
    match layout {
        Layout::Planar => 1,
        Layout::Interleaved { .. } => {
            let most = (height * width).div_ceil(EACH);
            (CUBES / (batch * channels.div_ceil(LANES as usize))).clamp(1, most)
        }
    }
}

#[cube(launch)]
fn sums_kernel(
    x: &[f32],
    sums: &mut [f32],
    extent: &Extent,
    shares: u32,
    #[comptime] units: usize,
    #[comptime] interleaved: bool,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let walk = walk(extent, shares, interleaved);
    let mut sum = 0.0f32;
    let mut position = walk.first;
    while position < walk.end {
        sum += x[(walk.base + position * walk.stride) as usize];
        position += walk.step;
    }
    let sum = sum_of_units(sum, &mut shared, interleaved);
    if is_first(&walk, extent, interleaved) {
        sums[(CUBE_POS_Y * extent.channels + walk.channel) as usize] = sum;
    }
}

#[cube(launch)]
fn leaky_relu_kernel(
    x: &[f32],
    scale: &[f32],
    bias: &[f32],
    y: &mut [f32],
    extent: &Extent,
    slope: f32,
    #[comptime] interleaved: bool,
) {
    let number = ABSOLUTE_POS as u32;
    if number >= extent.numbers {
        terminate!();
    }
    let channel = if comptime!(interleaved) {
        number % extent.channels
    } else {
        number / extent.plane % extent.channels
    };
    let place = lies_at(number, extent, interleaved) as usize;
    let value = x[place] * scale[0] + bias[channel as usize];
    y[place] = select(value > 0.0f32, value, value * slope);
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn leaky_relu_backward_kernel(
    x: &[f32],
    scale: &[f32],
    y: &[f32],
    output: &[f32],
    gradient: &mut [f32],
    sums: &mut [f32],
    products: &mut [f32],
    extent: &Extent,
    shares: u32,
    slope: f32,
    #[comptime] units: usize,
    #[comptime] interleaved: bool,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let walk = walk(extent, shares, interleaved);
    let factor = scale[0];
    let mut sum = 0.0f32;
    let mut product = 0.0f32;
    let mut position = walk.first;
    while position < walk.end {
        let place = (walk.base + position * walk.stride) as usize;
        let through = output[place] * select(y[place] > 0.0f32, 1.0f32, slope);
        sum += through;
        product += through * x[place];
        gradient[place] = through * factor;
        position += walk.step;
    }
    let sum = sum_of_units(sum, &mut shared, interleaved);
    let product = sum_of_units(product, &mut shared, interleaved);
    if is_first(&walk, extent, interleaved) {
        let row = (CUBE_POS_Y * extent.channels + walk.channel) as usize;
        sums[row] = sum;
        products[row] = product;
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments)]
fn totals_kernel(
    first: &[f32],
    second: &[f32],
    first_sums: &mut [f32],
    second_sums: &mut [f32],
    total: &mut [f32],
    channels: u32,
    images: u32,
    shares: u32,
    #[comptime] units: usize,
) {
    let mut shared = Shared::<[f32]>::new_slice(units);
    let mut all = 0.0f32;
    let mut channel = UNIT_POS;
    while channel < channels {
        let mut one = 0.0f32;
        let mut two = 0.0f32;
        let half = images.div_ceil(2u32);
        for image in 0..half {
            let mut of_two = sum_of_image(first, image, channel, channels, shares);
            let mut other = sum_of_image(second, image, channel, channels, shares);
            if image + half < images {
                of_two += sum_of_image(first, image + half, channel, channels, shares);
                other += sum_of_image(second, image + half, channel, channels, shares);
            }
            one += of_two;
            two += other;
        }
        first_sums[channel as usize] = one;
        second_sums[channel as usize] = two;
        all += two;
        channel += CUBE_DIM;
    }
    let all = sum_of_units(all, &mut shared, false);
    if UNIT_POS == 0u32 {
        total[0] = all;
    }
}

/// The sum of a channel's shares of an image.
#[cube]
fn sum_of_image(rows: &[f32], image: u32, channel: u32, channels: u32, shares: u32) -> f32 {
    let mut sum = 0.0f32;
    let mut place = image * shares * channels + channel;
    for _ in 0..shares {
        sum += rows[place as usize];
        place += channels;
    }
    sum
}
