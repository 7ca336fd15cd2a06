//! The gradient of the discriminator's output with respect to its input, written as a forward computation, is the one
//! that autodiff finds: with every head, with and without spectral norm.

use burn::tensor::{Device, Tensor};
use moue::base::rng::Rng;
use moue::methods::sasn::{Config, Discriminator, SourceHead};
use moue::nn::layers::uniform;

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
            let x = x.autodiff().require_grad();
            let gradients = discriminator.forward(x.clone()).source.sum().backward();
            let autodiffs = x.grad(&gradients).expect("x is tracked");
            let length = |tensor: Tensor<4>| tensor.square().sum().sqrt().into_scalar::<f32>();
            let (error, all) = (length(ours - autodiffs.clone()), length(autodiffs));
            assert!(all > 0.0 && error <= 1e-5 * all, "{source_head:?} {spectral_norm}: {error} of {all}");
        }
    }
}
