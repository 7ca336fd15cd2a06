//! Convolutions and products of matrices in f32, each sum in the same order every time.
//!
//! All of them are one kernel: a product of two matrices that are nowhere whole, but whose numbers are gathered from where
//! they lie. [`Kind`] says what the two are. A cube makes a tile of the product, in steps of [`DEPTH`] that its units fetch
//! into shared memory; where the product has few tiles, what is summed over is divided into parts, which are added in order.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{element_wise, empty};
use crate::Step;

/// A cube has as many units in a column and in a row,
const SIDE: u32 = 16;
const UNITS: u32 = SIDE * SIDE;
/// and each unit makes so many numbers of a row of the tile,
const ALONG: u32 = 4;
/// so a tile has so many columns.
const WIDE: u32 = SIDE * ALONG;
/// How much of what is summed over is in shared memory at a time,
const DEPTH: u32 = 16;
/// and is in a part at least, where it is divided
const PART: usize = 256;
/// because there are fewer cubes than these. It decides how sums are rounded, so it is the same on all GPUs.
const CUBES: usize = 512;
/// The most cubes in a row of the grid: WebGPU allows 65,535.
const ACROSS: usize = 32768;

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The weight, `[out, in taps]`, by the input's patches, `[in taps, batch positions]`.
    Convolution,
    /// The weight, `[in, out taps]`, by the output's patches, `[out taps, batch pixels]`. Of the pixels those that have the
    /// same remainders by the stride are a product of their own: the same taps reach them.
    InputGradient,
    /// The output, `[out, batch positions]`, by the input's patches, `[batch positions, in taps]`.
    WeightGradient,
    /// `[batch, m, k]` by `[batch, k, n]`.
    Matrices,
}

/// What a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Problem {
    kind: Kind,
    /// Height and width of a convolution's kernel.
    kernel: [u32; 2],
    stride: u32,
    padding: u32,
    /// How many numbers a unit makes of a column of the tile.
    down: u32,
    biased: bool,
    /// Whether the numbers that are summed over lie side by side in the left and in the right matrix.
    deep: [bool; 2],
}

impl Problem {
    fn convolution(kind: Kind, kernel: [usize; 2], step: Step, deep: [bool; 2]) -> Self {
        let kernel = kernel.map(|side| side as u32);
        let (stride, padding) = (step.stride as u32, step.padding as u32);
        Self { kind, kernel, stride, padding, down: 0, biased: false, deep }
    }

    /// The kernel's sides; of those that reach a pixel where only every `stride`th does.
    fn taps(&self) -> [u32; 2] {
        match self.kind {
            Kind::InputGradient => self.kernel.map(|side| side.div_ceil(self.stride)),
            _ => self.kernel,
        }
    }
}

/// The sizes of a product.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    rows: u32,
    columns: u32,
    /// Over how much is summed, and how much of it in a part.
    depth: u32,
    part: u32,
    parts: u32,
    /// The numbers of the whole result.
    numbers: u32,
    /// Tiles in a column, and in a row of the grid.
    tiles: u32,
    across: u32,
    /// Of a convolution: the channels of input and output, and their sides.
    inputs: u32,
    outputs: u32,
    height: u32,
    width: u32,
    map_height: u32,
    map_width: u32,
}

/// `[batch, in, h, w]` by `[out, in, kh, kw]`.
pub(super) fn convolution(
    x: CubeTensor,
    weight: CubeTensor,
    bias: Option<CubeTensor>,
    step: Step,
) -> CubeTensor {
    let ([batch, inputs, height, width], [outputs, _, kh, kw]) = (x.shape().dims(), weight.shape().dims());
    let side = |size: usize, kernel: usize| (size + 2 * step.padding - kernel) / step.stride + 1;
    let map = [batch, outputs, side(height, kh), side(width, kw)];
    let problem = Problem::convolution(Kind::Convolution, [kh, kw], step, [true, false]);
    let shapes = [[batch, inputs, height, width], map];
    launch([weight, x], bias, problem, [outputs, map[2] * map[3] * batch, inputs * kh * kw, 1], shapes, map)
}

