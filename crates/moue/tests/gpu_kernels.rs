//! The kernels for GPUs against the CPU's, forward and backward, on the device that `MOUE_DEVICE` names.
#![cfg(feature = "gpu")]

use burn::tensor::{Device, Tensor, TensorData};
use moue_kernels::{
    AdamStep, Apart, Logistic, adam, attention, bilinear, blend, compute_exactly, convolution, doubled,
    grid_sample, halved, instance_norm, logistic, matrix_vector, mean_absolute, mean_between_neighbours,
    moving_average, normalised, scaled_leaky_relu, transposed_convolution, vector_matrix,
    weighted_mean_absolute,
};

/// The GPU at test.
fn gpu() -> Device {
    let name = std::env::var("MOUE_DEVICE").expect("MOUE_DEVICE names a GPU: cuda:0 or wgpu");
    let device = moue::base::device::device(&name).expect("the GPU is there");
    assert_ne!(device, Device::flex(), "MOUE_DEVICE names a GPU");
    device
}

/// Numbers in -1..1 that look random.
fn numbers(shape: &[usize], seed: usize) -> Vec<f32> {
    let value = |n: usize| ((n + 1) * (7919 + 104_729 * seed) % 2003) as f32 / 1001.5 - 1.0;
    (0..shape.iter().product()).map(value).collect()
}

/// How a tensor's numbers lie in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lies {
    Planar,
    Interleaved,
    InASlice,
}

const ALL: [Lies; 3] = [Lies::Planar, Lies::Interleaved, Lies::InASlice];

/// [`numbers`] that lie so; the same numbers on every device.
fn map(shape: [usize; 4], seed: usize, lies: Lies, device: &Device) -> Tensor<4> {
    let [batch, channels, height, width] = shape;
    let data = TensorData::new(numbers(&shape, seed), shape);
    let planar = Tensor::<4>::from_data(data, device);
    match lies {
        Lies::Planar => planar,
        Lies::Interleaved => {
            // Adding makes it anew in the order that it is asked for.
            let pixels = planar.permute([0, 2, 3, 1]).reshape([batch * height * width * channels]) + 0.0;
            pixels.reshape([batch, height, width, channels]).permute([0, 3, 1, 2])
        }
        Lies::InASlice => Tensor::cat(vec![planar.clone() * 3.0, planar], 1)
            .permute([0, 2, 3, 1])
            .slice([0..batch, 0..height, 0..width, channels..2 * channels])
            .permute([0, 3, 1, 2]),
    }
}

