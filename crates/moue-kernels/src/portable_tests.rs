//! The portable bodies, which are used where a machine has no kernel of its own, against the CPU's, forward and backward.

use burn::Tensor;
use burn::backend::Flex;
use burn::tensor::{Device, TensorData};
use burn_flex::FlexTensor;

use crate::attention::portable::Tiling;
use crate::{
    Apart, Depthwise, Logistic, Operations, Pooling, Step, attention, blend, convolution, depthwise,
    grid_sample, instance_norm, labelled, leaky_relu, logistic, means, pooling, products, resize,
};

/// Numbers in -1..1 that look random.
fn numbers<const D: usize>(shape: [usize; D], seed: usize) -> FlexTensor {
    let value = |n: usize| ((n + 1) * (7919 + 104_729 * seed) % 2003) as f32 / 1001.5 - 1.0;
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex());
    tensor.try_into_primitive::<Flex>().expect("it was made on the CPU")
}

fn agree<const N: usize>(what: &str, fast: [FlexTensor; N], portable: [FlexTensor; N]) {
    for (n, (fast, portable)) in fast.into_iter().zip(portable).enumerate() {
        let [fast, portable] = [fast, portable].map(|t| t.into_data().try_into_vec::<f32>().expect("f32"));
        assert_eq!(fast.len(), portable.len(), "{what} {n}");
        let length = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
        let error = length(&mut fast.iter().zip(&portable).map(|(a, b)| a - b));
        let all = length(&mut portable.iter().copied());
        assert!(all > 0.0 && error <= 1e-5 * all, "{what} {n}: {error} of {all}");
    }
}

#[test]
fn instance_norms_agree() {
    for relu in [false, true] {
        let (x, output) = (numbers([3, 5, 6, 7], 1), numbers([3, 5, 6, 7], 2));
        let (weight, bias) = (numbers([5], 3), numbers([5], 4));
        let fast = Flex::instance_norm_forward(x.clone(), weight.clone(), bias.clone(), relu);
        let portable =
            instance_norm::portable::forward::<Flex>(x.clone(), weight.clone(), bias.clone(), relu);
        let (mean, inverse) = (fast.1.clone(), fast.2.clone());
        agree("forward", [fast.0, fast.1, fast.2], [portable.0, portable.1, portable.2]);
        let (a, b, c) = Flex::instance_norm_backward(
            x.clone(),
            weight.clone(),
            bias.clone(),
            mean.clone(),
            inverse.clone(),
            output.clone(),
            relu,
        );
        let (d, e, f) =
            instance_norm::portable::backward::<Flex>(x, [weight, bias], [mean, inverse], output, relu);
        agree("backward", [a, b, c], [d, e, f]);
    }
}

#[test]
fn attentions_agree() {
    for [batch, width, channels, positions] in [[2, 3, 5, 70], [1, 8, 64, 300]] {
        let [query, key] = [1, 2].map(|seed| numbers([batch, width, positions], seed));
        let [value, output] = [3, 4].map(|seed| numbers([batch, channels, positions], seed));
        let fast = Flex::position_attention_forward(query.clone(), key.clone(), value.clone());
        let portable = attention::portable::forward::<Flex>(
            query.clone(),
            key.clone(),
            value.clone(),
            Tiling::default(),
        );
        let (attended, statistics) = fast.clone();
        agree("forward", [fast.0, fast.1], [portable.0, portable.1]);
        let inputs = [query.clone(), key.clone(), value.clone()];
        let (a, b, c) = Flex::position_attention_backward(
            query,
            key,
            value,
            attended.clone(),
            statistics.clone(),
            output.clone(),
        );
        let (d, e, f) =
            attention::portable::backward::<Flex>(inputs, attended, statistics, output, Tiling::default());
        agree("backward", [a, b, c], [d, e, f]);
    }
}

