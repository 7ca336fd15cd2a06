//! CycleGAN against the networks of junyanz/pytorch-CycleGAN-and-pix2pix.

use burn::tensor::Tensor;
use moue::base::expression::Expression;
use moue::base::faces::{Batch, Faces};
use moue::base::rng::Rng;
use moue::methods::cyclegan::{Config, Cyclegan};
use moue::methods::{Game, Rates};
use moue::nn::module::tracked;

use super::file::{Agreement, Golden, device};

#[test]
fn cyclegan() {
    let golden = Golden::open("cyclegan");
    let device = device();
    let (adam, rate) = crate::adam(&golden);
    let source: Tensor<4> = golden.tensor("a", &device);
    let [count, _, image_size, _] = source.dims();
    let config = Config {
        image_size,
        channels: golden.setting("ngf"),
        residual_blocks: golden.setting("residual_blocks"),
        discriminator_channels: golden.setting("ndf"),
        discriminator_layers: golden.setting("n_layers"),
        lambda_cycle: golden.setting("lambda_cycle"),
        lambda_identity: golden.setting("lambda_identity"),
        adam,
        ..Config::paper()
    };
    let batch = Batch {
        source: Faces { images: source, expressions: vec![Expression::Neutral; count] },
        targets: vec![config.target; count],
        target_images: Some(golden.tensor("b", &device)),
    };
    let mut game = Cyclegan::new(config.clone(), 0, &device);
    golden.load("G_A.", &mut game.generator.network.there);
    golden.load("G_B.", game.generator.network.back.as_mut().expect("a game has both ways"));
    golden.load("D_A.", &mut game.discriminator.player.network.of_target);
    golden.load("D_B.", &mut game.discriminator.player.network.of_source);

    let mut generators = tracked(&game.generator.network);
    let pass = game.generator_pass(&generators, &batch);
    let each = |names: [&str; 2], tensors: [Tensor<1>; 2]| {
        names.into_iter().zip(tensors).for_each(|(name, tensor)| golden.check_output(name, tensor));
    };
    let [fake_b, fake_a] = pass.fakes;
    golden.check_output("fake_b", fake_b.clone());
    golden.check_output("fake_a", fake_a.clone());
    let [reconstructed_a, reconstructed_b] = pass.reconstructed;
    golden.check_output("reconstructed_a", reconstructed_a);
    golden.check_output("reconstructed_b", reconstructed_b);
    each(["loss.g_a", "loss.g_b"], pass.adversarial);
    each(["loss.cycle_a", "loss.cycle_b"], pass.cycle);
    each(["loss.idt_a", "loss.idt_b"], pass.identity);
    let mut gradients = pass.total.backward();
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.", &mut generators, &mut gradients);
    agreement.check_gradients(&golden);

    // The fakes from before the generators' step, and nothing in the histories yet.
    let fakes = [fake_b, fake_a].map(|fake| fake.without_autodiff());
    let losses = game.discriminator_pass(&game.discriminator.player.network, &batch, fakes);
    each(["loss.d_a", "loss.d_b"], losses);

    game.step(&batch, Rates { generator: rate, discriminator: rate }, &mut Rng::stream(0, "golden", 0));
    // The bias of a convolution before an instance norm changes nothing.
    let head = format!("model.{}.bias", 10 + config.residual_blocks + 7);
    let generator = |name: &str| name.ends_with(".bias") && !name.ends_with(&head);
    golden.check_weights_but(generator, "", "after.", &mut game.generator.network);
    let last = format!("model.{}.bias", 2 + 3 * config.discriminator_layers);
    let discriminator =
        |name: &str| name.ends_with(".bias") && !name.ends_with("model.0.bias") && !name.ends_with(&last);
    golden.check_weights_but(discriminator, "", "after.", &mut game.discriminator.player.network);
    assert_eq!(game.generator.updates(), 1);
    assert_eq!(game.discriminator.player.updates(), 1);
}
