//! Adam's step (Kingma and Ba 2015) as PyTorch computes it, and the moving average of weights.

use burn::Tensor;
use burn::backend::{Backend, Dispatch, Flex};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::flex::values;
use crate::vectors::{Machine, Work, vectorised};
use crate::{Operations, Tensors};

/// The numbers of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Learning rate divided by `1 - beta1^t`.
    pub rate: f32,
    /// Decay of the mean of the gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// `sqrt(1 - beta2^t)`.
    pub correction: f32,
    /// Added to the denominator.
    pub epsilon: f32,
}

/// One step for all of a network's parameters: as many tensors of each kind, flat, and those of a parameter of one length.
/// Returns the parameters and their two moments:
/// `m <- m + (1 - beta1) (g - m)`, `v <- beta2 v + (1 - beta2) g^2`,
/// `p <- p - rate m / (sqrt(v) / correction + epsilon)`.
pub fn adam(
    parameters: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    means: Vec<Tensor<1>>,
    squares: Vec<Tensor<1>>,
    step: AdamStep,
) -> [Vec<Tensor<1>>; 3] {
    if parameters.is_empty() {
        return [parameters, means, squares];
    }
    let [parameters, gradients, means, squares] =
        [parameters, gradients, means, squares].map(Tensors::<Dispatch>::of);
    let (parameters, means, squares) = Dispatch::adam(parameters, gradients, means, squares, step);
    [parameters, means, squares].map(Tensors::into_tensors)
}

pub(crate) fn portable<B: Backend>(
    parameters: Tensors<B>,
    gradients: Tensors<B>,
    means: Tensors<B>,
    squares: Tensors<B>,
    step: AdamStep,
) -> (Tensors<B>, Tensors<B>, Tensors<B>) {
    let moments = means.0.into_iter().zip(squares.0);
    let each = parameters.0.into_iter().zip(gradients.0).zip(moments);
    let stepped = each.map(|((parameter, gradient), (mean, square))| {
        let change = B::float_sub(gradient.clone(), mean.clone());
        let mean = B::float_add(mean, B::float_mul_scalar(change, (1.0 - step.beta1).into()));
        let squared =
            B::float_mul_scalar(B::float_mul(gradient.clone(), gradient), (1.0 - step.beta2).into());
        let square = B::float_add(B::float_mul_scalar(square, step.beta2.into()), squared);
        let root = B::float_mul_scalar(B::float_sqrt(square.clone()), (1.0 / step.correction).into());
        let denominator = B::float_add_scalar(root, step.epsilon.into());
        let update = B::float_mul_scalar(B::float_div(mean.clone(), denominator), step.rate.into());
        (B::float_sub(parameter, update), (mean, square))
    });
    let (parameters, (means, squares)): (_, (_, _)) = stepped.unzip();
    (Tensors(parameters), Tensors(means), Tensors(squares))
}

/// `average + share (parameter - average)` for all of a network's parameters, flat: exponential moving averages.
pub fn moving_average(averages: Vec<Tensor<1>>, parameters: Vec<Tensor<1>>, share: f32) -> Vec<Tensor<1>> {
    if averages.is_empty() {
        return averages;
    }
    Dispatch::moving_average(Tensors::of(averages), Tensors::of(parameters), share).into_tensors()
}

pub(crate) fn portable_moving_average<B: Backend>(
    averages: Tensors<B>,
    parameters: Tensors<B>,
    share: f32,
) -> Tensors<B> {
    let each = averages.0.into_iter().zip(parameters.0);
    let moved = each.map(|(average, parameter)| {
        let change = B::float_mul_scalar(B::float_sub(parameter, average.clone()), share.into());
        B::float_add(average, change)
    });
    Tensors(moved.collect())
}

/// Numbers of a task.
const CHUNK: usize = 1 << 15;

/// Contiguous and as long as their storage: a view into a larger storage is copied.
fn contiguous(tensors: Tensors<Flex>) -> Vec<FlexTensor> {
    tensors.0.iter().map(FlexTensor::to_contiguous).collect()
}

