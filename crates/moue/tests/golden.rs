//! The blocks and methods against numbers computed with PyTorch: outputs, losses, every gradient, the weights after
//! the steps. `golden/README.md` says what each file holds, how it was made and why the tolerances are what they are.
//!
//! Sizes come from each file's metadata. `MOUE_GOLDEN` names another folder of cases; a case absent there is read from
//! the committed copy.

mod golden {
    mod attgan;
    mod cyclegan;
    #[allow(dead_code, reason = "the other golden tests use the rest")]
    pub(crate) mod file;
    mod pix2pix;
}

use burn::tensor::{Device, Tensor};
use golden::file::{Agreement, Golden};
use moue::base::faces::{Batch, Faces};
use moue::base::rng::Rng;
use moue::methods::sasn::{self, Sasn, SourceHead};
use moue::methods::stargan::{self, Stargan};
use moue::methods::{Game, Rates, UpdateRatio};
use moue::nn::adam::AdamConfig;
use moue::nn::layers::{Convolution, Geometry};
use moue::nn::losses::AdversarialLoss;
use moue::nn::module::tracked;
use moue::nn::self_attention::SelfAttention;
use moue::nn::spectral_norm::SpectralNorm;

#[test]
fn self_attention() {
    let golden = Golden::open("self_attention");
    let device = golden::file::device();
    let x: Tensor<4> = golden.tensor("x", &device);
    let [_, channels, ..] = x.dims();
    let mut block = SelfAttention::new(channels, &device, &mut Rng::stream(0, "golden", 0));
    golden.load("weights.", &mut block);
    let mut block = tracked(&block);
    let x = x.autodiff().require_grad();
    let y = block.forward(x.clone());
    golden.check_output("y", y.clone());
    let mut gradients = (y * golden.tensor::<4>("r", &device)).sum().backward();
    let mut agreement = Agreement::default();
    agreement.add("grad.x", x.grad_remove(&mut gradients).expect("x is tracked"));
    agreement.add_gradients("grad.", &mut block, &mut gradients);
    agreement.check_gradients(&golden);
}

#[test]
fn spectral_norm() {
    let golden = Golden::open("spectral_norm");
    let device = golden::file::device();
    let mut rng = Rng::stream(0, "golden", 0);
    let x: Tensor<4> = golden.tensor("x", &device);
    let weight: Tensor<4> = golden.tensor("weight_orig", &device);
    let [outputs, inputs, kernel, _] = weight.dims();
    let mut convolution =
        Convolution::new([inputs, outputs], Geometry::new(kernel, 2, 1), true, &device, &mut rng);
    convolution.weight = weight.clone();
    convolution.bias = Some(golden.tensor("bias", &device));
    let mut norm = SpectralNorm { u: golden.tensor("u0", &device), v: golden.tensor("v0", &device) };
    let forwards = golden.count(|n| format!("train{n}.y"));
    assert!(forwards > 0);
    for n in 0..forwards {
        norm.advance(&weight);
        golden.check_output(&format!("train{n}.u"), norm.u.clone());
        golden.check_output(&format!("train{n}.v"), norm.v.clone());
        let normalised = weight.clone() / norm.sigma(&weight).reshape([1, 1, 1, 1]);
        golden.check_output(&format!("train{n}.weight"), normalised);
        golden.check_output(&format!("train{n}.y"), norm.convolve(&convolution, x.clone()));
    }
    golden.check_output("eval.y", norm.convolve(&convolution, x.clone()));
    let convolution = tracked(&convolution);
    let y = norm.convolve(&convolution, x);
    let mut gradients = (y * golden.tensor::<4>("r", &device)).sum().backward();
    let mut agreement = Agreement::default();
    agreement.add("grad.weight_orig", convolution.weight.grad_remove(&mut gradients).expect("tracked"));
    let bias = convolution.bias.expect("it has one");
    agreement.add("grad.bias", bias.grad_remove(&mut gradients).expect("tracked"));
    agreement.check_gradients(&golden);
}

