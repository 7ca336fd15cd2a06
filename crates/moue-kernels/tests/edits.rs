//! What an edit is made of: images and maps at other sizes, bounded numbers, one image over another; against closed
//! forms and against burn's own operations.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use moue_kernels::{Logistic, blend, doubled, halved, logistic};

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

#[test]
fn half_the_size_is_the_mean_of_four() {
    let x = Tensor::from_data([[[[1.0, 3.0, 0.0, 8.0], [5.0, 7.0, 4.0, 0.0]]]], &Device::flex());
    assert_eq!(values(halved(x)), [4.0, 3.0]);
}

#[test]
fn twice_the_size_goes_on_at_the_border_and_keeps_a_ramp() {
    let x = Tensor::from_data([[[[0.0, 4.0], [8.0, 12.0]]]], &Device::flex());
    let rows = [0.0, 2.0, 6.0, 8.0].map(|y| [0.0, 1.0, 3.0, 4.0].map(|x| x + y));
    assert_eq!(values(doubled(x)), rows.concat());
}

#[test]
fn halving_undoes_doubling_of_a_ramp_inside() {
    let ramp: Vec<f32> = (0..2 * 3 * 16).map(|n| (n % 16 % 4) as f32 * 3.0 + (n % 16 / 4) as f32).collect();
    let x = Tensor::<4>::from_data(TensorData::new(ramp, [2, 3, 4, 4]), &Device::flex());
    let inside = |x: Tensor<4>| x.slice_dim(2, 1..3).slice_dim(3, 1..3);
    let difference = values(inside(halved(doubled(x.clone()))) - inside(x));
    assert!(difference.iter().all(|d| d.abs() < 1e-5), "{difference:?}");
}

#[test]
fn gradients_are_what_the_transposed_matrix_gives() {
    // Of a linear f, <f(x), r> = <x, f^T(r)>, and f^T(r) is the gradient of <f(x), r>.
    for (resize, shape) in [(halved as fn(Tensor<4>) -> Tensor<4>, [2, 3, 6, 10]), (doubled, [2, 3, 5, 1])] {
        let device = Device::flex().autodiff();
        let x = Tensor::<4>::random(shape, Distribution::Default, &device).require_grad();
        let y = resize(x.clone());
        let r = Tensor::random(y.dims(), Distribution::Default, &device);
        let product = (y * r).sum();
        let gradient = x.grad(&product.backward()).expect("x is tracked");
        let back = (x.without_autodiff() * gradient).sum().into_scalar::<f32>();
        let product = product.into_scalar::<f32>();
        assert!((product - back).abs() < 1e-5 * product.abs(), "{product} and {back}");
    }
}

/// An output and the gradients of what it was made of, for a gradient of the output that differs from place to place.
fn with_gradients<const N: usize>(y: Tensor<4>, inputs: [&Tensor<4>; N]) -> Vec<Vec<f32>> {
    let count = y.shape().num_elements();
    let places = Tensor::<1, burn::tensor::Int>::arange(0..count as i64, &y.device()).float();
    let gradients = (y.clone() * (places * 0.7).sin().reshape(y.dims())).sum().backward();
    let gradients = inputs.map(|input| input.grad(&gradients).expect("it is tracked"));
    std::iter::once(y.without_autodiff()).chain(gradients).map(values).collect()
}

fn assert_near(ours: Vec<Vec<f32>>, theirs: Vec<Vec<f32>>) {
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.into_iter().zip(theirs) {
            assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} instead of {b}");
        }
    }
}

#[test]
fn logistic_functions_are_sigmoid_and_tanh() {
    let device = Device::flex().autodiff();
    // More than one task's worth, and far into both bounds.
    let x = Tensor::<4>::random([3, 2, 90, 70], Distribution::Normal(0.0, 8.0), &device).require_grad();
    let ours = with_gradients(logistic(x.clone(), Logistic::SIGMOID), [&x]);
    assert_near(ours, with_gradients(sigmoid(x.clone()), [&x]));
    let ours = with_gradients(logistic(x.clone(), Logistic::tanh(0.25)), [&x]);
    assert_near(ours, with_gradients(x.clone().tanh() * 0.25, [&x]));
    let edge = Tensor::<4>::from_data([[[[f32::MAX, f32::MIN, f32::NAN, 0.0]]]], &Device::flex());
    let found = values(logistic(edge, Logistic::tanh(1.0)));
    assert!(found[0] == 1.0 && found[1] == -1.0 && found[2].is_nan() && found[3] == 0.0, "{found:?}");
}

#[test]
fn a_blend_is_its_formula() {
    let device = Device::flex().autodiff();
    for [batch, channels, height, width] in [[3, 3, 9, 7], [1, 1, 1, 1], [8, 3, 64, 64]] {
        let random = |channels: usize| {
            let shape = [batch, channels, height, width];
            Tensor::<4>::random(shape, Distribution::Default, &device).require_grad()
        };
        let (below, mask, above) = (random(channels), random(1), random(channels));
        let inputs = [&below, &mask, &above];
        let ours = with_gradients(blend(below.clone(), mask.clone(), above.clone()), inputs);
        let formula = below.clone() * (-mask.clone() + 1.0) + mask.clone() * above.clone();
        assert_near(ours, with_gradients(formula, inputs));
    }
}
