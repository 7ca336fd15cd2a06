//! How images and maps lie in a GPU's memory, and how a kernel's units walk over them.

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of a cube side by side: what a warp reads of a channel-last map at once.
pub(super) const LANES: u32 = 32;
/// Units of a cube of an element-wise kernel.
const UNITS: u32 = 256;

/// How the numbers of `[batch, channels, h, w]` lie in memory, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A channel's plane after the other.
    Planar,
    /// The channels of a pixel together, as burn's convolutions give them.
    Interleaved,
}

impl Layout {
    /// Of a tensor; none where its numbers lie otherwise.
    fn of(x: &CubeTensor) -> Option<Self> {
        let [_, channels, height, width] = x.meta.shape().dims();
        let lies = |strides: [usize; 4]| {
            let dims = x.meta.shape().iter().zip(x.meta.strides().iter()).zip(strides);
            dims.into_iter().all(|((&size, &stride), wanted)| size == 1 || stride == wanted)
        };
        let plane = height * width;
        if lies([channels * plane, plane, width, 1]) {
            Some(Self::Planar)
        } else if lies([channels * plane, 1, width * channels, channels]) {
            Some(Self::Interleaved)
        } else {
            None
        }
    }

    pub(super) fn is_interleaved(self) -> bool {
        self == Self::Interleaved
    }
}

/// The numbers without gaps, in the layout that they have where it is one.
pub(super) fn dense(x: CubeTensor) -> (CubeTensor, Layout) {
    match Layout::of(&x) {
        Some(layout) => (x, layout),
        None => (into_contiguous(x), Layout::Planar),
    }
}

/// The same numbers in the layout.
pub(super) fn laid(x: CubeTensor, layout: Layout) -> CubeTensor {
    match layout {
        _ if Layout::of(&x) == Some(layout) => x,
        Layout::Planar => into_contiguous(x),
        Layout::Interleaved => permute_nhwc_to_nchw(into_contiguous(permute_nchw_to_nhwc(x))),
    }
}

/// A tensor of this shape beside `x`, whose numbers are still to be written, without gaps.
pub(super) fn empty<const D: usize>(x: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), Shape::from(shape), DType::F32)
}

/// [`empty`] of four dimensions in the layout.
pub(super) fn empty_laid(x: &CubeTensor, shape: [usize; 4], layout: Layout) -> CubeTensor {
    let [batch, channels, height, width] = shape;
    match layout {
        Layout::Planar => empty(x, shape),
        Layout::Interleaved => permute_nhwc_to_nchw(empty(x, [batch, height, width, channels])),
    }
}

/// The numbers in a row, in memory that nobody else holds, to be written over.
pub(super) fn owned(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    if x.can_mut() { x } else { x.copy() }
}

/// Cubes of so many units for a unit each for `elements`.
pub(super) fn element_wise(x: &CubeTensor, elements: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (cubecl::calculate_cube_count_elemwise(&x.client, elements, dim), dim)
}

/// Cubes that each walk over positions of a channel, or where channels are interleaved of [`LANES`] channels: `rows`
/// for each of these.
pub(super) fn walks(x: &CubeTensor, channels: usize, rows: usize, layout: Layout) -> (CubeCount, CubeDim) {
    let columns = if layout.is_interleaved() { channels.div_ceil(LANES as usize) } else { channels };
    let most = x.client.properties().hardware.max_units_per_cube / LANES;
    // A cube for 32 channels has more to do than one for a single plane.
    let height = if layout.is_interleaved() { most.clamp(1, 16) } else { most.clamp(1, 8) };
    let height = 1 << height.ilog2(); // sums are made by halves
    (CubeCount::new_2d(columns as u32, rows as u32), CubeDim::new_2d(LANES, height))
}

/// The way of a unit over the positions of its channel, for the cubes of [`walks`].
#[derive(CubeType, Clone, Copy)]
pub(super) struct Walk {
    pub(super) channel: u32,
    /// Its first position, how many it goes on each time, and where it ends.
    pub(super) first: u32,
    pub(super) step: u32,
    pub(super) end: u32,
    /// The place in memory of position 0, and of the next from there.
    pub(super) base: u32,
    pub(super) stride: u32,
}

/// Over the positions of the image of the cube's row.
#[cube]
pub(super) fn walk_over_image(channels: u32, plane: u32, #[comptime] interleaved: bool) -> Walk {
    let image = CUBE_POS_Y;
    if comptime!(interleaved) {
        let channel = CUBE_POS_X * LANES + UNIT_POS_X;
        Walk {
            channel,
            first: UNIT_POS_Y,
            step: CUBE_DIM_Y,
            end: select(channel < channels, plane, 0u32),
            base: image * plane * channels + channel,
            stride: channels,
        }
    } else {
        let channel = CUBE_POS_X;
        Walk {
            channel,
            first: UNIT_POS,
            step: CUBE_DIM,
            end: plane,
            base: (image * channels + channel) * plane,
            stride: 1u32.runtime(),
        }
    }
}

/// Over the positions of the cube's row of a batch: an image where channels are planar, else an equal share of all.
#[cube]
pub(super) fn walk_over_share(
    channels: u32,
    plane: u32,
    batch: u32,
    #[comptime] interleaved: bool,
) -> Walk {
    if comptime!(interleaved) {
        let channel = CUBE_POS_X * LANES + UNIT_POS_X;
        let positions = batch * plane;
        let share = (positions + CUBE_COUNT_Y - 1u32) / CUBE_COUNT_Y;
        let from = CUBE_POS_Y * share;
        let to = min(from + share, positions);
        Walk {
            channel,
            first: from + UNIT_POS_Y,
            step: CUBE_DIM_Y,
            end: select(channel < channels, to, 0u32),
            base: channel,
            stride: channels,
        }
    } else {
        walk_over_image(channels, plane, interleaved)
    }
}

/// The sum of each unit's `value` over a cube, or `by_lane` over its units of the same lane. Every unit takes part.
#[cube]
pub(super) fn sum_of_units(value: f32, shared: &mut Shared<[f32]>, #[comptime] by_lane: bool) -> f32 {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let last = comptime!(if by_lane { LANES } else { 1 });
    let mut half = CUBE_DIM / 2u32;
    while half >= last {
        if UNIT_POS < half {
            let other = shared[(UNIT_POS + half) as usize];
            shared[UNIT_POS as usize] += other;
        }
        sync_cube();
        half /= 2u32;
    }
    let place = if comptime!(by_lane) { UNIT_POS_X } else { 0u32.runtime() };
    let sum = shared[place as usize];
    sync_cube(); // before the next sum is written there
    sum
}