#[test]
fn stargan() {
    let golden = Golden::open("stargan");
    let device = golden::file::device();
    let (adam, rate) = adam(&golden);
    let config = stargan::Config {
        image_size: golden.setting("image"),
        channels: golden.setting("conv_dim"),
        residual_blocks: golden.setting("residual_blocks"),
        discriminator_channels: golden.setting("conv_dim"),
        discriminator_layers: golden.setting("d_layers"),
        lambda_classification: golden.setting("lambda_cls"),
        lambda_reconstruction: golden.setting("lambda_rec"),
        lambda_gradient_penalty: golden.setting("lambda_gp"),
        discriminator_updates: 1,
        learning_rates: Rates { generator: rate, discriminator: rate },
        adam,
        average_decay: 0.999,
    };
    let mut game = Stargan::new(config, 0, &device);
    golden.load("G.", &mut game.generator.network);
    golden.load("D.", &mut game.discriminator.network);
    let batch = batch(&golden, "", &device);
    let alpha = golden.tensor("alpha", &device);

    let mut discriminator = tracked(&game.discriminator.network);
    let fake = game.generator.network.forward(batch.source.images.clone(), &batch.targets);
    golden.check_output("fake", fake);
    let pass = game.discriminator_pass(&discriminator, &batch, alpha);
    golden.check_output("D.out_src", pass.real.source);
    golden.check_output("fake.out_src", pass.fake.source);
    golden.check_output("D.out_cls", pass.real.expression);
    golden.check_output("input_gradient", pass.input_gradient.expect("StarGAN has a penalty"));
    golden.check_output("loss.d_real", pass.on_real);
    golden.check_output("loss.d_fake", pass.on_fake);
    golden.check_output("loss.d_cls", pass.classification);
    golden.check_output("loss.d_gp", pass.penalty.expect("StarGAN has one"));
    let mut gradients = pass.total.clone().backward();
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.D.", &mut discriminator, &mut gradients);
    agreement.check_gradients(&golden);
    // The backward pass is spent: compute the loss again for the step.
    let discriminator = tracked(&game.discriminator.network);
    let total = game.discriminator_pass(&discriminator, &batch, golden.tensor("alpha", &device)).total;
    game.discriminator.update(discriminator, total, rate);
    golden.check_weights("D.", "after.D.", &mut game.discriminator.network);

    let mut generator = tracked(&game.generator.network);
    let pass = game.generator_pass(&generator, &batch);
    golden.check_output("reconstructed", pass.reconstructed);
    golden.check_output("loss.g_fake", pass.adversarial);
    golden.check_output("loss.g_cls", pass.classification);
    golden.check_output("loss.g_rec", pass.reconstruction);
    let mut gradients = pass.total.backward();
    let mut agreement = Agreement::default();
    agreement.add_gradients("grad.G.", &mut generator, &mut gradients);
    agreement.check_gradients(&golden);
    game.update_generator(&batch, rate);
    golden.check_weights("G.", "after.G.", &mut game.generator.network);
}

#[test]
fn sasn_saturating() {
    sasn_case("sasn_saturating");
}

#[test]
fn sasn_non_saturating() {
    sasn_case("sasn_non_saturating");
}

#[test]
fn sasn_hinge() {
    sasn_case("sasn_hinge");
}

#[test]
fn sasn_least_squares() {
    sasn_case("sasn_least_squares");
}

fn sasn_case(case: &str) {
    let golden = Golden::open(case);
    let device = golden::file::device();
    let (config, rate) = sasn_config(&golden);
    let every = config.updates.generator;
    let new_game = || {
        let mut game = Sasn::new(config.clone(), 0, &device);
        golden.load("G.", &mut game.generator.network);
        golden.load("D.", &mut game.discriminator.network);
        game
    };
    let (mut game, mut stepped) = (new_game(), new_game());
    let mut rng = Rng::stream(0, "golden", 0);
    let iterations = golden.count(|n| format!("{}.x", n + 1)) as u64;
    assert!(iterations >= every, "{case} has no discriminator update");
    for iteration in 1..=iterations {
        let prefix = format!("{iteration}.");
        let batch = batch(&golden, &prefix, &device);
        check_generator(&golden, &prefix, &game, &batch);
        game.update_generator(&batch, rate);
        if iteration.is_multiple_of(every) {
            check_discriminator(&golden, &prefix, &game, &batch);
            game.update_discriminator(&batch, rate, &mut rng);
        }
        stepped.step(&batch, Rates { generator: rate, discriminator: rate }, &mut rng);
    }
    for mut game in [game, stepped] {
        golden.check_weights("G.", "after.G.", &mut game.generator.network);
        golden.check_weights("D.", "after.D.", &mut game.discriminator.network);
        assert_eq!(game.generator.updates(), iterations);
        assert_eq!(game.discriminator.updates(), iterations / every);
    }
}

