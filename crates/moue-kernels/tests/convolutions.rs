//! The convolutions against burn's own, forward and backward, and against themselves on other numbers of threads.

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};
use moue_kernels::{Depthwise, convolution, depthwise, transposed_convolution};

/// A small generator of numbers, so that every run tests the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn from(&mut self, choices: &[usize]) -> usize {
        choices[self.next() as usize % choices.len()]
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let numbers: Vec<f32> =
            (0..shape.iter().product()).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect();
        Tensor::from_data(TensorData::new(numbers, shape), &Device::flex().autodiff())
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    inputs: usize,
    outputs: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    biased: bool,
}

fn cases() -> Vec<Case> {
    let case = |batch, [inputs, outputs]: [usize; 2], size, kernel, stride, padding| Case {
        batch,
        inputs,
        outputs,
        size: [size; 2],
        kernel: [kernel; 2],
        stride,
        padding,
        biased: true,
    };
    let mut cases = vec![
        case(2, [11, 8], 16, 7, 1, 3),
        case(2, [32, 3], 20, 7, 1, 3), // turned
        case(1, [16, 1], 9, 3, 1, 0),  // turned
        case(16, [40, 72], 2, 4, 2, 1),
        case(3, [24, 24], 8, 3, 1, 1),
        case(3, [20, 9], 17, 1, 1, 0), // pointwise where it lies
        case(5, [20, 9], 3, 1, 1, 0),
        case(4, [33, 8], 1, 1, 1, 0),
        case(1, [64, 4], 100, 5, 1, 2),
        case(1, [64, 40], 96, 7, 1, 3), // columns of a sample in several groups
        case(9, [32, 16], 48, 3, 1, 1), // samples in several groups
    ];
    let mut numbers = Numbers(1);
    while cases.len() < 60 {
        let case = Case {
            batch: numbers.from(&[1, 2, 3, 5]),
            inputs: numbers.from(&[1, 2, 3, 7, 16]),
            outputs: numbers.from(&[1, 2, 5, 8]),
            size: [0; 2].map(|_| numbers.from(&[1, 2, 3, 4, 5, 8, 11])),
            kernel: [0; 2].map(|_| numbers.from(&[1, 2, 3, 4, 7])),
            stride: numbers.from(&[1, 1, 2, 3]),
            padding: numbers.from(&[0, 1, 2, 3]),
            biased: numbers.from(&[0, 1]) == 1,
        };
        if (0..2).all(|side| case.size[side] + 2 * case.padding >= case.kernel[side]) {
            cases.push(case);
        }
    }
    cases
}

fn close<const D: usize>(name: &str, ours: &Tensor<D>, theirs: &Tensor<D>, case: Case) {
    assert_eq!(ours.dims(), theirs.dims(), "{name} of {case:?}");
    let length = |tensor: Tensor<D>| tensor.square().sum().sqrt().into_scalar::<f32>();
    let (error, scale) = (length(ours.clone() - theirs.clone()), length(theirs.clone()));
    assert!(error <= 1e-4 * scale.max(1e-6), "{name} of {case:?}: {error} of {scale}");
}

/// The outputs and, for random gradients of them, the gradients of all inputs.
fn gradients<const N: usize>(
    inputs: [&Tensor<4>; N],
    bias: Option<&Tensor<1>>,
    seed: u64,
    forward: impl Fn([Tensor<4>; N], Option<Tensor<1>>) -> Tensor<4>,
) -> (Tensor<4>, [Tensor<4>; N], Option<Tensor<1>>) {
    let inputs = inputs.map(|tensor| tensor.clone().require_grad());
    let bias = bias.map(|tensor| tensor.clone().require_grad());
    // A view in other order, as what comes out of attention is.
    let output = forward(inputs.clone().map(|tensor| tensor.swap_dims(2, 3)), bias.clone());
    let weight = Numbers(seed).tensor(output.dims());
    let gradients = (output.clone() * weight).sum().backward();
    let of = |tensor: &Tensor<4>| tensor.grad(&gradients).expect("a tracked input has a gradient");
    let of_bias = bias.map(|bias| bias.grad(&gradients).expect("a tracked bias has a gradient"));
    (output.without_autodiff(), inputs.each_ref().map(of), of_bias)
}

