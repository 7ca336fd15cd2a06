//! The method `moue` and its grid sampling against numbers computed with PyTorch by `golden/make_moue.py`.

mod golden {
    #[allow(dead_code, reason = "the other golden tests use the rest")]
    pub(crate) mod file;
}

use burn::tensor::Tensor;
use golden::file::{Agreement, Golden};
use moue::base::faces::{Batch, Faces};
use moue::methods::Rates;
use moue::methods::moue::{Config, GeneratorPass, Moue};
use moue::nn::adam::AdamConfig;
use moue::nn::edit::Edit;
use moue::nn::module::tracked;
use moue::nn::passes::Losses;

#[test]
fn grid_sample() {
    let golden = Golden::open("grid_sample");
    let device = golden::file::device();
    let [x, flow] = ["x", "flow"].map(|name| golden.tensor::<4>(name, &device).autodiff().require_grad());
    let y = moue_kernels::grid_sample(x.clone(), flow.clone());
    golden.check_output("y", y.clone());
    let mut gradients = (y * golden.tensor::<4>("r", &device)).sum().backward();
    let mut agreement = Agreement::default();
    agreement.add("grad.x", x.grad_remove(&mut gradients).expect("x is tracked"));
    agreement.add("grad.flow", flow.grad_remove(&mut gradients).expect("the flow is tracked"));
    agreement.check_gradients(&golden);
}

#[test]
fn with_pairs() {
    case("moue", true);
}

#[test]
fn refined() {
    case("moue_refined", true);
}

#[test]
fn refined_closely() {
    case("moue_close", true);
}

#[test]
fn without_pairs() {
    case("moue_unpaired", false);
}

fn case(name: &str, paired: bool) {
    let golden = Golden::open(name);
    let device = golden::file::device();
    let (config, rates) = config(&golden, paired);
    let new_game = || {
        let mut game = Moue::new(config.clone(), 0, &device);
        golden.load("G.", &mut game.generator.network);
        golden.load("D.", &mut game.discriminator.network);
        // The average starts where the weights do.
        let (average, _) = game.generator.average.as_mut().expect("moue keeps one");
        *average = game.generator.network.clone();
        game
    };
    let batch = Batch {
        source: Faces { images: golden.tensor("x", &device), expressions: golden.expressions("source") },
        targets: golden.expressions("target"),
        target_images: paired.then(|| golden.tensor("target_images", &device)),
    };
    let gains: Vec<f32> = golden.setting_if_any("mask_gains").unwrap_or_default();
    let mut game = new_game();
    let iterations: u64 = golden.setting("iterations");
    for iteration in 1..=iterations {
        check(&golden, &format!("{iteration}."), &game, &batch, &gains);
        game.step_with_mask_gains(&batch, rates, &gains);
    }
    golden.check_weights("G.", "after.G.", &mut game.generator.network);
    golden.check_weights("D.", "after.D.", &mut game.discriminator.network);
    let (average, _) = game.generator.average.as_mut().expect("moue keeps one");
    golden.check_weights("G.", "average.G.", average);
    assert_eq!([game.generator.updates(), game.discriminator.updates()], [iterations; 2]);
}

