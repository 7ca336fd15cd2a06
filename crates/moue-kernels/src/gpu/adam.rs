//! Adam's step and the moving average of weights, each in one pass over many tensors, and in place.

use std::ops::Range;

use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::layout::{UNITS, element_wise, owned};
use crate::{AdamStep, Tensors};

/// How many numbers of a tensor a unit has.
const EACH: u32 = 4;
/// The most parameters of a launch: the arguments of one of CUDA's kernels have 4 KiB.
const MOST: usize = 64;

/// The parameters and their moments after the step.
pub(super) fn step(
    parameters: Tensors<CubeBackend>,
    gradients: Tensors<CubeBackend>,
    means: Tensors<CubeBackend>,
    squares: Tensors<CubeBackend>,
    step: AdamStep,
) -> (Tensors<CubeBackend>, Tensors<CubeBackend>, Tensors<CubeBackend>) {
    let [parameters, means, squares] =
        [parameters, means, squares].map(|tensors| tensors.0.into_iter().map(owned).collect::<Vec<_>>());
    let gradients: Vec<_> = gradients.0.into_iter().map(into_contiguous).collect();
    for group in groups(&parameters, 4) {
        step_kernel::launch(
            &parameters[0].client,
            group.count,
            group.dim,
            group.range.buffers(&gradients),
            group.range.buffers(&parameters),
            group.range.buffers(&means),
            group.range.buffers(&squares),
            group.firsts,
            FactorsLaunch::new(step.rate, step.beta1, step.beta2, 1.0 / step.correction, step.epsilon),
        );
    }
    (Tensors(parameters), Tensors(means), Tensors(squares))
}

/// `average + share (parameter - average)` of each.
pub(super) fn moving_average(
    averages: Tensors<CubeBackend>,
    parameters: Tensors<CubeBackend>,
    share: f32,
) -> Tensors<CubeBackend> {
    let averages: Vec<_> = averages.0.into_iter().map(owned).collect();
    let parameters: Vec<_> = parameters.0.into_iter().map(into_contiguous).collect();
    for group in groups(&averages, 2) {
        moving_average_kernel::launch(
            &averages[0].client,
            group.count,
            group.dim,
            group.range.buffers(&parameters),
            group.range.buffers(&averages),
            group.firsts,
            share,
        );
    }
    Tensors(averages)
}

/// What a launch has of as many tensors as there are parameters.
struct Group {
    count: CubeCount,
    dim: CubeDim,
    range: Members,
    /// The first cube of each tensor.
    firsts: SequenceArg<u32>,
}

/// The parameters of a group.
struct Members(Range<usize>);

impl Members {
    fn buffers(&self, tensors: &[CubeTensor]) -> SequenceArg<Box<[f32]>> {
        tensors[self.0.clone()].iter().map(|tensor| tensor.clone().into_buffer_arg()).collect()
    }
}

/// The groups of the parameters, as many together as a kernel's arguments allow, `each` of whose has so many tensors.
fn groups(tensors: &[CubeTensor], each: usize) -> impl Iterator<Item = Group> {
    // One argument holds the numbers that are no tensors.
    let arguments = tensors[0].client.properties().hardware.max_bindings as usize - 1;
    let most = (arguments / each).clamp(1, MOST);
    (0..tensors.len()).step_by(most).map(move |start| {
        let range = start..(start + most).min(tensors.len());
        let mut cubes = 0;
        let firsts = tensors[range.clone()].iter().map(|tensor| {
            let first = cubes;
            cubes += (tensor.meta.num_elements() as u32).div_ceil(UNITS * EACH);
            first
        });
        let firsts = firsts.collect();
        let (count, dim) = element_wise(&tensors[0], (cubes * UNITS) as usize);
        Group { count, dim, range: Members(range), firsts }
    })
}

#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Factors {
    rate: f32,
    beta1: f32,
    beta2: f32,
    inverse_correction: f32,
    epsilon: f32,
}

#[cube(launch)]
fn step_kernel(
    gradients: &Sequence<Box<[f32]>>,
    parameters: &mut Sequence<Box<[f32]>>,
    means: &mut Sequence<Box<[f32]>>,
    squares: &mut Sequence<Box<[f32]>>,
    firsts: &Sequence<u32>,
    factors: &Factors,
) {
    #[unroll]
    for n in 0..firsts.len() {
        let first = *firsts.index(n);
        step_of(
            gradients.index(n),
            parameters.index_mut(n),
            means.index_mut(n),
            squares.index_mut(n),
            first,
            factors,
        );
    }
}

/// What the cube has of the step of one tensor.
#[cube]
fn step_of(
    gradients: &[f32],
    parameters: &mut [f32],
    means: &mut [f32],
    squares: &mut [f32],
    first: u32,
    factors: &Factors,
) {
    let length = parameters.len() as u32;
    let mut number = number_of_unit(first, length);
    while number < length && number < end_of_cube(first) {
        let place = number as usize;
        let gradient = gradients[place];
        let before = means[place];
        let mean = before + (1.0f32 - factors.beta1) * (gradient - before);
        let square = factors.beta2 * squares[place] + (1.0f32 - factors.beta2) * gradient * gradient;
        means[place] = mean;
        squares[place] = square;
        let deviation = square.sqrt() * factors.inverse_correction + factors.epsilon;
        parameters[place] -= factors.rate * (mean / deviation);
        number += CUBE_DIM;
    }
}

#[cube(launch)]
fn moving_average_kernel(
    parameters: &Sequence<Box<[f32]>>,
    averages: &mut Sequence<Box<[f32]>>,
    firsts: &Sequence<u32>,
    share: f32,
) {
    #[unroll]
    for n in 0..firsts.len() {
        average_of(parameters.index(n), averages.index_mut(n), *firsts.index(n), share);
    }
}

/// What the cube has of one tensor's average.
#[cube]
fn average_of(parameters: &[f32], averages: &mut [f32], first: u32, share: f32) {
    let length = averages.len() as u32;
    let mut number = number_of_unit(first, length);
    while number < length && number < end_of_cube(first) {
        let average = averages[number as usize];
        averages[number as usize] = average + share * (parameters[number as usize] - average);
        number += CUBE_DIM;
    }
}

/// The unit's first number of the tensor whose first cube is this; the length if it has none of it.
#[cube]
fn number_of_unit(first: u32, length: u32) -> u32 {
    let cube = CUBE_POS as u32;
    select(cube < first, length, (cube - first) * (UNITS * EACH) + UNIT_POS)
}

/// Where the numbers end that the cube has of the tensor.
#[cube]
fn end_of_cube(first: u32) -> u32 {
    (CUBE_POS as u32 - first + 1u32) * (UNITS * EACH)
}
