//! The operations that gradients flow through, as nodes of burn's graph.

use burn::backend::{Autodiff, tensor::FloatTensor};
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;

use crate::resize::Resize;
use crate::{
    Apart, Logistic, Operations, Step, attention, blend, convolution, grid_sample, instance_norm, labelled,
    leaky_relu, logistic, means, products, resize,
};

impl<B: Operations, C: CheckpointStrategy> Operations for Autodiff<B, C> {
    fn position_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        attention::tracked::<B, C>(query, key, value)
    }

    fn convolution(x: FloatTensor<Self>, weight: FloatTensor<Self>, step: Step) -> FloatTensor<Self> {
        convolution::tracked::<B, C>(x, weight, step)
    }

    fn biased_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::biased_tracked::<B, C>(x, weight, bias, step)
    }

    fn transposed_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::transposed_tracked::<B, C>(x, weight, step)
    }

    fn labelled_convolution(
        x: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        labelled::tracked::<B, C>(x, labels, weight, padding)
    }

    fn bilinear(
        left: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        right: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        products::tracked::<B, C>(left, matrix, right)
    }

    fn grid_sample(x: FloatTensor<Self>, flow: FloatTensor<Self>) -> FloatTensor<Self> {
        grid_sample::tracked::<B, C>(x, flow)
    }

    fn instance_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        instance_norm::tracked::<B, C>(x, weight, bias, relu)
    }

    fn scaled_leaky_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self> {
        leaky_relu::tracked::<B, C>(x, scale, bias, slope)
    }

    fn halved(x: FloatTensor<Self>) -> FloatTensor<Self> {
        resize::tracked::<B, C>(Resize::Halve, x)
    }

    fn doubled(x: FloatTensor<Self>) -> FloatTensor<Self> {
        resize::tracked::<B, C>(Resize::Double, x)
    }

    fn logistic(x: FloatTensor<Self>, function: Logistic) -> FloatTensor<Self> {
        logistic::tracked::<B, C>(x, function)
    }

    fn mean_absolute(x: FloatTensor<Self>) -> FloatTensor<Self> {
        means::mean_absolute_tracked::<B, C>(x, None)
    }

    fn weighted_mean_absolute(x: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self> {
        means::mean_absolute_tracked::<B, C>(x, Some(weights))
    }

    fn mean_between_neighbours(x: FloatTensor<Self>, apart: Apart) -> FloatTensor<Self> {
        means::mean_between_neighbours_tracked::<B, C>(x, apart)
    }

    fn blend(
        below: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        above: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        blend::tracked::<B, C>(below, mask, above)
    }
}
