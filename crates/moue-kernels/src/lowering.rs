//! Convolutions as products of matrices. One product serves as many samples as fit [`COLUMNS`], so a large weight is
//! read once for all of them, and not once for each.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::columns::{Group, Shapes};
use crate::matrix::{Matrix, Output, Scratch, multiply, written};
use crate::winograd;

/// The most that a column matrix takes, in numbers (8 MiB).
const COLUMNS: usize = 2 << 20;

/// Up to this many positions, products read and write the weight along its rows.
const FEW: usize = 32;

/// From this many positions a 1x1 convolution multiplies each sample where it lies.
const POINTWISE_POSITIONS: usize = 256;

/// The convolution of `image` by `weight` `[outer, patch]`: `[samples, outer, rows, columns]`.
pub(crate) fn gather(shapes: &Shapes, image: &[f32], weight: &[f32]) -> Vec<f32> {
    if let Some(plan) = winograd::plan(shapes) {
        return plan.gather(image, weight);
    }
    gather_columns(shapes, image, weight)
}

pub(crate) fn gather_columns(shapes: &Shapes, image: &[f32], weight: &[f32]) -> Vec<f32> {
    let (outer, patch, positions) = (shapes.outer, shapes.patch(), shapes.positions());
    let weight = Matrix::rows(weight, [outer, patch]);
    let fill = |map: &mut [MaybeUninit<f32>]| {
        for group in groups(shapes) {
            let width = shapes.width(&group);
            let columns = columns(shapes, image, &group);
            let columns = Matrix::rows(&columns, [patch, width]);
            if group.samples.len() == 1 {
                let output =
                    Output::uninitialised(&mut map[start(shapes, &group)..], [outer, width], [positions, 1]);
                multiply(output, false, weight, columns);
            } else {
                let mut product = Scratch::new(outer * width);
                multiply(Output::new(&mut product, [outer, width], [width, 1]), false, weight, columns);
                spread(&product, outer, positions, &mut map[group.samples.start * outer * positions..]);
            }
        }
    };
    // SAFETY: the groups cover every position of every sample, and each product writes all channels of its group.
    unsafe { written(shapes.samples * outer * positions, fill) }
}

/// The transpose of [`gather`]: from maps `[samples, outer, rows, columns]` to images.
pub(crate) fn scatter(shapes: &Shapes, map: &[f32], weight: &[f32]) -> Vec<f32> {
    if let Some(plan) = winograd::plan(shapes) {
        return plan.scatter(map, weight);
    }
    scatter_columns(shapes, map, weight)
}

pub(crate) fn scatter_columns(shapes: &Shapes, map: &[f32], weight: &[f32]) -> Vec<f32> {
    let (outer, patch) = (shapes.outer, shapes.patch());
    let weight = Matrix::rows(weight, [outer, patch]).transposed();
    if shapes.is_pointwise() && shapes.positions() >= POINTWISE_POSITIONS {
        return scatter_pointwise(shapes, map, weight);
    }
    let mut image = vec![0.0; shapes.samples * shapes.inner * shapes.pixels()];
    for group in groups(shapes) {
        let width = shapes.width(&group);
        let mut columns = Scratch::new(patch * width);
        let rows = rows(shapes, map, &group);
        if width <= FEW {
            // A large weight and few positions: the weight is read along its rows.
            let mut product = Scratch::new(patch * width);
            multiply(Output::new(&mut product, [patch, width], [1, patch]), false, weight, rows.matrix());
            transpose(&product, [width, patch], &mut columns);
        } else {
            multiply(Output::new(&mut columns, [patch, width], [width, 1]), false, weight, rows.matrix());
        }
        shapes.add_columns(&columns, &group, &mut image);
    }
    image
}

fn scatter_pointwise(shapes: &Shapes, map: &[f32], weight: Matrix<'_>) -> Vec<f32> {
    let (outer, inner, positions) = (shapes.outer, shapes.inner, shapes.positions());
    let fill = |image: &mut [MaybeUninit<f32>]| {
        for (image, map) in image.chunks_exact_mut(inner * positions).zip(map.chunks_exact(outer * positions))
        {
            let output = Output::uninitialised(image, [inner, positions], [positions, 1]);
            multiply(output, false, weight, Matrix::rows(map, [outer, positions]));
        }
    };
    // SAFETY: a pointwise convolution has as many pixels as positions, and each sample's product writes all of its own.
    unsafe { written(shapes.samples * inner * positions, fill) }
}