/// The gradient of [`convolution`] by its input of this shape, of `output` and the weight `[out, in, kh, kw]`.
pub(super) fn input_gradient(
    output: CubeTensor,
    weight: CubeTensor,
    shape: [usize; 4],
    step: Step,
) -> CubeTensor {
    let ([batch, inputs, height, width], [outputs, _, kh, kw]) = (shape, weight.shape().dims());
    let problem = Problem::convolution(Kind::InputGradient, [kh, kw], step, [true, false]);
    let taps: u32 = problem.taps().iter().product();
    let pixels = batch * height.div_ceil(step.stride) * width.div_ceil(step.stride);
    let shapes = [shape, output.shape().dims()];
    let sizes = [inputs, pixels, outputs * taps as usize, step.stride * step.stride];
    launch([weight, output], None, problem, sizes, shapes, shape)
}

/// The gradient of [`convolution`] by its weight of this shape, of `output` and input.
pub(super) fn weight_gradient(
    output: CubeTensor,
    x: CubeTensor,
    shape: [usize; 4],
    step: Step,
) -> CubeTensor {
    let [outputs, inputs, kh, kw] = shape;
    let problem = Problem::convolution(Kind::WeightGradient, [kh, kw], step, [true, true]);
    let shapes: [[usize; 4]; 2] = [x.shape().dims(), output.shape().dims()];
    let [batch, _, map_height, map_width] = shapes[1];
    let sizes = [outputs, inputs * kh * kw, batch * map_height * map_width, 1];
    launch([output, x], None, problem, sizes, shapes, shape)
}

/// `[batch, m, k]` by `[batch, k, n]`, each as it is or with its sides swapped.
pub(super) fn matrices(left: CubeTensor, right: CubeTensor) -> CubeTensor {
    let ([batch, m, k], [_, _, n]) = (left.shape().dims(), right.shape().dims());
    let (left, left_swapped) = plain(left);
    let (right, right_swapped) = plain(right);
    let kind = Kind::Matrices;
    let deep = [!left_swapped, right_swapped];
    let problem = Problem { kind, kernel: [1; 2], stride: 1, padding: 0, down: 0, biased: false, deep };
    launch([left, right], None, problem, [m, n, k, batch], [[0; 4]; 2], [batch, m, n])
}

/// The numbers of matrices in a row, and whether those of a column lie side by side.
fn plain(x: CubeTensor) -> (CubeTensor, bool) {
    let ([_, rows, columns], strides) = (x.shape().dims::<3>(), x.meta.strides());
    if strides[1] == 1 && strides[2] == rows && strides[0] == rows * columns && rows > 1 {
        let mut swapped = x;
        swapped.meta.swap(1, 2);
        (swapped, true)
    } else {
        (into_contiguous(x), false)
    }
}

