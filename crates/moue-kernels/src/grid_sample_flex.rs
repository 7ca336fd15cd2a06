//! Grid sampling on burn's CPU backend: a pixel's corners and weights are found once for all channels.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::backend::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::flex::{tensor, values};
use crate::matrix::{Shared, TASK, written};

/// Where a pixel looks along one axis.
#[derive(Clone, Copy)]
struct Axis {
    low: usize,
    high: usize,
    fraction: f32,
    /// d position / d flow: half the size, or 0 where the border holds the position.
    slope: f32,
}

impl Axis {
    fn of(place: usize, flow: f32, size: usize) -> Self {
        let (half, last) = (size as f32 / 2.0, (size - 1) as f32);
        let wanted = place as f32 + flow * half;
        // A flow that is no number ends in the last pixel instead of outside the image.
        let position = wanted.min(last).max(0.0);
        let low = position as usize;
        let slope = if wanted == position { half } else { 0.0 };
        Self { low, high: (low + 1).min(size - 1), fraction: position - low as f32, slope }
    }
}

/// The corners in a plane, upper left, upper right, lower left, lower right, and both axes.
type Place = ([usize; 4], Axis, Axis);

/// Calls `each` with every pixel of some rows of an image and where it looks; `flow` is the image's.
fn places(flow: &[f32], rows: Range<usize>, [height, width]: [usize; 2], mut each: impl FnMut(usize, Place)) {
    let (along, down) = flow.split_at(height * width);
    for row in rows {
        for column in 0..width {
            let pixel = row * width + column;
            let (x, y) = (Axis::of(column, along[pixel], width), Axis::of(row, down[pixel], height));
            let corners = [
                y.low * width + x.low,
                y.low * width + x.high,
                y.high * width + x.low,
                y.high * width + x.high,
            ];
            each(pixel, (corners, x, y));
        }
    }
}

/// Calls `each` with every image and some of its rows at a time, on as many threads as there are.
fn for_rows([images, height, width]: [usize; 3], each: impl Fn(usize, Range<usize>) + Sync) {
    // A pixel is as much work as several numbers elsewhere: its place is found and four corners of each channel read.
    let band = (TASK / (4 * width)).clamp(1, height);
    let bands = height.div_ceil(band);
    (0..images * bands).into_par_iter().for_each(|n| {
        let first = n % bands * band;
        each(n / bands, first..(first + band).min(height));
    });
}

pub(crate) fn forward(x: FlexTensor, flow: FlexTensor) -> FlexTensor {
    let shape = x.shape();
    let [images, channels, height, width] = shape.dims();
    let [x, flow] = [x, flow].map(|tensor| tensor.to_contiguous());
    let (x, flow, pixels) = (values(&x), values(&flow), height * width);
    let fill = |y: &mut [MaybeUninit<f32>]| {
        let y = Shared::new(y);
        for_rows([images, height, width], |image, rows| {
            let flow = &flow[image * 2 * pixels..][..2 * pixels];
            let x = &x[image * channels * pixels..][..channels * pixels];
            let start = rows.start * width;
            // SAFETY: each task has rows of its own.
            let mut planes: Vec<_> = (0..channels)
                .map(|channel| unsafe {
                    y.slice((image * channels + channel) * pixels + start, rows.len() * width)
                })
                .collect();
            places(flow, rows, [height, width], |pixel, ([a, b, c, d], along, down)| {
                for (y, x) in planes.iter_mut().zip(x.chunks_exact(pixels)) {
                    let top = x[a] + (x[b] - x[a]) * along.fraction;
                    let bottom = x[c] + (x[d] - x[c]) * along.fraction;
                    y[pixel - start].write(top + (bottom - top) * down.fraction);
                }
            });
        });
    };
    // SAFETY: the rows cover all images.
    tensor(unsafe { written(x.len(), fill) }, shape)
}

pub(crate) fn x_gradient(flow: FlexTensor, output: FlexTensor) -> FlexTensor {
    let shape = output.shape();
    let [_, channels, height, width] = shape.dims();
    let [flow, output] = [flow, output].map(|tensor| tensor.to_contiguous());
    let (flow, output, pixels) = (values(&flow), values(&output), height * width);
    let mut gradient = vec![0.0; output.len()];
    let images =
        gradient.par_chunks_exact_mut(channels * pixels).zip(output.par_chunks_exact(channels * pixels));
    // By images, not by rows: pixels of any two rows may have looked at the same place.
    images.zip(flow.par_chunks_exact(2 * pixels)).for_each(|((gradient, output), flow)| {
        places(flow, 0..height, [height, width], |pixel, ([a, b, c, d], along, down)| {
            let ([left, right], [upper, lower]) =
                ([1.0 - along.fraction, along.fraction], [1.0 - down.fraction, down.fraction]);
            for channel in 0..channels {
                let gradient = &mut gradient[channel * pixels..][..pixels];
                let g = output[channel * pixels + pixel];
                gradient[a] += g * upper * left;
                gradient[b] += g * upper * right;
                gradient[c] += g * lower * left;
                gradient[d] += g * lower * right;
            }
        });
    });
    tensor(gradient, shape)
}

pub(crate) fn flow_gradient(x: FlexTensor, flow: FlexTensor, output: FlexTensor) -> FlexTensor {
    let [images, channels, height, width] = x.shape().dims();
    let shape = flow.shape();
    let [x, flow, output] = [x, flow, output].map(|tensor| tensor.to_contiguous());
    let (x, flow, output, pixels) = (values(&x), values(&flow), values(&output), height * width);
    let fill = |gradient: &mut [MaybeUninit<f32>]| {
        let gradient = Shared::new(gradient);
        for_rows([images, height, width], |image, rows| {
            let flow = &flow[image * 2 * pixels..][..2 * pixels];
            let [x, output] =
                [x, output].map(|values| &values[image * channels * pixels..][..channels * pixels]);
            let start = rows.start * width;
            // SAFETY: each task has rows of its own.
            let [by_x, by_y] = [0, 1].map(|axis| unsafe {
                gradient.slice((image * 2 + axis) * pixels + start, rows.len() * width)
            });
            places(flow, rows, [height, width], |pixel, ([a, b, c, d], along, down)| {
                let mut sums = [0.0; 2];
                for (x, output) in x.chunks_exact(pixels).zip(output.chunks_exact(pixels)) {
                    let g = output[pixel];
                    let (top, bottom) = (x[b] - x[a], x[d] - x[c]);
                    let (left, right) = (x[c] - x[a], x[d] - x[b]);
                    sums[0] += g * (top + (bottom - top) * down.fraction);
                    sums[1] += g * (left + (right - left) * along.fraction);
                }
                by_x[pixel - start].write(sums[0] * along.slope);
                by_y[pixel - start].write(sums[1] * down.slope);
            });
        });
    };
    // SAFETY: the rows cover all images.
    tensor(unsafe { written(flow.len(), fill) }, shape)
}
