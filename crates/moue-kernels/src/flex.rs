//! The operations on burn's CPU backend, and the numbers of its tensors.

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};

use crate::attention::portable::Tiling;
use crate::{
    AdamStep, Apart, Depthwise, Logistic, Operations, Pooling, Step, Tensors, adam, attention,
    attention_flex, blend, convolution, convolution_flex, depthwise, grid_sample, grid_sample_flex,
    instance_norm, instance_norm_flex, labelled, labelled_flex, leaky_relu, logistic, means, pooling,
    products, resize,
};

/// Whether the kernels can take a tensor: they know only f32, and nothing is left to them of an empty one.
pub(crate) fn takes(x: &FlexTensor) -> bool {
    x.dtype() == DType::F32 && x.shape().num_elements() > 0
}

/// The numbers of a contiguous tensor, in order.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    let layout = tensor.layout();
    debug_assert!(layout.is_contiguous());
    &tensor.storage::<f32>()[layout.start_offset()..][..layout.num_elements()]
}

/// A tensor of `numbers`.
pub(crate) fn tensor(numbers: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(numbers), Layout::contiguous(shape), DType::F32)
}

impl Operations for Flex {
    fn position_attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if [&query, &key, &value].into_iter().all(takes) {
            attention_flex::forward(query, key, value)
        } else {
            attention::portable::forward::<Self>(query, key, value, Tiling::default())
        }
    }

    fn position_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if [&query, &key, &value].into_iter().all(takes) {
            attention_flex::backward([query, key, value], attended, statistics, output)
        } else {
            attention::portable::backward::<Self>(
                [query, key, value],
                attended,
                statistics,
                output,
                Tiling::default(),
            )
        }
    }

    fn adam(
        parameters: Tensors<Self>,
        gradients: Tensors<Self>,
        means: Tensors<Self>,
        squares: Tensors<Self>,
        step: AdamStep,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        adam::fused(parameters, gradients, means, squares, step)
    }

    fn moving_average(averages: Tensors<Self>, parameters: Tensors<Self>, share: f32) -> Tensors<Self> {
        adam::fused_moving_average(averages, parameters, share)
    }

    fn scaled_leaky_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            leaky_relu::fast::forward(x, scale, bias, slope)
        } else {
            leaky_relu::portable::forward::<Self>(x, scale, bias, slope)
        }
    }

    fn scaled_leaky_relu_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        output: FloatTensor<Self>,
        slope: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if takes(&x) {
            leaky_relu::fast::backward(x, scale, y, output, slope)
        } else {
            leaky_relu::portable::backward::<Self>(x, scale, y, output, slope)
        }
    }

    fn convolution(x: FloatTensor<Self>, weight: FloatTensor<Self>, step: Step) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::convolution(x, weight, step)
        } else {
            convolution::portable::convolution::<Self>(x, weight, step)
        }
    }

    fn biased_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::biased_convolution(x, weight, bias, step)
        } else {
            convolution::portable::biased_convolution::<Self>(x, weight, bias, step)
        }
    }

    fn convolution_x_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::convolution_x_gradient(x, weight, output, step)
        } else {
            convolution::portable::convolution_x_gradient::<Self>(x, weight, output, step)
        }
    }

    fn convolution_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::convolution_weight_gradient(x, weight, output, step)
        } else {
            convolution::portable::convolution_weight_gradient::<Self>(x, weight, output, step)
        }
    }

    fn channel_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::channel_sums(x)
        } else {
            convolution::portable::channel_sums::<Self>(x)
        }
    }

    fn transposed_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::transposed_convolution(x, weight, step)
        } else {
            convolution::portable::transposed_convolution::<Self>(x, weight, step)
        }
    }

    fn transposed_convolution_x_gradient(
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        if takes(&weight) {
            convolution_flex::transposed_convolution_x_gradient(weight, output, step)
        } else {
            convolution::portable::transposed_convolution_x_gradient::<Self>(weight, output, step)
        }
    }

    fn transposed_convolution_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            convolution_flex::transposed_convolution_weight_gradient(x, weight, output, step)
        } else {
            convolution::portable::transposed_convolution_weight_gradient::<Self>(x, weight, output, step)
        }
    }

    fn labelled_convolution_forward(
        x: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        padding: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !labelled_flex::takes(&x, &weight, padding) {
            return labelled::portable::forward::<Self>(x, labels, weight, padding);
        }
        (labelled_flex::forward(x.clone(), labels, weight), x)
    }

    fn labelled_convolution_x_gradient(
        input: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        if !labelled_flex::takes(&input, &weight, padding) {
            return labelled::portable::x_gradient::<Self>(input, labels, weight, output, padding);
        }
        labelled_flex::x_gradient(input, &labels, weight, output)
    }

    fn labelled_convolution_weight_gradient(
        input: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        if !labelled_flex::takes(&input, &weight, padding) {
            return labelled::portable::weight_gradient::<Self>(input, weight, output, padding);
        }
        labelled_flex::weight_gradient(input, labels, weight, output)
    }

    fn grid_sample(x: FloatTensor<Self>, flow: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) {
            grid_sample_flex::forward(x, flow)
        } else {
            grid_sample::portable::forward::<Self>(x, flow)
        }
    }

    fn grid_sample_x_gradient(flow: FloatTensor<Self>, output: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&output) {
            grid_sample_flex::x_gradient(flow, output)
        } else {
            grid_sample::portable::x_gradient::<Self>(flow, output)
        }
    }

    fn grid_sample_flow_gradient(
        x: FloatTensor<Self>,
        flow: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            grid_sample_flex::flow_gradient(x, flow, output)
        } else {
            grid_sample::portable::flow_gradient::<Self>(x, flow, output)
        }
    }

    fn instance_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if takes(&x) {
            instance_norm_flex::forward(x, weight, bias, relu)
        } else {
            instance_norm::portable::forward::<Self>(x, weight, bias, relu)
        }
    }

    fn instance_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        inverse: FloatTensor<Self>,
        output: FloatTensor<Self>,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if takes(&x) {
            instance_norm_flex::backward(x, [weight, bias], [mean, inverse], output, relu)
        } else {
            instance_norm::portable::backward::<Self>(x, [weight, bias], [mean, inverse], output, relu)
        }
    }

    fn halved(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) { resize::fast::halved(x) } else { resize::portable::halved::<Self>(x) }
    }

    fn halved_gradient(output: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&output) {
            resize::fast::halved_gradient(output)
        } else {
            resize::portable::halved_gradient::<Self>(output)
        }
    }

    fn doubled(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) { resize::fast::doubled(x) } else { resize::portable::doubled::<Self>(x) }
    }

    fn doubled_gradient(output: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&output) {
            resize::fast::doubled_gradient(output)
        } else {
            resize::portable::doubled_gradient::<Self>(output)
        }
    }

    fn logistic(x: FloatTensor<Self>, function: Logistic) -> FloatTensor<Self> {
        if takes(&x) {
            logistic::fast::forward(x, function)
        } else {
            logistic::portable::forward::<Self>(x, function)
        }
    }

    fn logistic_gradient(
        y: FloatTensor<Self>,
        output: FloatTensor<Self>,
        function: Logistic,
    ) -> FloatTensor<Self> {
        if takes(&y) {
            logistic::fast::gradient(y, output, function)
        } else {
            logistic::portable::gradient::<Self>(y, output, function)
        }
    }

    fn blend(
        below: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        above: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if takes(&below) {
            blend::fast::forward(below, mask, above)
        } else {
            blend::portable::forward::<Self>(below, mask, above)
        }
    }

    fn blend_backward(
        below: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        above: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if takes(&below) {
            blend::fast::backward(below, mask, above, output)
        } else {
            blend::portable::backward::<Self>(below, mask, above, output)
        }
    }

    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, places: Depthwise) -> FloatTensor<Self> {
        if takes(&x) && takes(&weight) {
            depthwise::fast::forward(x, weight, places)
        } else {
            depthwise::portable::forward::<Self>(x, weight, places)
        }
    }

    fn max_pooling(x: FloatTensor<Self>, pooling: Pooling) -> FloatTensor<Self> {
        if takes(&x) { pooling::fast::max(x, pooling) } else { pooling::portable::max::<Self>(x, pooling) }
    }

    fn mean_pooling(x: FloatTensor<Self>, pooling: Pooling) -> FloatTensor<Self> {
        if takes(&x) { pooling::fast::mean(x, pooling) } else { pooling::portable::mean::<Self>(x, pooling) }
    }

    fn mean_absolute(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) {
            means::fast::mean_absolute(x, None)
        } else {
            means::portable::mean_absolute::<Self>(x, None)
        }
    }

    fn mean_absolute_gradient(x: FloatTensor<Self>, output: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) {
            means::fast::mean_absolute_gradient(x, None, output)
        } else {
            means::portable::mean_absolute_gradient::<Self>(x, None, output)
        }
    }

    fn weighted_mean_absolute(x: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&x) {
            means::fast::mean_absolute(x, Some(weights))
        } else {
            means::portable::mean_absolute::<Self>(x, Some(weights))
        }
    }

    fn weighted_mean_absolute_gradient(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            means::fast::mean_absolute_gradient(x, Some(weights), output)
        } else {
            means::portable::mean_absolute_gradient::<Self>(x, Some(weights), output)
        }
    }

    fn mean_between_neighbours(x: FloatTensor<Self>, apart: Apart) -> FloatTensor<Self> {
        if takes(&x) {
            means::fast::mean_between_neighbours(x, apart)
        } else {
            means::portable::mean_between_neighbours::<Self>(x, apart)
        }
    }

    fn mean_between_neighbours_gradient(
        x: FloatTensor<Self>,
        output: FloatTensor<Self>,
        apart: Apart,
    ) -> FloatTensor<Self> {
        if takes(&x) {
            means::fast::mean_between_neighbours_gradient(x, output, apart)
        } else {
            means::portable::mean_between_neighbours_gradient::<Self>(x, output, apart)
        }
    }

    fn matrix_vector(matrix: FloatTensor<Self>, vector: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&matrix) {
            products::fast::matrix_vector(matrix, vector)
        } else {
            products::portable::matrix_vector::<Self>(matrix, vector)
        }
    }

    fn vector_matrix(vector: FloatTensor<Self>, matrix: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&matrix) {
            products::fast::vector_matrix(vector, matrix)
        } else {
            products::portable::vector_matrix::<Self>(vector, matrix)
        }
    }

    fn bilinear(
        left: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        right: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if takes(&matrix) {
            products::fast::bilinear(left, matrix, right)
        } else {
            products::portable::bilinear::<Self>(left, matrix, right)
        }
    }

    fn outer_product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if takes(&left) {
            products::fast::outer_product(left, right, scale)
        } else {
            products::portable::outer_product::<Self>(left, right, scale)
        }
    }

    fn normalised(vector: FloatTensor<Self>) -> FloatTensor<Self> {
        if takes(&vector) {
            products::fast::normalised(vector)
        } else {
            products::portable::normalised::<Self>(vector)
        }
    }
}