/// Launches what makes `shape` of the two matrices; `sizes` are rows, columns, what is summed over, and how many products
/// there are; `shapes` those of a convolution's input and output.
fn launch<const D: usize>(
    [left, right]: [CubeTensor; 2],
    bias: Option<CubeTensor>,
    problem: Problem,
    [rows, columns, depth, products]: [usize; 4],
    [x, map]: [[usize; 4]; 2],
    shape: [usize; D],
) -> CubeTensor {
    let down = (rows as u32).div_ceil(SIDE).clamp(1, 8).next_power_of_two();
    let problem = Problem { down, biased: bias.is_some(), ..problem };
    let tiles = [rows.div_ceil((down * SIDE) as usize), columns.div_ceil(WIDE as usize)];
    let cubes = tiles[0] * tiles[1] * products;
    let parts = CUBES.div_ceil(cubes).min(depth / PART).max(1);
    let part = depth.div_ceil(parts).next_multiple_of(DEPTH as usize);
    let parts = depth.div_ceil(part);
    let across = tiles[1].min(ACROSS);
    let numbers: usize = shape.iter().product();
    let product = empty(&left, shape);
    let partial = if parts > 1 { empty(&left, [parts * numbers]) } else { product.clone() };
    let size = |n: usize| n as u32;
    let sizes = SizesLaunch::new(
        size(rows),
        size(columns),
        size(depth),
        size(part),
        size(parts),
        size(numbers),
        size(tiles[0]),
        size(across),
        size(x[1]),
        size(map[1]),
        size(x[2]),
        size(x[3]),
        size(map[2]),
        size(map[3]),
    );
    let [left, right] = [left, right].map(into_contiguous);
    let bias = bias.map_or_else(|| left.clone(), into_contiguous); // there must be something
    product_kernel::launch(
        &product.client,
        CubeCount::new_3d(size(across), size(tiles[1].div_ceil(across)), size(tiles[0] * parts * products)),
        CubeDim::new_2d(SIDE, SIDE),
        left.into_buffer_arg(),
        right.into_buffer_arg(),
        bias.into_buffer_arg(),
        partial.clone().into_buffer_arg(),
        sizes,
        problem,
    );
    if parts > 1 {
        let (count, dim) = element_wise(&product, numbers);
        parts_kernel::launch(
            &product.client,
            count,
            dim,
            partial.into_buffer_arg(),
            product.clone().into_buffer_arg(),
            size(parts),
        );
    }
    product
}

#[cube(launch)]
#[allow(clippy::collapsible_if)] // what is known when a kernel is compiled stands by itself
fn product_kernel(
    left: &[f32],
    right: &[f32],
    bias: &[f32],
    product: &mut [f32],
    sizes: &Sizes,
    #[comptime] problem: Problem,
) {
    let tall = comptime!(SIDE * problem.down);
    // A number more to a row: units that write a column do not wait for the same bank.
    let left_row = comptime!(tall + 1);
    let right_row = comptime!(WIDE + 1);
    let mut lefts = Shared::<[f32]>::new_slice(comptime!((DEPTH * left_row) as usize));
    let mut rights = Shared::<[f32]>::new_slice(comptime!((DEPTH * right_row) as usize));
    let first_column = (CUBE_POS_Y * sizes.across + CUBE_POS_X) * WIDE;
    let first_row = CUBE_POS_Z % sizes.tiles * tall;
    let part = CUBE_POS_Z / sizes.tiles % sizes.parts;
    let which = CUBE_POS_Z / sizes.tiles / sizes.parts;
    let end = min((part + 1u32) * sizes.part, sizes.depth);

    let mut sums = Array::<f32>::new(comptime!((problem.down * ALONG) as usize));
    #[unroll]
    for n in 0..comptime!(problem.down * ALONG) {
        sums[n as usize] = 0.0f32;
    }
    let mut depth = part * sizes.part;
    while depth < end {
        #[unroll]
        for n in 0..comptime!(DEPTH * tall / UNITS) {
            let place = UNIT_POS + n * UNITS;
            let k = if comptime!(problem.deep[0]) { place % DEPTH } else { place / tall };
            let row = if comptime!(problem.deep[0]) { place / DEPTH } else { place % tall };
            let value = left_at(left, first_row + row, depth + k, which, end, sizes, problem);
            lefts[(k * left_row + row) as usize] = value;
        }
        #[unroll]
        for n in 0..comptime!(DEPTH * WIDE / UNITS) {
            let place = UNIT_POS + n * UNITS;
            let k = if comptime!(problem.deep[1]) { place % DEPTH } else { place / WIDE };
            let column = if comptime!(problem.deep[1]) { place / DEPTH } else { place % WIDE };
            let value = right_at(right, depth + k, first_column + column, which, end, sizes, problem);
            rights[(k * right_row + column) as usize] = value;
        }
        sync_cube();
        #[unroll]
        for k in 0..DEPTH {
            let mut values = Array::<f32>::new(comptime!(ALONG as usize));
            #[unroll]
            for along in 0..ALONG {
                values[along as usize] = rights[(k * right_row + UNIT_POS_X + along * SIDE) as usize];
            }
            #[unroll]
            for down in 0..comptime!(problem.down) {
                let factor = lefts[(k * left_row + UNIT_POS_Y + down * SIDE) as usize];
                #[unroll]
                for along in 0..ALONG {
                    sums[(down * ALONG + along) as usize] += factor * values[along as usize];
                }
            }
        }
        sync_cube();
        depth += DEPTH;
    }
    #[unroll]
    for down in 0..comptime!(problem.down) {
        let row = first_row + UNIT_POS_Y + down * SIDE;
        let mut shift = 0.0f32;
        if comptime!(problem.biased) {
            if row < sizes.rows && part == 0u32 {
                shift = bias[row as usize];
            }
        }
        #[unroll]
        for along in 0..ALONG {
            let column = first_column + UNIT_POS_X + along * SIDE;
            let place = place_of(row, column, which, sizes, problem);
            if row < sizes.rows && column < sizes.columns && place < sizes.numbers {
                product[(part * sizes.numbers + place) as usize] =
                    sums[(down * ALONG + along) as usize] + shift;
            }
        }
    }
}