/// Outputs, losses and gradients of both passes before a step.
fn check(golden: &Golden, prefix: &str, game: &Moue, batch: &Batch, gains: &[f32]) {
    let mut network = tracked(&game.generator.network);
    let pass = game.generator_pass(&network, batch, gains, true);
    let GeneratorPass { edits, results, judgement, losses, total } = pass;
    for ((edit, result), part) in edits.into_iter().zip(&results).zip(["", "close."]) {
        check_edit(golden, &format!("{prefix}{part}"), edit);
        golden.check_output_if_any(&format!("{prefix}{part}result"), result.clone());
    }
    check_edit(
        golden,
        &format!("{prefix}whole."),
        network.forward(batch.source.images.clone(), &batch.targets),
    );
    let judgement = judgement.expect("the discriminator was asked");
    golden.check_output(&format!("{prefix}out_source"), judgement.source);
    golden.check_output(&format!("{prefix}out_expression"), judgement.expression);
    let loss = |name: &str| find(&losses, name);
    golden.check_output(&format!("{prefix}loss.g_adversarial"), loss("generator.adversarial"));
    golden.check_output(&format!("{prefix}loss.g_classification"), loss("generator.classification"));
    golden.check_output(&format!("{prefix}loss.smooth"), loss("generator.smoothness"));
    golden.check_output(&format!("{prefix}loss.g_total"), total.clone());
    if batch.target_images.is_some() {
        golden.check_output(&format!("{prefix}loss.pixel"), loss("generator.pixels"));
        golden.check_output(&format!("{prefix}loss.half"), loss("generator.half_size"));
        golden.check_output(&format!("{prefix}loss.colour"), loss("generator.colour"));
        golden.check_output(&format!("{prefix}loss.features"), loss("generator.features"));
        golden.check_output(&format!("{prefix}loss.edges"), loss("generator.edges"));
    } else {
        golden.check_output(&format!("{prefix}loss.g_reconstruction"), loss("generator.reconstruction"));
    }
    check_gradients(golden, &format!("{prefix}grad.G."), &mut network, total);

    let mut network = game.discriminator.network.clone();
    network.advance();
    let mut network = tracked(&network);
    let fake = results.last().expect("there is a part").clone().without_autodiff();
    let pass = game.discriminator_pass(&network, batch, fake);
    golden.check_output(&format!("{prefix}real.out_source"), pass.real.source);
    golden.check_output(&format!("{prefix}real.out_expression"), pass.real.expression);
    golden.check_output(&format!("{prefix}fake.out_source"), pass.fake.source);
    let loss = |name: &str| find(&pass.losses, name);
    golden.check_output(&format!("{prefix}loss.d_adversarial"), loss("discriminator.adversarial"));
    golden.check_output(&format!("{prefix}loss.d_classification"), loss("discriminator.classification"));
    golden.check_output(&format!("{prefix}loss.d_total"), pass.total.clone());
    check_gradients(golden, &format!("{prefix}grad.D."), &mut network, pass.total);
}

fn check_edit(golden: &Golden, prefix: &str, edit: Edit) {
    if let Edit::Warped { flow, mask, colour } = edit {
        golden.check_output_if_any(&format!("{prefix}flow"), flow);
        golden.check_output_if_any(&format!("{prefix}mask"), mask);
        golden.check_output_if_any(&format!("{prefix}colour"), colour);
    }
}

fn check_gradients(
    golden: &Golden,
    prefix: &str,
    network: &mut dyn moue::nn::module::Module,
    total: Tensor<1>,
) {
    if golden.has_any(prefix) {
        let mut gradients = total.backward();
        let mut agreement = Agreement::default();
        agreement.add_gradients(prefix, network, &mut gradients);
        agreement.check_gradients(golden);
    }
}

fn find(losses: &Losses, name: &str) -> Tensor<1> {
    let found = losses.iter().find(|(loss, _)| loss == name);
    found.unwrap_or_else(|| panic!("no loss {name}")).1.clone()
}

fn config(golden: &Golden, paired: bool) -> (Config, Rates) {
    let [rate, beta1, beta2, epsilon]: [f64; 4] = golden.setting("adam");
    let rates = Rates { generator: rate, discriminator: rate };
    let config = Config {
        image_size: golden.setting("image"),
        channels: golden.setting("conv_dim"),
        residual_blocks: golden.setting("residual_blocks"),
        detail_channels: golden.setting_if_any("detail_channels").unwrap_or(0),
        close_channels: golden.setting_if_any("close_channels").unwrap_or(0),
        attention: golden.setting("attention"),
        discriminator_channels: golden.setting("conv_dim"),
        discriminator_layers: golden.setting("d_layers"),
        source_head: golden.setting("source_head"),
        lambda_reconstruction: golden.setting(if paired { "lambda_l1" } else { "lambda_rec" }),
        lambda_smoothness: golden.setting("lambda_smooth"),
        lambda_colour: golden.setting_if_any("lambda_colour").unwrap_or(0.0),
        lambda_features: golden.setting_if_any("lambda_features").unwrap_or(0.0),
        mask_gain: 1.0,
        lambda_adversarial: golden.setting("lambda_adv"),
        lambda_classification: golden.setting("lambda_cls"),
        alone: 0,
        learning_rates: rates,
        adam: AdamConfig { beta1: beta1 as f32, beta2: beta2 as f32, epsilon: epsilon as f32 },
        average_decay: golden.setting("average_decay"),
    };
    (config, rates)
}