#[test]
fn convolutions_equal_burns() {
    for (seed, case) in cases().into_iter().enumerate() {
        let Case {
            batch,
            inputs,
            outputs,
            size: [height, width],
            kernel: [tall, wide],
            stride,
            padding,
            biased,
        } = case;
        let mut numbers = Numbers(seed as u64);
        let x = numbers.tensor([batch, inputs, width, height]);
        let weight = numbers.tensor([outputs, inputs, wide, tall]);
        let bias = biased.then(|| numbers.tensor([outputs]));
        let ours = gradients([&x, &weight], bias.as_ref(), 7, |[x, weight], bias| {
            convolution(x, weight, bias, stride, padding)
        });
        let theirs = gradients([&x, &weight], bias.as_ref(), 7, |[x, weight], bias| {
            conv2d(x, weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
        });
        close("output", &ours.0, &theirs.0, case);
        close("gradient of x", &ours.1[0], &theirs.1[0], case);
        close("gradient of weight", &ours.1[1], &theirs.1[1], case);
        if let (Some(ours), Some(theirs)) = (ours.2, theirs.2) {
            close("gradient of bias", &ours, &theirs, case);
        }
    }
}

#[test]
fn transposed_convolutions_equal_burns() {
    for (seed, case) in cases().into_iter().enumerate() {
        let Case {
            batch, inputs, outputs, size: [height, width], kernel: [tall, wide], stride, padding, ..
        } = case;
        if (height - 1) * stride + tall <= 2 * padding || (width - 1) * stride + wide <= 2 * padding {
            continue;
        }
        let mut numbers = Numbers(seed as u64);
        let x = numbers.tensor([batch, inputs, width, height]);
        let weight = numbers.tensor([inputs, outputs, wide, tall]);
        let ours = gradients([&x, &weight], None, 7, |[x, weight], _| {
            transposed_convolution(x, weight, stride, padding)
        });
        let theirs = gradients([&x, &weight], None, 7, |[x, weight], _| {
            let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [0; 2], [1; 2], 1);
            conv_transpose2d(x, weight, None, options)
        });
        close("output", &ours.0, &theirs.0, case);
        close("gradient of x", &ours.1[0], &theirs.1[0], case);
        close("gradient of weight", &ours.1[1], &theirs.1[1], case);
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let bits = |tensor: &Tensor<4>| -> Vec<u32> {
        tensor.clone().into_data().iter::<f32>().map(f32::to_bits).collect()
    };
    let large = [
        Case {
            batch: 16,
            inputs: 512,
            outputs: 1024,
            size: [2; 2],
            kernel: [4; 2],
            stride: 2,
            padding: 1,
            biased: true,
        },
        Case {
            batch: 8,
            inputs: 128,
            outputs: 128,
            size: [16; 2],
            kernel: [3; 2],
            stride: 1,
            padding: 1,
            biased: true,
        },
        Case {
            batch: 8,
            inputs: 64,
            outputs: 16,
            size: [32; 2],
            kernel: [1; 2],
            stride: 1,
            padding: 0,
            biased: true,
        },
    ];
    for case in cases().into_iter().take(12).chain(large) {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            pool.install(|| {
                let mut numbers = Numbers(3);
                let [height, width] = case.size;
                let x = numbers.tensor([case.batch, case.inputs, height, width]);
                let [tall, wide] = case.kernel;
                let weight = numbers.tensor([case.outputs, case.inputs, tall, wide]);
                let bias = numbers.tensor([case.outputs]);
                let (output, [x, weight], bias) =
                    gradients([&x, &weight], Some(&bias), 7, |[x, weight], bias| {
                        convolution(x, weight, bias, case.stride, case.padding)
                    });
                let bias = bias.expect("the bias is tracked").reshape([1, 1, 1, -1]);
                let mut numbers = Numbers(5);
                let map = numbers.tensor(output.dims());
                let kernel = numbers.tensor([case.outputs, case.inputs, tall, wide]);
                let (transposed, [map, kernel], _) = gradients([&map, &kernel], None, 9, |[x, weight], _| {
                    transposed_convolution(x, weight, case.stride, case.padding)
                });
                [output, x, weight, bias, transposed, map, kernel].map(|tensor| bits(&tensor))
            })
        };
        let single = run(1);
        for threads in [2, 3] {
            assert!(run(threads) == single, "{threads} threads differ for {case:?}");
        }
    }
}

