//! Instance norm against its composition of burn's operations, and against itself on other numbers of threads.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use moue_kernels::instance_norm;

fn composed(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, positive: bool) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x = x.reshape([batch, channels, height * width]);
    let centred = x.clone() - x.mean_dim(2);
    let deviation = (centred.clone() * centred.clone()).mean_dim(2).add_scalar(1e-5).sqrt();
    let scale = weight.reshape([1, channels, 1]) / deviation;
    let y = (centred * scale + bias.reshape([1, channels, 1])).reshape([batch, channels, height, width]);
    if positive { relu(y) } else { y }
}

type Norm = fn(Tensor<4>, Tensor<1>, Tensor<1>, bool) -> Tensor<4>;

/// Output and the gradients of x (`[b, c, w, h]`), weight and bias, all flat.
fn run(norm: Norm, inputs: &(Tensor<4>, Tensor<1>, Tensor<1>), positive: bool) -> [Tensor<1>; 4] {
    let x = inputs.0.clone().require_grad();
    let (weight, bias) = (inputs.1.clone().require_grad(), inputs.2.clone().require_grad());
    let y = norm(x.clone().swap_dims(2, 3), weight.clone(), bias.clone(), positive);
    // Gradients that differ from place to place.
    let count = y.shape().num_elements();
    let places = Tensor::<1, burn::tensor::Int>::arange(0..count as i64, &y.device()).float();
    let gradients = (y.clone() * (places * 0.7).sin().reshape(y.dims())).sum().backward();
    let x = x.grad(&gradients).expect("x is tracked").flatten(0, 3);
    let [weight, bias] = [weight, bias].map(|tensor| tensor.grad(&gradients).expect("both are tracked"));
    [y.without_autodiff().flatten(0, 3), x, weight, bias]
}

fn inputs([batch, channels, height, width]: [usize; 4]) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let device = Device::flex().autodiff();
    let x = Tensor::random([batch, channels, width, height], Distribution::Normal(0.7, 2.0), &device);
    let parameter = || Tensor::random([channels], Distribution::Normal(0.5, 1.0), &device);
    (x, parameter(), parameter())
}

const SHAPES: [[usize; 4]; 7] = [
    [1, 1, 2, 2],
    [2, 3, 5, 7],
    [3, 8, 16, 16],
    [8, 32, 64, 64],
    [1, 4, 1, 3],
    [5, 130, 4, 4],
    [2, 2, 100, 33],
];

#[test]
fn outputs_and_gradients_equal_the_composition() {
    for shape in SHAPES {
        let inputs = inputs(shape);
        for positive in [false, true] {
            let pairs =
                run(instance_norm, &inputs, positive).into_iter().zip(run(composed, &inputs, positive));
            for ((ours, theirs), name) in pairs.zip(["output", "x", "weight", "bias"]) {
                let length = |tensor: Tensor<1>| tensor.square().sum().sqrt().into_scalar::<f32>();
                let (error, scale) = (length(ours - theirs.clone()), length(theirs));
                assert!(
                    error <= 1e-4 * scale.max(1e-3),
                    "{name} of {shape:?}, {positive}: {error} of {scale}"
                );
            }
        }
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    for shape in SHAPES {
        let inputs = inputs(shape);
        let bits = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            let tensors = pool.install(|| run(instance_norm, &inputs, true));
            tensors.map(|tensor| tensor.into_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>())
        };
        let single = bits(1);
        assert!([2, 3].into_iter().all(|threads| bits(threads) == single), "{shape:?}");
    }
}