#[test]
fn leaky_relus_agree() {
    let [x, output] = [1, 2].map(|seed| numbers([3, 5, 6, 7], seed));
    let (scale, bias) = (numbers([1], 3), numbers([5], 4));
    let fast = Flex::scaled_leaky_relu(x.clone(), scale.clone(), bias.clone(), 0.2);
    let y = leaky_relu::portable::forward::<Flex>(x.clone(), scale.clone(), bias, 0.2);
    agree("forward", [fast.clone()], [y]);
    let (a, b, c) =
        Flex::scaled_leaky_relu_backward(x.clone(), scale.clone(), fast.clone(), output.clone(), 0.2);
    let (d, e, f) = leaky_relu::portable::backward::<Flex>(x, scale, fast, output, 0.2);
    agree("backward", [a, b, c], [d, e, f]);
}

#[test]
fn products_with_vectors_agree() {
    let (left, matrix, right) = (numbers([17], 1), numbers([17, 33], 2), numbers([33], 3));
    let fast = Flex::matrix_vector(matrix.clone(), right.clone());
    agree("W v", [fast], [products::portable::matrix_vector::<Flex>(matrix.clone(), right.clone())]);
    let fast = Flex::vector_matrix(left.clone(), matrix.clone());
    agree("W^T u", [fast], [products::portable::vector_matrix::<Flex>(left.clone(), matrix.clone())]);
    let fast = Flex::bilinear(left.clone(), matrix.clone(), right.clone());
    agree("u^T W v", [fast], [products::portable::bilinear::<Flex>(left.clone(), matrix, right.clone())]);
    let scale = numbers([1], 4);
    let fast = Flex::outer_product(left.clone(), right.clone(), scale.clone());
    agree("u v^T", [fast], [products::portable::outer_product::<Flex>(left, right, scale)]);
}

#[test]
fn convolutions_agree() {
    let step = Step { stride: 2, padding: 1 };
    let (x, weight, output) = (numbers([2, 3, 8, 8], 1), numbers([5, 3, 4, 4], 2), numbers([2, 5, 4, 4], 3));
    let fast = [
        Flex::convolution(x.clone(), weight.clone(), step),
        Flex::biased_convolution(x.clone(), weight.clone(), numbers([5], 4), step),
        Flex::convolution_x_gradient(x.clone(), weight.clone(), output.clone(), step),
        Flex::convolution_weight_gradient(x.clone(), weight.clone(), output.clone(), step),
        Flex::channel_sums(output.clone()),
        Flex::transposed_convolution(output.clone(), weight.clone(), step),
        Flex::transposed_convolution_x_gradient(weight.clone(), x.clone(), step),
        Flex::transposed_convolution_weight_gradient(output.clone(), weight.clone(), x.clone(), step),
    ];
    use convolution::portable;
    let portable = [
        portable::convolution::<Flex>(x.clone(), weight.clone(), step),
        portable::biased_convolution::<Flex>(x.clone(), weight.clone(), numbers([5], 4), step),
        portable::convolution_x_gradient::<Flex>(x.clone(), weight.clone(), output.clone(), step),
        portable::convolution_weight_gradient::<Flex>(x.clone(), weight.clone(), output.clone(), step),
        portable::channel_sums::<Flex>(output.clone()),
        portable::transposed_convolution::<Flex>(output.clone(), weight.clone(), step),
        portable::transposed_convolution_x_gradient::<Flex>(weight.clone(), x.clone(), step),
        portable::transposed_convolution_weight_gradient::<Flex>(output, weight, x, step),
    ];
    agree("convolution", fast, portable);
}

#[test]
fn grid_samples_agree() {
    for shape in [[2, 3, 7, 9], [1, 2, 1, 5], [3, 1, 8, 8]] {
        let [batch, _, height, width] = shape;
        let (x, output) = (numbers(shape, 1), numbers(shape, 2));
        // Offsets of up to a whole image: many places lie outside.
        let flow = numbers([batch, 2, height, width], 3);
        let fast = [
            Flex::grid_sample(x.clone(), flow.clone()),
            Flex::grid_sample_x_gradient(flow.clone(), output.clone()),
            Flex::grid_sample_flow_gradient(x.clone(), flow.clone(), output.clone()),
        ];
        let portable = [
            grid_sample::portable::forward::<Flex>(x.clone(), flow.clone()),
            grid_sample::portable::x_gradient::<Flex>(flow.clone(), output.clone()),
            grid_sample::portable::flow_gradient::<Flex>(x, flow, output),
        ];
        agree("grid sample", fast, portable);
    }
}