/// The gradient of the weight, `[outer, patch]`: the products of all maps and patches. The groups are added in order.
///
/// The product needs one factor with its rows, and not the summed positions, side by side. Of the two ways to get
/// there, transposing the columns or the result, this takes the one that moves fewer numbers.
pub(crate) fn weights(shapes: &Shapes, map: &[f32], image: &[f32]) -> Vec<f32> {
    assert!(shapes.samples > 0 && shapes.positions() > 0, "a convolution has outputs");
    if let Some(plan) = winograd::plan(shapes) {
        return plan.weights(map, image);
    }
    weights_columns(shapes, map, image)
}

pub(crate) fn weights_columns(shapes: &Shapes, map: &[f32], image: &[f32]) -> Vec<f32> {
    if shapes.samples * shapes.positions() <= shapes.outer {
        weights_of_few(shapes, map, image)
    } else {
        weights_of_many(shapes, map, image)
    }
}

/// Fewer positions than outputs: transposes the columns.
fn weights_of_few(shapes: &Shapes, map: &[f32], image: &[f32]) -> Vec<f32> {
    let (outer, patch) = (shapes.outer, shapes.patch());
    let fill = |weight: &mut [MaybeUninit<f32>]| {
        for (index, group) in groups(shapes).into_iter().enumerate() {
            let width = shapes.width(&group);
            let mut patches = Scratch::new(patch * width);
            transpose(&columns(shapes, image, &group), [patch, width], &mut patches);
            let patches = Matrix::rows(&patches, [width, patch]);
            let add = index > 0;
            let output = if add {
                // SAFETY: the first group's product initialised every element.
                Output::new(unsafe { weight.assume_init_mut() }, [outer, patch], [patch, 1])
            } else {
                Output::uninitialised(weight, [outer, patch], [patch, 1])
            };
            multiply(output, add, rows(shapes, map, &group).matrix(), patches);
        }
    };
    // SAFETY: `weights` checked that there is a group, and the first one's product writes every element.
    unsafe { written(outer * patch, fill) }
}

/// More positions than outputs: transposes the result.
fn weights_of_many(shapes: &Shapes, map: &[f32], image: &[f32]) -> Vec<f32> {
    let (outer, patch) = (shapes.outer, shapes.patch());
    let mut sum = Scratch::new(patch * outer);
    for (index, group) in groups(shapes).into_iter().enumerate() {
        let columns = columns(shapes, image, &group);
        let columns = Matrix::rows(&columns, [patch, shapes.width(&group)]).transposed();
        let output = Output::new(&mut sum, [outer, patch], [1, outer]);
        multiply(output, index > 0, rows(shapes, map, &group).matrix(), columns);
    }
    let mut weight = vec![0.0; outer * patch];
    transpose(&sum, [patch, outer], &mut weight);
    weight
}

fn groups(shapes: &Shapes) -> Vec<Group> {
    if shapes.is_pointwise() && shapes.positions() >= POINTWISE_POSITIONS {
        return (0..shapes.samples).map(|n| Group { samples: n..n + 1, rows: 0..shapes.map[0] }).collect();
    }
    shapes.groups(COLUMNS)
}

/// Numbers that lie where they should already, or a copy of them that does.
enum Columns<'a> {
    Borrowed(&'a [f32]),
    Copied(Scratch),
}

impl std::ops::Deref for Columns<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Borrowed(columns) => columns,
            Self::Copied(columns) => columns,
        }
    }
}

/// The column matrix of a group.
fn columns<'a>(shapes: &Shapes, image: &'a [f32], group: &Group) -> Columns<'a> {
    let sample = shapes.inner * shapes.pixels();
    if shapes.is_pointwise() && group.samples.len() == 1 && group.rows.len() == shapes.map[0] {
        return Columns::Borrowed(&image[group.samples.start * sample..][..sample]);
    }
    let mut columns = Scratch::new(shapes.patch() * shapes.width(group));
    shapes.write_columns(image, group, &mut columns);
    Columns::Copied(columns)
}