fn vector(length: usize, seed: usize, device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(numbers(&[length], seed), [length]), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

/// That what a GPU made is what the CPU made, by the length of the difference.
fn agree(what: &str, made: &[Vec<f32>], wanted: &[Vec<f32>]) {
    assert_eq!(made.len(), wanted.len());
    for (n, (made, wanted)) in made.iter().zip(wanted).enumerate() {
        assert_eq!(made.len(), wanted.len(), "{what} {n}");
        let length = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
        let error = length(&mut made.iter().zip(wanted).map(|(a, b)| a - b));
        let all = length(&mut wanted.iter().copied());
        assert!(all > 0.0 && error <= 1e-5 * all, "{what} {n}: {error} of {all}");
    }
}

/// `operation` of maps and vectors, and its gradients by all of them, each given as its shape and how it lies.
fn checked<const M: usize, const V: usize>(
    what: &str,
    maps: [([usize; 4], Lies); M],
    vectors: [usize; V],
    operation: impl Fn([Tensor<4>; M], [Tensor<1>; V]) -> Tensor<4>,
) {
    let of = |device: &Device| {
        let maps: [Tensor<4>; M] = std::array::from_fn(|n| map(maps[n].0, n, maps[n].1, device));
        let vectors: [Tensor<1>; V] = std::array::from_fn(|n| vector(vectors[n], 10 + n, device));
        let untracked = values(operation(maps.clone(), vectors.clone()));
        let maps = maps.map(|map| map.autodiff().require_grad());
        let vectors = vectors.map(|vector| vector.autodiff().require_grad());
        let y = operation(maps.clone(), vectors.clone());
        let weights = map(y.dims(), 20, Lies::Planar, device).autodiff();
        let mut gradients = (y.clone() * weights).sum().backward();
        let mut all = vec![untracked, values(y.without_autodiff())];
        all.extend(maps.map(|map| values(map.grad_remove(&mut gradients).expect("it is tracked"))));
        all.extend(vectors.map(|vector| values(vector.grad_remove(&mut gradients).expect("it is tracked"))));
        all
    };
    agree(what, &of(&gpu()), &of(&Device::flex()));
}

const SHAPES: [[usize; 4]; 4] = [[2, 3, 6, 8], [3, 37, 4, 2], [1, 64, 2, 2], [2, 8, 70, 66]];

#[test]
fn instance_norm_agrees() {
    for (shape, lies) in SHAPES.into_iter().flat_map(|shape| ALL.map(|lies| (shape, lies))) {
        for relu in [false, true] {
            checked(&format!("{shape:?} {lies:?} {relu}"), [(shape, lies)], [shape[1]; 2], |[x], [w, b]| {
                instance_norm(x, w, b, relu)
            });
        }
    }
}

#[test]
fn leaky_relu_agrees() {
    for (shape, lies) in SHAPES.into_iter().flat_map(|shape| ALL.map(|lies| (shape, lies))) {
        checked(&format!("{shape:?} {lies:?}"), [(shape, lies)], [1, shape[1]], |[x], [scale, bias]| {
            scaled_leaky_relu(x, scale, bias, 0.01)
        });
    }
}

#[test]
fn resizing_agrees() {
    for (shape, lies) in SHAPES.into_iter().flat_map(|shape| ALL.map(|lies| (shape, lies))) {
        checked(&format!("halved {shape:?} {lies:?}"), [(shape, lies)], [], |[x], []| halved(x));
        checked(&format!("doubled {shape:?} {lies:?}"), [(shape, lies)], [], |[x], []| doubled(x));
    }
    checked("of one row", [([1, 2, 1, 3], Lies::Planar)], [], |[x], []| doubled(x));
}

#[test]
fn edits_agree() {
    for (shape, lies) in SHAPES.into_iter().flat_map(|shape| ALL.map(|lies| (shape, lies))) {
        let [batch, _, height, width] = shape;
        let mask = [batch, 1, height, width];
        let flow = [batch, 2, height, width];
        checked(&format!("blend {shape:?} {lies:?}"), [(shape, lies), (mask, lies), (shape, lies)], [], {
            |[below, mask, above], []| blend(below, mask, above)
        });
        checked(&format!("grid sample {shape:?} {lies:?}"), [(shape, lies), (flow, lies)], [], {
            |[x, flow], []| grid_sample(x, flow * 0.9)
        });
        for function in [Logistic::SIGMOID, Logistic::tanh(0.3)] {
            checked(&format!("logistic {shape:?} {lies:?}"), [(shape, lies)], [], |[x], []| {
                logistic(x * 5.0, function)
            });
        }
    }
}

#[test]
fn means_agree() {
    let map_of = |mean: Tensor<1>| mean.reshape([1, 1, 1, 1]);
    for (shape, lies) in SHAPES.into_iter().flat_map(|shape| ALL.map(|lies| (shape, lies))) {
        let [batch, _, height, width] = shape;
        checked(&format!("mean {shape:?} {lies:?}"), [(shape, lies)], [], |[x], []| map_of(mean_absolute(x)));
        for images in [1, batch] {
            checked(&format!("weighted {shape:?} {lies:?} {images}"), [(shape, lies)], [], |[x], []| {
                let device = x.device().without_autodiff();
                let weights = map([images, 1, height, width], 5, Lies::Planar, &device);
                map_of(weighted_mean_absolute(x, weights))
            });
        }
        for apart in [Apart::Absolute, Apart::Squared] {
            checked(&format!("{apart:?} {shape:?} {lies:?}"), [(shape, lies)], [], |[x], []| {
                map_of(mean_between_neighbours(x, apart))
            });
        }
    }
}

#[test]
fn gradients_of_biases_agree() {
    // A matrix product in it may be rounded to fewer digits on a GPU; the sums are what is looked at.
    let of = |device: &Device| {
        let x = map([2, 3, 9, 9], 1, Lies::Planar, device);
        let weight = map([5, 3, 3, 3], 2, Lies::Planar, device);
        let bias = vector(5, 3, device).autodiff().require_grad();
        let y = convolution(x.autodiff(), weight.autodiff(), Some(bias.clone()), 1, 1);
        let mut gradients = (y * map([2, 5, 9, 9], 4, Lies::Planar, device).autodiff()).sum().backward();
        vec![values(bias.grad_remove(&mut gradients).expect("it is tracked"))]
    };
    agree("bias", &of(&gpu()), &of(&Device::flex()));
}

#[test]
fn what_half_of_a_batch_adds_and_half_takes_away_leaves_no_bias_a_gradient() {
    // As a critic's last layer has it.
    let device = gpu();
    for lies in [Lies::Planar, Lies::Interleaved] {
        let bias = vector(3, 1, &device).autodiff().require_grad();
        let (x, scale) = (map([8, 3, 23, 31], 2, lies, &device).autodiff(), vector(1, 3, &device).autodiff());
        let y = scaled_leaky_relu(x, scale, bias.clone(), 1.0);
        let halves = [1.0, -1.0].map(|sign| Tensor::full([4, 3, 23, 31], sign / 3.0, &device));
        let mut gradients = (y * Tensor::cat(halves.to_vec(), 0).autodiff()).sum().backward();
        assert_eq!(values(bias.grad_remove(&mut gradients).expect("it is tracked")), [0.0; 3], "{lies:?}");
    }
}

#[test]
fn steps_agree_and_leave_what_others_hold() {
    // More tensors than a launch takes, of no number, of one cube's, of more and of less.
    let lengths: Vec<_> = (0..80).map(|n| n * 37).chain([1024, 2048, 100_003]).collect();
    let of = |device: &Device| {
        let tensors = |seed| lengths.iter().map(|&length| vector(length, seed, device)).collect::<Vec<_>>();
        let [p, g, m] = [1, 2, 3].map(tensors);
        let v = tensors(4).into_iter().map(Tensor::abs).collect();
        let step = AdamStep { rate: 2e-4, beta1: 0.5, beta2: 0.999, correction: 0.1, epsilon: 1e-8 };
        let mut all = adam(p.clone(), g.clone(), m.clone(), v, step).to_vec();
        all.push(moving_average(m.clone(), p.clone(), 0.002));
        all.extend([p, g, m]);
        all.into_iter().map(|tensors| tensors.into_iter().flat_map(values).collect()).collect::<Vec<_>>()
    };
    agree("adam", &of(&gpu()), &of(&Device::flex()));
}

#[test]
fn products_with_vectors_agree() {
    for [rows, columns] in [[1, 5], [37, 300], [256, 2048]] {
        let of = |device: &Device| {
            let matrix = map([rows, columns, 1, 1], 1, Lies::Planar, device).reshape([rows, columns]);
            let [left, right] = [(rows, 2), (columns, 3)].map(|(length, seed)| vector(length, seed, device));
            let tracked = matrix.clone().autodiff().require_grad();
            let sigma = bilinear(left.clone(), tracked.clone(), right.clone());
            let mut gradients = (sigma.clone() * 3.0).backward();
            let products =
                [matrix_vector(matrix.clone(), right.clone()), vector_matrix(left.clone(), matrix)];
            let vectors = [normalised(left), normalised(right * 0.0 + 1e-20)];
            let mut all: Vec<_> = products.into_iter().chain(vectors).map(values).collect();
            all.push(values(sigma.without_autodiff()));
            all.push(values(tracked.grad_remove(&mut gradients).expect("it is tracked")));
            all
        };
        agree(&format!("{rows} x {columns}"), &of(&gpu()), &of(&Device::flex()));
    }
}

/// Images, the kernel's sides, stride and padding: sides that the stride divides or not, more and fewer channels than a
/// tile has, and so few positions that what is summed over is divided.
const CONVOLUTIONS: [([usize; 4], [usize; 4], usize, usize); 9] = [
    ([2, 3, 9, 11], [20, 3, 7, 7], 1, 3),
    ([2, 5, 12, 8], [70, 5, 4, 4], 2, 1),
    ([2, 5, 9, 11], [17, 5, 4, 4], 2, 1),
    ([3, 40, 6, 5], [33, 40, 3, 3], 1, 1),
    ([1, 6, 13, 10], [4, 6, 5, 5], 3, 1),
    ([2, 9, 7, 7], [8, 9, 1, 7], 1, 0),
    ([2, 7, 6, 6], [65, 7, 1, 1], 1, 0),
    ([1, 200, 4, 4], [9, 200, 4, 4], 2, 1),
    ([1, 130, 2, 2], [3, 130, 2, 2], 1, 0),
];

#[test]
fn exact_convolutions_agree() {
    compute_exactly(true);
    for (image, weight, stride, padding) in CONVOLUTIONS {
        for lies in [Lies::Planar, Lies::Interleaved] {
            let what = format!("{image:?} by {weight:?}, stride {stride}, padding {padding}, {lies:?}");
            let maps = [(image, lies), (weight, Lies::Planar)];
            checked(&what, maps, [], |[x, w], []| convolution(x, w, None, stride, padding));
            checked(&what, maps, [weight[0]], |[x, w], [b]| convolution(x, w, Some(b), stride, padding));
            let [inputs, outputs, height, width] = weight;
            let maps = [([2, inputs, 5, 6], lies), ([inputs, outputs, height, width], Lies::Planar)];
            checked(&format!("transposed: {what}"), maps, [], |[x, w], []| {
                transposed_convolution(x, w, stride, padding)
            });
        }
    }
}

#[test]
fn exact_attention_agrees() {
    compute_exactly(true);
    for (width, channels, positions) in [(4, 6, 10), (17, 70, 133), (1, 1, 2)] {
        let shapes = [[2, width, positions, 1], [2, width, positions, 1], [2, channels, positions, 1]];
        let what = format!("{width} {channels} {positions}");
        checked(&what, shapes.map(|shape| (shape, Lies::Planar)), [], |maps, []| {
            let [query, key, value] = maps.map(|map| map.squeeze_dim::<3>(3));
            attention(query, key, value).unsqueeze_dim(3)
        });
    }
}