fn check_generator(golden: &Golden, prefix: &str, game: &Sasn, batch: &Batch) {
    let mut network = tracked(&game.generator.network);
    let pass = game.generator_pass(&network, batch);
    golden.check_output_if_any(&format!("{prefix}fake"), pass.fake);
    golden.check_output_if_any(&format!("{prefix}reconstructed"), pass.reconstructed);
    golden.check_output_if_any(&format!("{prefix}out_source"), pass.judgement.source);
    golden.check_output_if_any(&format!("{prefix}out_expression"), pass.judgement.expression);
    golden.check_output(&format!("{prefix}loss.g_adversarial"), pass.adversarial);
    golden.check_output(&format!("{prefix}loss.g_classification"), pass.classification);
    golden.check_output(&format!("{prefix}loss.g_reconstruction"), pass.reconstruction);
    let gradient_prefix = format!("{prefix}grad.G.");
    if golden.has_any(&gradient_prefix) {
        let mut gradients = pass.total.backward();
        let mut agreement = Agreement::default();
        agreement.add_gradients(&gradient_prefix, &mut network, &mut gradients);
        agreement.check_gradients(golden);
    }
}

fn check_discriminator(golden: &Golden, prefix: &str, game: &Sasn, batch: &Batch) {
    let mut network = game.discriminator.network.clone();
    network.advance();
    let mut network = tracked(&network);
    let alpha = Tensor::zeros([batch.targets.len(), 1, 1, 1], &batch.source.images.device());
    let pass = game.discriminator_pass(&network, batch, alpha);
    golden.check_output(&format!("{prefix}loss.d_adversarial"), pass.on_real + pass.on_fake);
    golden.check_output(&format!("{prefix}loss.d_classification"), pass.classification);
    let gradient_prefix = format!("{prefix}grad.D.");
    if golden.has_any(&gradient_prefix) {
        let mut gradients = pass.total.backward();
        let mut agreement = Agreement::default();
        agreement.add_gradients(&gradient_prefix, &mut network, &mut gradients);
        agreement.check_gradients(golden);
    }
}

fn sasn_config(golden: &Golden) -> (sasn::Config, f64) {
    let (adam, rate) = adam(golden);
    let loss: AdversarialLoss = golden.setting("adversarial_loss");
    let generator = golden.setting("generator_updates_per_discriminator_update");
    let config = sasn::Config {
        image_size: golden.setting("image"),
        channels: golden.setting("conv_dim"),
        residual_blocks: golden.setting("residual_blocks"),
        attention: golden.setting_if_any("attention").unwrap_or(sasn::Config::paper().attention),
        discriminator_channels: golden.setting("conv_dim"),
        discriminator_layers: golden.setting("d_layers"),
        spectral_norm: true,
        source_head: golden.setting_if_any("source_head").unwrap_or(SourceHead::Patch),
        adversarial_loss: loss,
        lambda_classification: golden.setting("lambda_cls"),
        lambda_reconstruction: golden.setting("lambda_rec"),
        lambda_gradient_penalty: 10.0,
        updates: UpdateRatio { generator, discriminator: 1 },
        learning_rates: Rates { generator: rate, discriminator: rate },
        adam,
        average_decay: 0.999,
    };
    (config, rate)
}

fn adam(golden: &Golden) -> (AdamConfig, f64) {
    let [rate, beta1, beta2, epsilon]: [f64; 4] = golden.setting("adam");
    (AdamConfig { beta1: beta1 as f32, beta2: beta2 as f32, epsilon: epsilon as f32 }, rate)
}

fn batch(golden: &Golden, prefix: &str, device: &Device) -> Batch {
    Batch {
        source: Faces {
            images: golden.tensor(&format!("{prefix}x"), device),
            expressions: golden.expressions(&format!("{prefix}source")),
        },
        targets: golden.expressions(&format!("{prefix}target")),
        target_images: None,
    }
}
