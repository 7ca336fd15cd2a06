//! The gradient of the discriminator's output with respect to its input, written as a forward computation, is the one
//! that autodiff finds: with every head, with and without spectral norm, and through instance norm.

use burn::tensor::{Device, Tensor, TensorData};
use moue::base::rng::Rng;
use moue::methods::attgan;
use moue::methods::sasn::{Config, Discriminator, SourceHead};
use moue::nn::layers::uniform;
use moue::nn::module::for_each;

#[test]
fn the_input_gradient_is_autodiffs() {
    let device = Device::flex();
    for source_head in [SourceHead::FullyConnected, SourceHead::Patch] {
        for spectral_norm in [false, true] {
            let config = Config { source_head, spectral_norm, ..Config::smoke() };
            let mut rng = Rng::stream(1, "test", 0);
            let discriminator = Discriminator::new(&config, &device, &mut rng);
            let x: Tensor<4> = uniform([3, 3, 32, 32], 1.0, &device, &mut rng);
            let ours = discriminator.input_gradient(x.clone());
            let error = relative_error(ours, x, |x| discriminator.forward(x).source);
            assert!(error <= 1e-5, "{source_head:?} {spectral_norm}: {error}");
        }
    }
}

#[test]
fn the_input_gradient_through_instance_norm_is_autodiffs() {
    let (device, mut rng) = (Device::flex(), Rng::stream(1, "test", 0));
    let mut discriminator = attgan::Discriminator::new(&attgan::Config::smoke(), &device, &mut rng);
    // Scales and shifts that do something.
    for_each(&mut discriminator, |_, _, tensor| {
        if let [channels] = tensor.shape()[..] {
            let values: Vec<f32> = (0..channels).map(|_| rng.between(-1.0, 1.0)).collect();
            tensor.set(TensorData::new(values, [channels]));
        }
    });
    let x: Tensor<4> = uniform([3, 3, 32, 32], 1.0, &device, &mut rng);
    let ours = discriminator.input_gradient(x.clone());
    let error = relative_error(ours, x, |x| discriminator.forward(x).source);
    assert!(error <= 1e-5, "{error}");
}

/// How far `ours` is from autodiff's gradient of the summed `logits`, of its length.
fn relative_error(ours: Tensor<4>, x: Tensor<4>, logits: impl Fn(Tensor<4>) -> Tensor<4>) -> f32 {
    let x = x.autodiff().require_grad();
    let gradients = logits(x.clone()).sum().backward();
    let autodiffs = x.grad(&gradients).expect("x is tracked");
    let length = |tensor: Tensor<4>| tensor.square().sum().sqrt().into_scalar::<f32>();
    let all = length(autodiffs.clone());
    assert!(all > 0.0);
    length(ours - autodiffs) / all
}
