//! AttGAN against the layout of elvisyjlin/AttGAN-PyTorch, with eight attributes and the paper's slope.

use burn::tensor::Device;
use moue::base::expression::Expression;
use moue::base::faces::{Batch, Faces};
use moue::methods::Rates;
use moue::methods::attgan::{Attgan, Config, Discriminator};
use moue::nn::module::tracked;

use super::file::{Agreement, Golden, device};

#[test]
fn attgan() {
    let golden = Golden::open("attgan");
    let device = device();
    let (config, rate) = attgan_config(&golden);
    let mut game = Attgan::new(config, 0, &device);
    golden.load("G.", &mut game.generator.network);
    golden.load("D.", &mut game.discriminator.network);
    let batch = Batch {
        source: Faces { images: golden.tensor("x", &device), expressions: shown(&golden, "attributes_a") },
        targets: shown(&golden, "attributes_b"),
        target_images: None,
    };

    let fake = game.fake(&batch);
    golden.check_output("fake", fake.clone());
    let pass = |game: &Attgan, discriminator: &Discriminator| {
        game.discriminator_pass(discriminator, &batch, fake.clone(), golden.tensor("alpha", &device))
    };
    let mut discriminator = tracked(&game.discriminator.network);
    let judged = pass(&game, &discriminator);
    golden.check_output("D.out_adv", judged.real.source);
    golden.check_output("D.out_cls", judged.real.expression);
    golden.check_output("input_gradient", judged.input_gradient.expect("AttGAN has a penalty"));
    golden.check_output("loss.d_wasserstein", judged.on_real + judged.on_fake);
    golden.check_output("loss.d_cls", judged.classification);
    golden.check_output("loss.d_gp", judged.penalty.expect("AttGAN has one"));
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.D.", &mut discriminator, &mut judged.total.backward());
    agreement.check_gradients(&golden);
    // The backward pass is spent: compute the loss again for the step.
    let discriminator = tracked(&game.discriminator.network);
    let total = pass(&game, &discriminator).total;
    game.discriminator.update(discriminator, total, rate);
    golden.check_weights("D.", "after.D.", &mut game.discriminator.network);

    let mut generator = tracked(&game.generator.network);
    let pass = game.generator_pass(&generator, &batch, &mut Vec::new());
    golden.check_output("reconstructed", pass.reconstructed);
    golden.check_output("loss.g_adversarial", pass.adversarial);
    golden.check_output("loss.g_cls", pass.classification);
    golden.check_output("loss.g_rec", pass.reconstruction);
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.G.", &mut generator, &mut pass.total.backward());
    agreement.check_gradients(&golden);
    game.update_generator(&batch, rate);
    golden.check_weights("G.", "after.G.", &mut game.generator.network);
}

fn attgan_config(golden: &Golden) -> (Config, f64) {
    let (adam, rate) = crate::adam(golden);
    let [_, _, image_size, _] = golden.tensor::<4>("x", &Device::flex()).dims();
    let skips: usize = golden.setting("shortcut_layers");
    assert_eq!(skips, 1);
    let config = Config {
        image_size,
        channels: golden.setting("dim"),
        layers: golden.setting("layers"),
        second_label: golden.setting::<usize>("inject_layers") == 1,
        negative_slope: golden.setting_if_any("slope").unwrap_or(Config::paper().negative_slope),
        discriminator_channels: golden.setting("dim"),
        discriminator_layers: golden.setting("layers"),
        discriminator_head: golden.setting("fc_dim"),
        lambda_generator_classification: golden.setting("lambda_cls_g"),
        lambda_discriminator_classification: golden.setting("lambda_cls_d"),
        lambda_reconstruction: golden.setting("lambda_rec"),
        lambda_gradient_penalty: golden.setting("lambda_gp"),
        discriminator_updates: 1,
        learning_rates: Rates { generator: rate, discriminator: rate },
        adam,
        average_decay: 0.999,
    };
    (config, rate)
}

/// The expression of each row of attributes, one of which is 1.
fn shown(golden: &Golden, name: &str) -> Vec<Expression> {
    let rows: Vec<f32> = golden.tensor::<2>(name, &Device::flex()).into_data().try_into_vec().unwrap();
    let expression =
        |row: &[f32]| row.iter().position(|&value| value == 1.0).and_then(Expression::from_index);
    rows.chunks(Expression::COUNT).map(|row| expression(row).expect("a face shows one expression")).collect()
}