#[test]
fn sizes_agree() {
    for shape in [[2, 3, 6, 8], [1, 1, 2, 2], [3, 2, 34, 20]] {
        let x = numbers(shape, 1);
        let fast = [
            Flex::halved(x.clone()),
            Flex::doubled(x.clone()),
            Flex::halved_gradient(x.clone()),
            Flex::doubled_gradient(x.clone()),
        ];
        let portable = [
            resize::portable::halved::<Flex>(x.clone()),
            resize::portable::doubled::<Flex>(x.clone()),
            resize::portable::halved_gradient::<Flex>(x.clone()),
            resize::portable::doubled_gradient::<Flex>(x),
        ];
        agree("sizes", fast, portable);
    }
}

#[test]
fn edits_agree() {
    let [x, output, below] = [1, 2, 3].map(|seed| numbers([2, 3, 7, 5], seed));
    for function in [Logistic::SIGMOID, Logistic::tanh(0.25)] {
        let y = Flex::logistic(x.clone(), function);
        agree("logistic", [y.clone()], [logistic::portable::forward::<Flex>(x.clone(), function)]);
        let gradient = Flex::logistic_gradient(y.clone(), output.clone(), function);
        agree(
            "its gradient",
            [gradient],
            [logistic::portable::gradient::<Flex>(y, output.clone(), function)],
        );
    }
    let mask = numbers([2, 1, 7, 5], 4);
    let fast = Flex::blend(below.clone(), mask.clone(), x.clone());
    agree("blend", [fast], [blend::portable::forward::<Flex>(below.clone(), mask.clone(), x.clone())]);
    let (a, b, c) = Flex::blend_backward(below.clone(), mask.clone(), x.clone(), output.clone());
    let (d, e, f) = blend::portable::backward::<Flex>(below, mask, x, output);
    agree("blend's gradients", [a, b, c], [d, e, f]);
}

#[test]
fn means_agree() {
    for [batch, channels, height, width] in [[3, 5, 6, 7], [2, 1, 2, 40], [1, 3, 33, 2]] {
        let (x, output) = (numbers([batch, channels, height, width], 1), numbers([1], 2));
        for images in [1, batch] {
            let weights = numbers([images, 1, height, width], 3);
            let fast = Flex::weighted_mean_absolute(x.clone(), weights.clone());
            let portable = means::portable::mean_absolute::<Flex>(x.clone(), Some(weights.clone()));
            agree("weighted mean", [fast], [portable]);
            let fast = Flex::weighted_mean_absolute_gradient(x.clone(), weights.clone(), output.clone());
            let weights = Some(weights);
            let portable =
                means::portable::mean_absolute_gradient::<Flex>(x.clone(), weights, output.clone());
            agree("its gradient", [fast], [portable]);
        }
        let fast = Flex::mean_absolute(x.clone());
        agree("mean", [fast], [means::portable::mean_absolute::<Flex>(x.clone(), None)]);
        let fast = Flex::mean_absolute_gradient(x.clone(), output.clone());
        let portable = means::portable::mean_absolute_gradient::<Flex>(x.clone(), None, output.clone());
        agree("its gradient", [fast], [portable]);
        for apart in [Apart::Absolute, Apart::Squared] {
            let fast = Flex::mean_between_neighbours(x.clone(), apart);
            let portable = means::portable::mean_between_neighbours::<Flex>(x.clone(), apart);
            agree("between neighbours", [fast], [portable]);
            let fast = Flex::mean_between_neighbours_gradient(x.clone(), output.clone(), apart);
            let portable =
                means::portable::mean_between_neighbours_gradient::<Flex>(x.clone(), output.clone(), apart);
            agree("its gradient", [fast], [portable]);
        }
    }
}

