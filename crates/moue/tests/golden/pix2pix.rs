//! pix2pix against the networks of junyanz/pytorch-CycleGAN-and-pix2pix.

use burn::tensor::Tensor;
use moue::base::expression::Expression;
use moue::base::faces::{Batch, Faces};
use moue::base::rng::Rng;
use moue::methods::pix2pix::{Config, Pix2pix};
use moue::methods::{Game, Rates};
use moue::nn::module::tracked;

use super::file::{Agreement, Golden, device};

#[test]
fn pix2pix() {
    let golden = Golden::open("pix2pix");
    let device = device();
    let (adam, rate) = crate::adam(&golden);
    let source: Tensor<4> = golden.tensor("a", &device);
    let [count, _, image_size, _] = source.dims();
    let config = Config {
        image_size,
        channels: golden.setting("ngf"),
        layers: golden.setting("num_downs"),
        dropout: 0.0,
        discriminator_channels: golden.setting("ndf"),
        discriminator_layers: golden.setting("n_layers"),
        lambda_l1: golden.setting("lambda_l1"),
        adam,
        ..Config::paper()
    };
    let batch = Batch {
        source: Faces { images: source, expressions: vec![Expression::Neutral; count] },
        targets: vec![config.target; count],
        target_images: Some(golden.tensor("b", &device)),
    };
    let new_game = || {
        let mut game = Pix2pix::new(config.clone(), 0, &device);
        golden.load("G.", &mut game.generator.network);
        golden.load("D.", &mut game.discriminator.network);
        game
    };

    let mut game = new_game();
    let mut rng = Rng::stream(0, "golden", 0);
    let mut generator = tracked(&game.generator.network);
    let fake = game.synthesise(&generator, &batch, &mut Vec::new(), &mut rng);
    golden.check_output("fake", fake.clone());

    let constant = fake.clone().without_autodiff();
    let mut discriminator = tracked(&game.discriminator.network);
    let pass = game.discriminator_pass(&discriminator, &batch, constant.clone());
    golden.check_output("pred_fake", pass.on_fake);
    golden.check_output("pred_real", pass.on_real);
    golden.check_output("loss.d", pass.total.clone());
    let mut gradients = pass.total.backward();
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.D.", &mut discriminator, &mut gradients);
    agreement.check_gradients(&golden);
    game.update_discriminator(&batch, constant, rate);

    let pass = game.generator_pass(&batch, fake);
    golden.check_output("loss.g_adversarial", pass.adversarial);
    golden.check_output("loss.g_l1", pass.l1);
    let mut gradients = pass.total.backward();
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.G.", &mut generator, &mut gradients);
    agreement.check_gradients(&golden);

    let mut game = new_game();
    game.step(&batch, Rates { generator: rate, discriminator: rate }, &mut rng);
    golden.check_weights("G.", "after.G.", &mut game.generator.network);
    golden.check_weights("D.", "after.D.", &mut game.discriminator.network);
    assert_eq!([game.generator.updates(), game.discriminator.updates()], [1; 2]);
}
