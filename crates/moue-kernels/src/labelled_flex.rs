//! The convolution of an image and its label on burn's CPU backend: the image's, and at each output a sum of taps.

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::convolution_flex;
use crate::flex::{tensor, values};
use crate::{Step, lanes};

/// The sizes of a labelled convolution.
struct Sizes {
    batch: usize,
    inputs: usize,
    labels: usize,
    outputs: usize,
    /// The side of the kernel, odd, with half of it as padding.
    kernel: usize,
    height: usize,
    width: usize,
}

impl Sizes {
    fn of(x: &FlexTensor, labels: &FlexTensor, weight: &FlexTensor) -> Self {
        let ([batch, inputs, height, width], [outputs, _, kernel, _]) =
            (x.shape().dims(), weight.shape().dims());
        let labels = labels.shape()[1];
        Self { batch, inputs, labels, outputs, kernel, height, width }
    }

    fn step(&self) -> Step {
        Step { stride: 1, padding: self.kernel / 2 }
    }

    /// The taps of a kernel.
    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// The border's and the inner rows or columns of `size` as places in an image no larger than the kernel: each sees
    /// the same taps.
    fn places(&self, size: usize) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (kernel, half) = (self.kernel, self.kernel / 2);
        (0..kernel).map(move |place| match place {
            _ if place < half => (place, place..place + 1),
            _ if place > half => (place, size + place - kernel..size + place - kernel + 1),
            _ => (place, half..size - half),
        })
    }

    /// The taps along one axis that lie within such an image at a place.
    fn seen(&self, place: usize) -> Range<usize> {
        let half = self.kernel / 2;
        half.saturating_sub(place)..(self.kernel + half - place).min(self.kernel)
    }

    /// For each place, in rows, the sum of `of` over the taps that it sees; or for each tap over the places that see it,
    /// which is the same.
    fn sums(&self, of: &[f32]) -> Vec<f32> {
        let kernel = self.kernel;
        let along: Vec<f32> = (0..kernel * kernel)
            .map(|n| self.seen(n % kernel).map(|column| of[n / kernel * kernel + column]).sum())
            .collect();
        (0..kernel * kernel)
            .map(|n| self.seen(n / kernel).map(|row| along[row * kernel + n % kernel]).sum())
            .collect()
    }
}

/// Whether the kernel is square, with half of it as padding, and no larger than the image.
pub(crate) fn takes(x: &FlexTensor, weight: &FlexTensor, padding: usize) -> bool {
    let ([_, _, height, width], [_, _, rows, columns]) = (x.shape().dims::<4>(), weight.shape().dims::<4>());
    rows == columns && rows == 2 * padding + 1 && rows <= height.min(width)
}

/// Of each output the first `inputs` kernels, or those after them.
fn kernels(sizes: &Sizes, weight: &[f32], which: Range<usize>) -> Vec<f32> {
    let of_an_output = (sizes.inputs + sizes.labels) * sizes.taps();
    let which = which.start * sizes.taps()..which.end * sizes.taps();
    weight.chunks_exact(of_an_output).flat_map(|kernels| &kernels[which.clone()]).copied().collect()
}

fn of_the_image(sizes: &Sizes, weight: &FlexTensor) -> FlexTensor {
    let numbers = kernels(sizes, values(weight), 0..sizes.inputs);
    tensor(numbers, Shape::from([sizes.outputs, sizes.inputs, sizes.kernel, sizes.kernel]))
}

pub(crate) fn forward(x: FlexTensor, labels: FlexTensor, weight: FlexTensor) -> FlexTensor {
    let sizes = Sizes::of(&x, &labels, &weight);
    let [labels, weight] = [labels, weight].map(|tensor| tensor.to_contiguous());
    let mut y = convolution_flex::convolution(x, of_the_image(&sizes, &weight), sizes.step());
    let taps = sizes.taps();
    let of_labels = kernels(&sizes, values(&weight), sizes.inputs..sizes.inputs + sizes.labels);
    let sums: Vec<f32> = of_labels.par_chunks(taps).flat_map_iter(|kernel| sizes.sums(kernel)).collect();
    let labels = values(&labels);
    let planes = y.storage_mut::<f32>().par_chunks_exact_mut(sizes.height * sizes.width);
    planes.enumerate().for_each(|(n, plane)| {
        let (image, output) = (n / sizes.outputs, n % sizes.outputs);
        // What the label adds at each place.
        let mut shifts = vec![0.0; taps];
        for (label, number) in labels[image * sizes.labels..][..sizes.labels].iter().enumerate() {
            let sums = &sums[(output * sizes.labels + label) * taps..][..taps];
            shifts.iter_mut().zip(sums).for_each(|(shift, sum)| *shift += number * sum);
        }
        for (row, lines) in sizes.places(sizes.height) {
            let shifts = &shifts[row * sizes.kernel..][..sizes.kernel];
            for line in
                plane[lines.start * sizes.width..lines.end * sizes.width].chunks_exact_mut(sizes.width)
            {
                for (column, run) in sizes.places(sizes.width) {
                    line[run].iter_mut().for_each(|value| *value += shifts[column]);
                }
            }
        }
    });
    y
}

pub(crate) fn x_gradient(
    x: FlexTensor,
    labels: &FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
) -> FlexTensor {
    let sizes = Sizes::of(&x, labels, &weight);
    let weight = of_the_image(&sizes, &weight.to_contiguous());
    convolution_flex::convolution_x_gradient(x, weight, output, sizes.step())
}

pub(crate) fn weight_gradient(
    x: FlexTensor,
    labels: FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
) -> FlexTensor {
    let sizes = Sizes::of(&x, &labels, &weight);
    let [labels, output] = [labels, output].map(|tensor| tensor.to_contiguous());
    let of_image = of_the_image(&sizes, &weight.to_contiguous());
    let of_image = convolution_flex::convolution_weight_gradient(x, of_image, output.clone(), sizes.step());
    let (taps, of_image, labels) = (sizes.taps(), values(&of_image), values(&labels));
    let planes = values(&output).par_chunks_exact(sizes.height * sizes.width);
    // The gradient of what the label adds at each place, of each image and output.
    let places: Vec<f32> = planes.flat_map_iter(|plane| sums_of_places(&sizes, plane)).collect();
    let gradients = (0..sizes.outputs).into_par_iter().flat_map_iter(|output| {
        let of_labels = (0..sizes.labels).flat_map(|label| {
            let mut of_places = vec![0.0; taps];
            for image in 0..sizes.batch {
                let number = labels[image * sizes.labels + label];
                let places = &places[(image * sizes.outputs + output) * taps..][..taps];
                of_places.iter_mut().zip(places).for_each(|(sum, place)| *sum += number * place);
            }
            sizes.sums(&of_places)
        });
        let of_image = &of_image[output * sizes.inputs * taps..][..sizes.inputs * taps];
        of_image.iter().copied().chain(of_labels).collect::<Vec<_>>()
    });
    tensor(gradients.collect(), weight.shape())
}

/// The sum of a plane over the pixels of each place.
fn sums_of_places(sizes: &Sizes, plane: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0_f64; sizes.taps()];
    for (row, lines) in sizes.places(sizes.height) {
        for line in plane[lines.start * sizes.width..lines.end * sizes.width].chunks_exact(sizes.width) {
            for (column, run) in sizes.places(sizes.width) {
                sums[row * sizes.kernel + column] += f64::from(lanes::sum_of(&line[run], |value| value));
            }
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}