/// A number of the left matrix of the `which`th product, 0 beyond its end and that of the part.
#[cube]
fn left_at(
    left: &[f32],
    row: u32,
    k: u32,
    which: u32,
    end: u32,
    sizes: &Sizes,
    #[comptime] problem: Problem,
) -> f32 {
    let taps = comptime!(problem.kernel[0] * problem.kernel[1]);
    let mut value = 0.0f32;
    if row < sizes.rows && k < end {
        if comptime!(problem.kind == Kind::Convolution) {
            value = left[(row * sizes.depth + k) as usize];
        } else if comptime!(problem.kind == Kind::InputGradient) {
            let reach = comptime!(problem.taps());
            let channel = k / comptime!(reach[0] * reach[1]);
            let tap = k % comptime!(reach[0] * reach[1]);
            let down =
                tap / comptime!(reach[1]) * problem.stride + first_tap(which / problem.stride, problem);
            let along =
                tap % comptime!(reach[1]) * problem.stride + first_tap(which % problem.stride, problem);
            if down < problem.kernel[0] && along < problem.kernel[1] {
                let tap = down * problem.kernel[1] + along;
                value = left[((channel * sizes.inputs + row) * taps + tap) as usize];
            }
        } else if comptime!(problem.kind == Kind::WeightGradient) {
            let plane = sizes.map_height * sizes.map_width;
            value = left[((k / plane * sizes.outputs + row) * plane + k % plane) as usize];
        } else {
            let first = which * sizes.rows * sizes.depth;
            let place = if comptime!(problem.deep[0]) { row * sizes.depth + k } else { k * sizes.rows + row };
            value = left[(first + place) as usize];
        }
    }
    value
}