/// Where a group's positions start in the maps.
fn start(shapes: &Shapes, group: &Group) -> usize {
    group.samples.start * shapes.outer * shapes.positions() + group.rows.start * shapes.map[1]
}

/// The distances between channels and between positions where a group lies in the maps as one matrix.
fn in_place(shapes: &Shapes, group: &Group) -> Option<[usize; 2]> {
    match (shapes.positions(), group.samples.len()) {
        (positions, 1) => Some([positions, 1]),
        (1, _) => Some([1, shapes.outer]),
        _ => None,
    }
}

/// A group's part of the maps as a matrix `[outer, width]`.
struct Rows<'a> {
    numbers: Columns<'a>,
    shape: [usize; 2],
    strides: [usize; 2],
}

impl Rows<'_> {
    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.numbers, self.shape, self.strides)
    }
}

fn rows<'a>(shapes: &Shapes, map: &'a [f32], group: &Group) -> Rows<'a> {
    let (outer, positions, width) = (shapes.outer, shapes.positions(), shapes.width(group));
    let shape = [outer, width];
    if let Some(strides) = in_place(shapes, group) {
        return Rows { numbers: Columns::Borrowed(&map[start(shapes, group)..]), shape, strides };
    }
    let map = &map[group.samples.start * outer * positions..];
    let mut numbers = Scratch::new(outer * width);
    numbers.par_chunks_exact_mut(width).enumerate().for_each(|(channel, row)| {
        for (sample, part) in row.chunks_exact_mut(positions).enumerate() {
            part.copy_from_slice(&map[(sample * outer + channel) * positions..][..positions]);
        }
    });
    Rows { numbers: Columns::Copied(numbers), shape, strides: [width, 1] }
}

/// Writes a matrix `[channels, samples * positions]` as maps `[samples, channels, positions]`.
fn spread(matrix: &[f32], channels: usize, positions: usize, map: &mut [MaybeUninit<f32>]) {
    let width = matrix.len() / channels;
    let planes = map[..matrix.len()].par_chunks_exact_mut(positions).with_min_len((4096 / positions).max(1));
    planes.enumerate().for_each(|(index, plane)| {
        let (sample, channel) = (index / channels, index % channels);
        plane.write_copy_of_slice(&matrix[channel * width + sample * positions..][..positions]);
    });
}

/// Writes `[rows, columns]` as `[columns, rows]`.
fn transpose(matrix: &[f32], [rows, columns]: [usize; 2], transposed: &mut [f32]) {
    const TILE: usize = 16; // A line of the cache.
    transposed.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, part)| {
        let first = tile * TILE;
        for start in (0..rows).step_by(TILE) {
            for (column, line) in part.chunks_exact_mut(rows).enumerate() {
                let end = (start + TILE).min(rows);
                for (row, value) in (start..end).zip(&mut line[start..end]) {
                    *value = matrix[row * columns + first + column];
                }
            }
        }
    });
}

/// Adds `bias[c]` to every position of channel c of `[samples, channels, positions]`.
pub(crate) fn add_bias(map: &mut [f32], bias: &[f32], positions: usize) {
    let planes = map.par_chunks_exact_mut(positions).with_min_len((4096 / positions).max(1));
    planes.enumerate().for_each(|(index, plane)| {
        let shift = bias[index % bias.len()];
        plane.iter_mut().for_each(|value| *value += shift);
    });
}

/// The sum of each channel of `[samples, channels, positions]`.
pub(crate) fn channel_sums(map: &[f32], channels: usize, positions: usize) -> Vec<f32> {
    let sum = |channel: usize| {
        let samples = map.chunks_exact(channels * positions);
        let planes = samples.map(|sample| &sample[channel * positions..][..positions]);
        planes.map(|plane| f64::from(crate::lanes::sum_of(plane, |x| x))).sum::<f64>() as f32
    };
    (0..channels).into_par_iter().map(sum).collect()
}

/// The kernel turned by 180 degrees and its first two dimensions swapped: `[a, b, kernel]` to `[b, a, kernel]`.
pub(crate) fn turned(weight: &[f32], [first, second]: [usize; 2], taps: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(weight.len());
    for column in 0..second {
        for row in 0..first {
            turned.extend(weight[(row * second + column) * taps..][..taps].iter().rev());
        }
    }
    turned
}