/// One pass in place; a tensor is copied first only where someone else still holds it.
pub(crate) fn fused(
    parameters: Tensors<Flex>,
    gradients: Tensors<Flex>,
    means: Tensors<Flex>,
    squares: Tensors<Flex>,
    step: AdamStep,
) -> (Tensors<Flex>, Tensors<Flex>, Tensors<Flex>) {
    let [mut parameters, gradients, mut means, mut squares] =
        [parameters, gradients, means, squares].map(contiguous);
    let mut steps = Vec::new();
    let moments = means.iter_mut().zip(&mut squares);
    for ((parameter, gradient), (mean, square)) in parameters.iter_mut().zip(&gradients).zip(moments) {
        let moments = mean.storage_mut::<f32>().chunks_mut(CHUNK).zip(square.storage_mut().chunks_mut(CHUNK));
        let parameters = parameter.storage_mut::<f32>().chunks_mut(CHUNK);
        for ((parameters, gradients), (means, squares)) in
            parameters.zip(values(gradient).chunks(CHUNK)).zip(moments)
        {
            steps.push(Step { parameters, gradients, means, squares, step });
        }
    }
    steps.into_par_iter().for_each(vectorised);
    (Tensors(parameters), Tensors(means), Tensors(squares))
}

struct Step<'a> {
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    means: &'a mut [f32],
    squares: &'a mut [f32],
    step: AdamStep,
}

impl Work for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { parameters, gradients, means, squares, step } = self;
        let inverse = 1.0 / step.correction;
        let moments = means.iter_mut().zip(squares);
        for ((p, g), (m, v)) in parameters.iter_mut().zip(gradients).zip(moments) {
            *m += (1.0 - step.beta1) * (g - *m);
            *v = step.beta2 * *v + (1.0 - step.beta2) * g * g;
            *p -= step.rate * (*m / (v.sqrt() * inverse + step.epsilon));
        }
    }
}

/// In place, as [`fused`].
pub(crate) fn fused_moving_average(
    averages: Tensors<Flex>,
    parameters: Tensors<Flex>,
    share: f32,
) -> Tensors<Flex> {
    let [mut averages, parameters] = [averages, parameters].map(contiguous);
    let mut parts = Vec::new();
    for (average, parameter) in averages.iter_mut().zip(&parameters) {
        parts.extend(average.storage_mut::<f32>().chunks_mut(CHUNK).zip(values(parameter).chunks(CHUNK)));
    }
    parts.into_par_iter().for_each(|(averages, parameters)| {
        averages.iter_mut().zip(parameters).for_each(|(average, p)| *average += share * (p - *average));
    });
    Tensors(averages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn tensors(lengths: &[usize], scale: f32, shift: f32) -> Tensors<Flex> {
        let tensor = |&length: &usize| {
            let values = (0..length).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0) * scale + shift);
            let data = TensorData::new(values.collect::<Vec<_>>(), [length]);
            Tensor::<1>::from_data(data, &Device::flex()).try_into_primitive::<Flex>().unwrap()
        };
        Tensors(lengths.iter().map(tensor).collect())
    }

    fn agree(fused: Tensors<Flex>, portable: Tensors<Flex>) {
        assert_eq!(fused.0.len(), portable.0.len());
        for (fused, portable) in fused.0.into_iter().zip(portable.0) {
            let [fused, portable] = [fused, portable].map(Tensor::<1>::from_primitive::<Flex>);
            let difference = (fused - portable).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-6, "{difference}");
        }
    }

    /// A tensor of several tasks, one of one task, and one that ends with a task.
    const LENGTHS: [usize; 3] = [100_003, 17, 2 * CHUNK];

    #[test]
    fn fused_and_portable_steps_agree() {
        let given = || {
            let numbers = [(1.0, 0.0), (0.1, 0.01), (0.05, 0.0), (0.001, 0.002)];
            numbers.map(|(scale, shift)| tensors(&LENGTHS, scale, shift))
        };
        let step = AdamStep { rate: 2e-4, beta1: 0.5, beta2: 0.999, correction: 0.1, epsilon: 1e-8 };
        let [p, g, m, v] = given();
        let (a, b, c) = fused(p, g, m, v, step);
        let [p, g, m, v] = given();
        let (d, e, f) = portable::<Flex>(p, g, m, v, step);
        [a, b, c].into_iter().zip([d, e, f]).for_each(|(fused, portable)| agree(fused, portable));
    }

    #[test]
    fn fused_and_portable_averages_agree() {
        let given = || [(1.0, 0.0), (0.1, 0.3)].map(|(scale, shift)| tensors(&LENGTHS, scale, shift));
        let ([a, b], [c, d]) = (given(), given());
        agree(fused_moving_average(a, b, 0.1), portable_moving_average::<Flex>(c, d, 0.1));
    }

    #[test]
    fn a_network_without_parameters_stays_so() {
        let step = AdamStep { rate: 2e-4, beta1: 0.5, beta2: 0.999, correction: 0.1, epsilon: 1e-8 };
        assert!(adam(vec![], vec![], vec![], vec![], step).iter().all(Vec::is_empty));
        assert!(moving_average(vec![], vec![], 0.1).is_empty());
    }
}