#[test]
fn poolings_agree() {
    let kinds = [Pooling::new(3, 2), Pooling::new(2, 2), Pooling::around(3), Pooling::around(5)];
    let strange = [Pooling { size: 3, stride: 2, padding: 1 }, Pooling { size: 4, stride: 3, padding: 2 }];
    for pooling in kinds.into_iter().chain(strange) {
        for [height, width] in [[7, 7], [6, 35], [5, 64], [8, 3]] {
            let x = numbers([2, 3, height, width], 1);
            let what = format!("{pooling:?} of {height} x {width}");
            let largest = Flex::max_pooling(x.clone(), pooling);
            agree(&what, [largest], [pooling::portable::max::<Flex>(x.clone(), pooling)]);
            let mean = Flex::mean_pooling(x.clone(), pooling);
            agree(&what, [mean], [pooling::portable::mean::<Flex>(x, pooling)]);
        }
    }
    let none = Tensor::<4>::from_data([[[[1.0, f32::NAN, 2.0, 3.0, 4.0]]]], &Device::flex());
    let none = none.try_into_primitive::<Flex>().expect("it was made on the CPU");
    let largest = Flex::max_pooling(none, Pooling::around(1)).into_data().try_into_vec::<f32>();
    assert!(largest.expect("f32")[1].is_nan());
}

#[test]
fn convolutions_of_each_channel_by_itself_agree() {
    let places = [(1, [1, 1]), (2, [0, 1]), (2, [1, 1]), (1, [0, 0]), (3, [2, 1])];
    for ((stride, padding), size) in places.into_iter().flat_map(|places| [(places, 3), (places, 5)]) {
        for [height, width] in [[7, 7], [6, 35], [5, 64], [8, 6]] {
            let (x, weight) = (numbers([2, 3, height, width], 1), numbers([3, 1, size, size], 2));
            let places = Depthwise { stride, padding };
            let what = format!("{places:?}, {size} x {size} of {height} x {width}");
            let fast = Flex::depthwise(x.clone(), weight.clone(), places);
            agree(&what, [fast], [depthwise::portable::forward::<Flex>(x, weight, places)]);
        }
    }
}

#[test]
fn labelled_convolutions_agree() {
    // Larger than the kernel, as large, and smaller, for which the CPU has none of its own.
    for (image, [outputs, kernel]) in [
        ([3, 3, 12, 9], [5, 7]),
        ([1, 2, 7, 20], [4, 7]),
        ([2, 1, 3, 3], [2, 3]),
        ([2, 3, 4, 6], [3, 5]),
        ([2, 2, 5, 4], [3, 1]),
    ] {
        let [batch, inputs, height, width] = image;
        let (padding, what) = (kernel / 2, format!("{image:?} by {outputs} of {kernel}"));
        let (x, labels) = (numbers(image, 1), numbers([batch, 6], 2));
        let weight = numbers([outputs, inputs + 6, kernel, kernel], 3);
        let output = numbers([batch, outputs, height, width], 4);
        let (fast, kept) =
            Flex::labelled_convolution_forward(x.clone(), labels.clone(), weight.clone(), padding);
        let (plain, whole) = labelled::portable::forward::<Flex>(x, labels.clone(), weight.clone(), padding);
        agree(&what, [fast], [plain]);
        let fast = [
            Flex::labelled_convolution_x_gradient(
                kept.clone(),
                labels.clone(),
                weight.clone(),
                output.clone(),
                padding,
            ),
            Flex::labelled_convolution_weight_gradient(
                kept,
                labels.clone(),
                weight.clone(),
                output.clone(),
                padding,
            ),
        ];
        let plain = [
            labelled::portable::x_gradient::<Flex>(
                whole.clone(),
                labels,
                weight.clone(),
                output.clone(),
                padding,
            ),
            labelled::portable::weight_gradient::<Flex>(whole, weight, output, padding),
        ];
        agree(&format!("gradients of {what}"), fast, plain);
    }
}
