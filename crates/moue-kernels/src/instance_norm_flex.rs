//! Instance norm on burn's CPU backend: every plane by itself, with sums in a fixed order.

use std::mem::MaybeUninit;

use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::flex::{tensor, values};
use crate::instance_norm::EPSILON;
use crate::lanes::{sum_of, sums_of_pairs};
use crate::matrix::{TASK, written};
use crate::vectors::{Machine, Work, vectorised};

/// How a plane becomes its output: `(x - mean) scale + shift`.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    scale: f32,
    shift: f32,
}

impl Affine {
    /// Forward and backward call this alike, so that both see the same sign before the ReLU.
    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        (x - self.mean) * self.scale + self.shift
    }
}

/// The output, and mean and 1 / deviation `[batch, channels]`.
pub(crate) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    relu: bool,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let shape = x.shape();
    let [batch, channels, height, width] = shape.dims();
    let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
    let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
    let (planes, pixels) = (batch * channels, height * width);
    let mut statistics = vec![[0.0; 2]; planes];
    let fill = |y: &mut [MaybeUninit<f32>]| {
        let work = y.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).zip(&mut statistics);
        work.with_min_len((TASK / pixels).max(1)).enumerate().for_each(|(index, ((y, x), kept))| {
            let channel = index % channels;
            *kept = vectorised(Plane { x, y, scale: weight[channel], shift: bias[channel], relu });
        });
    };
    // SAFETY: the planes cover the whole output, and `write` sets every element of one.
    let y = unsafe { written(planes * pixels, fill) };
    let [mean, inverse] = [0, 1]
        .map(|n| tensor(statistics.iter().map(|kept| kept[n]).collect(), Shape::from([batch, channels])));
    (tensor(y, shape), mean, inverse)
}

/// A plane of input, and its output to write.
struct Plane<'a> {
    x: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
    scale: f32,
    shift: f32,
    relu: bool,
}

impl Work for Plane<'_> {
    /// Mean and 1 / deviation.
    type Output = [f32; 2];

    #[inline(always)]
    fn run<M: Machine>(self) -> [f32; 2] {
        let Self { x, y, scale, shift, relu } = self;
        let [mean, inverse] = moments(x);
        let affine = Affine { mean, scale: inverse * scale, shift };
        if relu {
            y.iter_mut().zip(x).for_each(|(y, x)| _ = y.write(affine.of(*x).max(0.0)));
        } else {
            y.iter_mut().zip(x).for_each(|(y, x)| _ = y.write(affine.of(*x)));
        }
        [mean, inverse]
    }
}

/// Mean and 1 / deviation.
#[inline(always)]
fn moments(x: &[f32]) -> [f32; 2] {
    let count = x.len() as f32;
    let mean = sum_of(x, |x| x) / count;
    let variance = sum_of(x, |x| (x - mean) * (x - mean)) / count;
    [mean, 1.0 / (variance + EPSILON).sqrt()]
}

/// The gradients of input, scale and shift.
pub(crate) fn backward(
    x: FlexTensor,
    parameters: [FlexTensor; 2],
    statistics: [FlexTensor; 2],
    output: FlexTensor,
    relu: bool,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let shape = x.shape();
    let [batch, channels, height, width] = shape.dims();
    let [x, output] = [x, output].map(|tensor| tensor.to_contiguous());
    let [weight, bias] = parameters.map(|tensor| tensor.to_contiguous());
    let [mean, inverse] = statistics.map(|tensor| tensor.to_contiguous());
    let (x, output, weight, bias) = (values(&x), values(&output), values(&weight), values(&bias));
    let (mean, inverse) = (values(&mean), values(&inverse));
    let (planes, pixels) = (batch * channels, height * width);
    let mut sums = vec![[0.0_f32; 2]; planes];
    let fill = |gradient: &mut [MaybeUninit<f32>]| {
        let inputs = x.par_chunks_exact(pixels).zip(output.par_chunks_exact(pixels));
        let work = gradient.par_chunks_exact_mut(pixels).zip(inputs).zip(&mut sums);
        work.with_min_len((TASK / pixels).max(1)).enumerate().for_each(
            |(index, ((gradient, (x, output)), kept))| {
                let channel = index % channels;
                let (mean, inverse) = (mean[index], inverse[index]);
                let affine = Affine { mean, scale: inverse * weight[channel], shift: bias[channel] };
                *kept = vectorised(BackwardPlane { gradient, x, output, affine, inverse, relu });
            },
        );
    };
    // SAFETY: the planes cover the whole gradient, and `plane_backward` sets every element of one.
    let gradient = unsafe { written(planes * pixels, fill) };
    let [shift, scale] = [0, 1].map(|n| {
        let of = |channel: usize| {
            (0..batch).map(|image| f64::from(sums[image * channels + channel][n])).sum::<f64>()
        };
        tensor((0..channels).map(|channel| of(channel) as f32).collect(), Shape::from([channels]))
    });
    (tensor(gradient, shape), scale, shift)
}

/// A plane of input and of the output's gradient, and the input's gradient to write.
struct BackwardPlane<'a> {
    gradient: &'a mut [MaybeUninit<f32>],
    x: &'a [f32],
    output: &'a [f32],
    affine: Affine,
    inverse: f32,
    relu: bool,
}

impl Work for BackwardPlane<'_> {
    /// The plane's part of the gradients of shift and scale.
    type Output = [f32; 2];

    #[inline(always)]
    fn run<M: Machine>(self) -> [f32; 2] {
        let Self { gradient, x, output, affine, inverse, relu } = self;
        if relu {
            let positive = |x, g| if affine.of(x) > 0.0 { g } else { 0.0 };
            plane_backward(gradient, x, output, affine, inverse, positive)
        } else {
            plane_backward(gradient, x, output, affine, inverse, |_, g| g)
        }
    }
}

/// `through(x, g)` is what of an output's gradient passes the ReLU.
#[inline(always)]
fn plane_backward(
    gradient: &mut [MaybeUninit<f32>],
    x: &[f32],
    output: &[f32],
    affine: Affine,
    inverse: f32,
    through: impl Fn(f32, f32) -> f32,
) -> [f32; 2] {
    let Affine { mean, scale, .. } = affine;
    let [sum, product] = sums_of_pairs(x, output, |x, g| {
        let g = through(x, g);
        [g, g * (x - mean)]
    });
    let product = product * inverse;
    // scale (g - sum / n - normal product / n) with normal = (x - mean) inverse.
    let (constant, slope) = (sum / x.len() as f32, product * inverse / x.len() as f32);
    for ((slot, x), g) in gradient.iter_mut().zip(x).zip(output) {
        slot.write(scale * (through(*x, *g) - constant - (x - mean) * slope));
    }
    [sum, product]
}