/// A number of the right matrix of the `which`th product, 0 beyond its end and that of the part, and in the padding.
///
/// What is divided does not depend on conditions, so that a compiler can do it once for all steps.
#[cube]
fn right_at(
    right: &[f32],
    k: u32,
    column: u32,
    which: u32,
    end: u32,
    sizes: &Sizes,
    #[comptime] problem: Problem,
) -> f32 {
    let mut value = 0.0f32;
    let is_there = k < end && column < sizes.columns;
    if comptime!(problem.kind == Kind::InputGradient) {
        let reach = comptime!(problem.taps());
        let channel = k / comptime!(reach[0] * reach[1]);
        let tap = k % comptime!(reach[0] * reach[1]);
        let rows = sizes.height.div_ceil(problem.stride);
        let columns = sizes.width.div_ceil(problem.stride);
        let image = column / (rows * columns);
        let pixel = column % (rows * columns);
        // Positions of the output plus those of the tap: no number is negative.
        let row = pixel / columns + (which / problem.stride + problem.padding) / problem.stride;
        let along = pixel % columns + (which % problem.stride + problem.padding) / problem.stride;
        let down_tap = tap / comptime!(reach[1]);
        let along_tap = tap % comptime!(reach[1]);
        let is_in = row >= down_tap
            && row - down_tap < sizes.map_height
            && along >= along_tap
            && along - along_tap < sizes.map_width;
        if is_there && is_in {
            let line = (image * sizes.outputs + channel) * sizes.map_height + row - down_tap;
            value = right[(line * sizes.map_width + along - along_tap) as usize];
        }
    } else if comptime!(problem.kind == Kind::Matrices) {
        if is_there {
            let first = which * sizes.depth * sizes.columns;
            let place = if comptime!(problem.deep[1]) {
                column * sizes.depth + k
            } else {
                k * sizes.columns + column
            };
            value = right[(first + place) as usize];
        }
    } else {
        // What a tap of a channel sees from a position of the batch.
        let by_position = comptime!(problem.kind == Kind::Convolution);
        let position = if comptime!(by_position) { column } else { k };
        let tap = if comptime!(by_position) { k } else { column };
        let taps = comptime!(problem.kernel[0] * problem.kernel[1]);
        let plane = sizes.map_height * sizes.map_width;
        let image = position / plane;
        let row = position % plane / sizes.map_width * problem.stride + tap % taps / problem.kernel[1];
        let along = position % plane % sizes.map_width * problem.stride + tap % problem.kernel[1];
        let is_in = row >= problem.padding
            && row - problem.padding < sizes.height
            && along >= problem.padding
            && along - problem.padding < sizes.width;
        if is_there && is_in {
            let line = (image * sizes.inputs + tap / taps) * sizes.height + row - problem.padding;
            value = right[(line * sizes.width + along - problem.padding) as usize];
        }
    }
    value
}

/// The first of a kernel's taps that reach a pixel of this remainder by the stride.
#[cube]
fn first_tap(remainder: u32, #[comptime] problem: Problem) -> u32 {
    (remainder + problem.padding) % problem.stride
}

/// Where a number of the `which`th product belongs; beyond the end if nowhere.
#[cube]
fn place_of(row: u32, column: u32, which: u32, sizes: &Sizes, #[comptime] problem: Problem) -> u32 {
    if comptime!(problem.kind == Kind::Convolution) {
        let plane = sizes.map_height * sizes.map_width;
        (column / plane * sizes.outputs + row) * plane + column % plane
    } else if comptime!(problem.kind == Kind::InputGradient) {
        let rows = sizes.height.div_ceil(problem.stride);
        let columns = sizes.width.div_ceil(problem.stride);
        let pixel = column % (rows * columns);
        let y = pixel / columns * problem.stride + which / problem.stride;
        let x = pixel % columns * problem.stride + which % problem.stride;
        let line = (column / (rows * columns) * sizes.inputs + row) * sizes.height + y;
        select(y < sizes.height && x < sizes.width, line * sizes.width + x, sizes.numbers)
    } else {
        (which * sizes.rows + row) * sizes.columns + column
    }
}

/// The sum of all parts of each number, the first first.
#[cube(launch)]
fn parts_kernel(parts: &[f32], sums: &mut [f32], count: u32) {
    if ABSOLUTE_POS >= sums.len() {
        terminate!();
    }
    let mut sum = 0.0f32;
    for part in 0..count {
        sum += parts[part as usize * sums.len() + ABSOLUTE_POS];
    }
    sums[ABSOLUTE_POS] = sum;
}