#[test]
fn constants_have_no_gradient() {
    let mut numbers = Numbers(1);
    let (x, weight) = (numbers.tensor([2, 3, 6, 6]), numbers.tensor([4, 3, 3, 3]));
    for (x, weight) in [(x.clone().require_grad(), weight.clone()), (x, weight.require_grad())] {
        let gradients = convolution(x.clone(), weight.clone(), None, 1, 1).sum().backward();
        assert_eq!(x.grad(&gradients).is_some(), x.is_require_grad());
        assert_eq!(weight.grad(&gradients).is_some(), weight.is_require_grad());
    }
}

/// The sums of [`depthwise`] in f64, for the numbers of a map and a weight.
fn depthwise_sums(
    (x, [batch, channels, height, width]): (&[f64], [usize; 4]),
    (weight, size): (&[f64], usize),
    places: Depthwise,
) -> Vec<f64> {
    let Depthwise { stride, padding: [before, after] } = places;
    let [rows, columns] = [height, width].map(|side| (side + before + after - size) / stride + 1);
    let sum = |n: usize| {
        let (plane, row, column) = (n / (rows * columns), n / columns % rows, n % columns);
        let product = |tap: usize| {
            let row = (row * stride + tap / size).checked_sub(before).filter(|row| *row < height)?;
            let column =
                (column * stride + tap % size).checked_sub(before).filter(|column| *column < width)?;
            Some(weight[plane % channels * size * size + tap] * x[(plane * height + row) * width + column])
        };
        (0..size * size).filter_map(product).sum()
    };
    (0..batch * channels * rows * columns).map(sum).collect()
}

#[test]
fn each_channel_by_itself_is_its_sum_in_f64() {
    let mut numbers = Numbers(7);
    for _ in 0..60 {
        let size = numbers.from(&[1, 2, 3, 3, 3, 5]);
        let padding = [0; 2].map(|_| numbers.from(&[0, 1, 2]));
        let places = Depthwise { stride: numbers.from(&[1, 1, 2, 2, 3]), padding };
        let [batch, channels] = [numbers.from(&[1, 2, 3]), numbers.from(&[1, 2, 5, 24])];
        let [height, width] = [0; 2].map(|_| numbers.from(&[5, 6, 8, 15, 16, 17, 33]));
        let shape = [batch, channels, height, width];
        let (x, weight) = (numbers.tensor(shape), numbers.tensor([channels, 1, size, size]));
        let exactly = |tensor: &Tensor<4>| tensor.to_data().iter::<f64>().collect::<Vec<f64>>();
        let expected = depthwise_sums((&exactly(&x), shape), (&exactly(&weight), size), places);
        let found = exactly(&depthwise(x, weight, places));
        assert_eq!(found.len(), expected.len(), "{shape:?}, {size}, {places:?}");
        let errors: f64 = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
        let error = (errors / expected.iter().map(|value| value.powi(2)).sum::<f64>()).sqrt();
        assert!(error < 1.5e-7, "{shape:?}, {size}, {places:?}: {error:e}");
    }
}
