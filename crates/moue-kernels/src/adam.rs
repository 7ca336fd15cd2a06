//! Adam's step (Kingma and Ba 2015) as PyTorch computes it, and the moving average of weights.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::Operations;
use crate::flex::values;
use crate::vectors::{Machine, Work, vectorised};

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

/// One step for one parameter, all tensors flat and of one length; returns the parameter and its two moments:
/// `m <- m + (1 - beta1) (g - m)`, `v <- beta2 v + (1 - beta2) g^2`,
/// `p <- p - rate m / (sqrt(v) / correction + epsilon)`.
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
    step: AdamStep,
) -> [Tensor<1>; 3] {
    let [parameter, gradient, mean, square] =
        [parameter, gradient, mean, square].map(|tensor| tensor.into_dispatch());
    let (parameter, mean, square) = Dispatch::adam(parameter, gradient, mean, square, step);
    [parameter, mean, square].map(Tensor::from_dispatch)
}

pub(crate) fn portable<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    mean: FloatTensor<B>,
    square: FloatTensor<B>,
    step: AdamStep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let change = B::float_sub(gradient.clone(), mean.clone());
    let mean = B::float_add(mean, B::float_mul_scalar(change, (1.0 - step.beta1).into()));
    let squared = B::float_mul_scalar(B::float_mul(gradient.clone(), gradient), (1.0 - step.beta2).into());
    let square = B::float_add(B::float_mul_scalar(square, step.beta2.into()), squared);
    let root = B::float_mul_scalar(B::float_sqrt(square.clone()), (1.0 / step.correction).into());
    let denominator = B::float_add_scalar(root, step.epsilon.into());
    let update = B::float_mul_scalar(B::float_div(mean.clone(), denominator), step.rate.into());
    (B::float_sub(parameter, update), mean, square)
}

/// `average + share (parameter - average)`, all flat and of one length: an exponential moving average.
pub fn moving_average(average: Tensor<1>, parameter: Tensor<1>, share: f32) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::moving_average(average.into_dispatch(), parameter.into_dispatch(), share))
}

pub(crate) fn portable_moving_average<B: Backend>(
    average: FloatTensor<B>,
    parameter: FloatTensor<B>,
    share: f32,
) -> FloatTensor<B> {
    let change = B::float_mul_scalar(B::float_sub(parameter, average.clone()), share.into());
    B::float_add(average, change)
}

/// Numbers of a task.
const CHUNK: usize = 1 << 15;

/// One pass in place; the tensors are copied first only where someone else still holds them.
pub(crate) fn fused(
    parameter: FlexTensor,
    gradient: FlexTensor,
    mean: FlexTensor,
    square: FlexTensor,
    step: AdamStep,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    // Contiguous and as long as its storage: a view into a larger storage is copied.
    let [mut parameter, gradient, mut mean, mut square] =
        [parameter, gradient, mean, square].map(|tensor| tensor.to_contiguous());
    let parameters = parameter.storage_mut::<f32>().par_chunks_mut(CHUNK);
    let moments = mean
        .storage_mut::<f32>()
        .par_chunks_mut(CHUNK)
        .zip(square.storage_mut::<f32>().par_chunks_mut(CHUNK));
    let work = parameters.zip(values(&gradient).par_chunks(CHUNK)).zip(moments);
    work.for_each(|((parameters, gradients), (means, squares))| {
        vectorised(Step { parameters, gradients, means, squares, step });
    });
    (parameter, mean, square)
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
pub(crate) fn fused_moving_average(average: FlexTensor, parameter: FlexTensor, share: f32) -> FlexTensor {
    let [mut average, parameter] = [average, parameter].map(|tensor| tensor.to_contiguous());
    let averages = average.storage_mut::<f32>().par_chunks_mut(CHUNK);
    averages.zip(values(&parameter).par_chunks(CHUNK)).for_each(|(averages, parameters)| {
        averages.iter_mut().zip(parameters).for_each(|(average, p)| *average += share * (p - *average));
    });
    average
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn fused_and_portable_steps_agree() {
        let device = Device::flex();
        let length = 100_003;
        let tensor = |scale: f32, shift: f32| {
            let values = (0..length).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0) * scale + shift);
            Tensor::<1>::from_data(TensorData::new(values.collect::<Vec<_>>(), [length]), &device)
        };
        let [p, g, m, v] = [tensor(1.0, 0.0), tensor(0.1, 0.01), tensor(0.05, 0.0), tensor(0.001, 0.002)];
        let step = AdamStep { rate: 2e-4, beta1: 0.5, beta2: 0.999, correction: 0.1, epsilon: 1e-8 };
        let fused = adam(p.clone(), g.clone(), m.clone(), v.clone(), step);
        let primitive = |t: Tensor<1>| t.try_into_primitive::<burn::backend::Flex>().unwrap();
        let (a, b, c) =
            portable::<burn::backend::Flex>(primitive(p), primitive(g), primitive(m), primitive(v), step);
        for (fused, portable) in fused.into_iter().zip([a, b, c]) {
            let portable = Tensor::<1>::from_primitive::<burn::backend::Flex>(portable);
            let difference = (fused - portable).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-6, "{difference}");
        }
    }
}
