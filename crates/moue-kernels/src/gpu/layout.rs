//! How images and maps lie in a GPU's memory, and how a kernel's units walk over them.

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::permute_nchw_to_nhwc;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::zspace::metadata::Metadata;
use cubecl::zspace::strides;

/// Units of a cube side by side: what a warp reads of a channel-last map at once.
pub(super) const LANES: u32 = 32;
/// Units of a cube of an element-wise kernel.
pub(super) const UNITS: u32 = 256;

/// How the numbers of `[batch, channels, h, w]` lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A channel's plane after the other, without gaps.
    Planar,
    /// The channels of a pixel together, as burn's convolutions give them, and from pixel to pixel `pitch` numbers: their
    /// rows begin where the GPU likes to read.
    Interleaved { pitch: usize },
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
        // The distance of two pixels, whichever axis has two.
        let (rows, columns) = (x.meta.strides()[2], x.meta.strides()[3]);
        let pitch = if width > 1 {
            columns
        } else if height > 1 {
            rows
        } else {
            channels
        };
        if lies([channels * plane, plane, width, 1]) {
            Some(Self::Planar)
        } else if pitch >= channels && lies([pitch * plane, 1, width * pitch, pitch]) {
            Some(Self::Interleaved { pitch })
        } else {
            None
        }
    }

    pub(super) fn is_interleaved(self) -> bool {
        self != Self::Planar
    }

    /// From pixel to pixel, for kernels that have it as a number.
    pub(super) fn pitch(self) -> u32 {
        match self {
            Self::Planar => 1,
            Self::Interleaved { pitch } => pitch as u32,
        }
    }
}

/// The tensor in the layout that it has, else planar.
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
        Layout::Interleaved { .. } => {
            let y = empty_laid(&x, x.meta.shape().dims(), layout);
            let [from, to] = [x, y.clone()].map(permute_nchw_to_nhwc);
            let client = y.client.clone();
            cubecl::std::tensor::copy_into(&client, from.binding(), to.binding(), f32::elem_type_native());
            y
        }
    }
}

/// A tensor of this shape beside `x`, whose numbers are still to be written, without gaps.
pub(super) fn empty<const D: usize>(x: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), Shape::from(shape), DType::F32)
}

/// [`empty`] of four dimensions in the layout.
pub(super) fn empty_laid(x: &CubeTensor, shape: [usize; 4], layout: Layout) -> CubeTensor {
    let Layout::Interleaved { pitch } = layout else { return empty(x, shape) };
    let [batch, _, height, width] = shape;
    let mut y = empty(x, [batch * height * width * pitch]);
    let strides = strides![height * width * pitch, 1, width * pitch, pitch];
    y.meta = Box::new(Metadata::new(Shape::from(shape), strides));
    y
}

/// The memory of a tensor in the layout, from its first number to its last.
pub(super) fn memory(x: CubeTensor, layout: Layout) -> BufferArg {
    let [batch, channels, height, width] = x.meta.shape().dims();
    let length = match layout {
        Layout::Planar => batch * channels * height * width,
        Layout::Interleaved { pitch } => (batch * height * width - 1) * pitch + channels,
    };
    let mut x = x;
    x.meta = Box::new(Metadata::new(Shape::from([length]), strides![1]));
    x.into_buffer_arg()
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

/// Units of a cube that makes a sum of what its units have, a power of two.
pub(super) fn summing(x: &CubeTensor) -> u32 {
    let units = x.client.properties().hardware.max_units_per_cube.min(UNITS);
    1 << units.ilog2()
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

/// How far a map `[batch, channels, h, w]` goes.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Extent {
    pub(super) numbers: u32,
    pub(super) channels: u32,
    /// The pixels of a channel.
    pub(super) plane: u32,
    /// From pixel to pixel in memory, where channels are interleaved.
    pub(super) pitch: u32,
}

/// [`Extent`] of a tensor in the layout.
pub(super) fn extent(x: &CubeTensor, layout: Layout) -> ExtentLaunch {
    let [batch, channels, height, width] = x.meta.shape().dims();
    let (plane, pitch) = (height * width, layout.pitch());
    ExtentLaunch::new((batch * channels * plane) as u32, channels as u32, plane as u32, pitch)
}

/// Where the `n`th number of a map lies in memory: its pixels' channels together, or everything in a row.
#[cube]
pub(super) fn lies_at(n: u32, extent: &Extent, #[comptime] interleaved: bool) -> u32 {
    if comptime!(interleaved) { n / extent.channels * extent.pitch + n % extent.channels } else { n }
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

/// Over the positions of the cube's row: those of an image, or where channels are interleaved one of so many `shares` of
/// them.
#[cube]
pub(super) fn walk(extent: &Extent, shares: u32, #[comptime] interleaved: bool) -> Walk {
    if comptime!(interleaved) {
        let channel = CUBE_POS_X * LANES + UNIT_POS_X;
        let length = extent.plane.div_ceil(shares);
        let from = CUBE_POS_Y % shares * length;
        let to = min(from + length, extent.plane);
        Walk {
            channel,
            first: from + UNIT_POS_Y,
            step: CUBE_DIM_Y,
            end: select(channel < extent.channels, to, 0u32),
            base: CUBE_POS_Y / shares * extent.plane * extent.pitch + channel,
            stride: extent.pitch,
        }
    } else {
        let channel = CUBE_POS_X;
        Walk {
            channel,
            first: UNIT_POS,
            step: CUBE_DIM,
            end: extent.plane,
            base: (CUBE_POS_Y * extent.channels + channel) * extent.plane,
            stride: 1u32.runtime(),
        }
    }
}

/// Whether the unit writes what its cube found for the channel that it walked over.
#[cube]
pub(super) fn is_first(walk: &Walk, extent: &Extent, #[comptime] interleaved: bool) -> bool {
    if comptime!(interleaved) {
        UNIT_POS_Y == 0u32 && walk.channel < extent.channels
    } else {
        UNIT_POS == 0u32
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
