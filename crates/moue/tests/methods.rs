//! Promises of the methods that no golden number states: sizes, the kinship of sasn and stargan, attention anywhere.

#[path = "support/bits.rs"]
mod bits;
#[path = "support/noise.rs"]
mod noise;

use burn::tensor::Tensor;
use moue::base::device::Device;
use moue::base::expression::Expression;
use moue::base::faces::Batch;
use moue::base::rng::Rng;
use moue::methods::attgan::{self, Attgan};
use moue::methods::cyclegan::{self, Cyclegan};
use moue::methods::moue::Config as MoueConfig;
use moue::methods::pix2pix::{self, Pix2pix, Synthesis};
use moue::methods::sasn::{self, Place, Sasn, SourceHead};
use moue::methods::stargan::{self, Stargan};
use moue::methods::{Decay, Game, MethodConfig, Rates, Translator, UpdateRatio};
use moue::nn::batch_norm::Statistics;
use moue::nn::initial::Initial;
use moue::nn::losses::AdversarialLoss;
use moue::nn::module::{Kind, Module, for_each, gradients, parameter_count, tracked};
use moue::nn::patch_gan::{PatchGan, PatchNorm};

use bits::{bits, differing};
use noise::noise;

const RATES: Rates = Rates { generator: 1e-3, discriminator: 1e-3 };

fn rng() -> Rng {
    Rng::stream(1, "test", 0)
}

#[test]
fn stargan_has_the_published_number_of_parameters() {
    let (config, device) = (stargan::Config::paper(), Device::flex());
    assert_eq!(parameter_count(&stargan::Generator::new(&config, &device, &mut rng())), 8_439_936);
    assert_eq!(parameter_count(&stargan::Discriminator::new(&config, &device, &mut rng())), 44_786_624);
}

#[test]
fn sasn_adds_what_its_attention_modules_have() {
    let device = Device::flex();
    let count = |attention: &[Place]| {
        let config = sasn::Config { attention: attention.into(), ..sasn::Config::paper() };
        parameter_count(&sasn::Generator::new(&config, &device, &mut rng()))
    };
    assert_eq!(count(&[]), 8_439_936);
    assert_eq!(count(&[Place::Bottleneck]), 8_522_177);
    assert_eq!(count(&[Place::Up1]), 8_460_577);
    assert_eq!(count(&sasn::Config::paper().attention), 8_542_818);
}

#[test]
fn sasn_s_discriminator_has_the_head_that_was_asked_for() {
    let device = Device::flex();
    let discriminator = |source_head| {
        // Spectral norm's warm-up is a matter of values, not of sizes: at full width it takes its time.
        let config = sasn::Config { source_head, spectral_norm: false, ..sasn::Config::paper() };
        parameter_count(&sasn::Discriminator::new(&config, &device, &mut rng()))
    };
    assert_eq!(discriminator(SourceHead::Patch), 44_786_624);
    assert_eq!(discriminator(SourceHead::FullyConnected), 44_776_384);
    let config = sasn::Config { source_head: SourceHead::Patch, ..sasn::Config::paper() };
    let mut normalised = sasn::Discriminator::new(&config, &device, &mut rng());
    assert_eq!(buffer_count(&mut normalised), 62_457);
    assert_eq!(parameter_count(&normalised), 44_786_624);
}

#[test]
fn attgan_has_the_published_number_of_parameters() {
    let (config, device) = (attgan::Config::paper(), Device::flex());
    let generator = |config: &attgan::Config| attgan::Generator::new(config, &device, &mut rng());
    assert_eq!(parameter_count(&generator(&config)), 43_336_323);
    let once = attgan::Config { second_label: false, ..config.clone() };
    assert_eq!(parameter_count(&generator(&once)), 43_270_787);
    // A mean and a variance of each channel that a batch norm sees: 64 to 1024, and 1024 to 128.
    assert_eq!(
        buffer_count(&mut generator(&config)),
        2 * (64 + 128 + 256 + 512 + 1024 + 1024 + 512 + 256 + 128)
    );
    assert_eq!(parameter_count(&attgan::Discriminator::new(&config, &device, &mut rng())), 44_713_865);
}

#[test]
fn attgan_s_rate_is_a_tenth_in_the_second_half() {
    let factor = |iteration, iterations| Decay::TenthAtHalf.factor(iteration, iterations);
    assert_eq!([0, 4, 5, 9].map(|iteration| factor(iteration, 10)), [1.0, 1.0, 0.1, 0.1]);
    assert_eq!([0, 1, 2].map(|iteration| factor(iteration, 3)), [1.0, 1.0, 0.1]);
}

#[test]
fn attgan_updates_one_player_a_batch() {
    let device = Device::flex();
    let config = attgan::Config { discriminator_updates: 5, ..attgan::Config::smoke() };
    let mut game = Attgan::new(config, 0, &device);
    let mut updated = String::new();
    for n in 0..13 {
        let before = game.generator.updates();
        let losses = game.step(&noise(2, 32, n, &device), RATES, &mut Rng::stream(0, "step", n));
        let player = if game.generator.updates() > before { "generator" } else { "discriminator" };
        assert!(losses.iter().all(|(name, _)| name.starts_with(player)), "{losses:?}");
        updated.push_str(&player[..1]);
    }
    assert_eq!(updated, "dddddgdddddgd");
    assert_eq!((game.discriminator.updates(), game.generator.updates()), (11, 2));
}

#[test]
fn attgan_gives_a_face_the_same_result_in_any_company() {
    let device = Device::flex();
    let mut game = Attgan::new(attgan::Config::smoke(), 0, &device);
    for n in 0..3 {
        game.step(&noise(4, 32, n, &device), RATES, &mut Rng::stream(0, "step", n));
    }
    let (translator, batch) = (game.translator(false), noise(4, 32, 9, &device));
    let paint = |faces: std::ops::Range<usize>| {
        let x = batch.source.images.clone().slice_dim(0, faces.clone());
        translator
            .edit(x.clone(), &batch.targets[faces])
            .on_square(x)
            .into_data()
            .try_into_vec::<f32>()
            .unwrap()
    };
    let (together, before) = (paint(0..4), bits(&mut game));
    for face in 0..4 {
        let alone = paint(face..face + 1);
        let difference = alone.iter().zip(&together[face * alone.len()..]).map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0.0, f32::max) < 1e-5);
    }
    assert_eq!(differing(&bits(&mut game), &before).count(), 0, "translating moves no running statistics");
}

#[test]
fn pix2pix_has_the_published_number_of_parameters() {
    let (config, device) = (pix2pix::Config::paper(), Device::flex());
    let generator = pix2pix::Generator::new(&config, &device, &mut Initial::Absent);
    assert_eq!(parameter_count(&generator), 41_828_995);
    let sizes = [6, config.discriminator_channels, config.discriminator_layers];
    let discriminator = PatchGan::new(sizes, PatchNorm::Batch, &device, &mut Initial::Absent);
    assert_eq!(parameter_count(&discriminator), 2_768_705);
    let logits = discriminator.forward(Tensor::zeros([1, 6, 128, 128], &device), &mut Statistics::Running);
    assert_eq!(logits.dims(), [1, 1, 14, 14]);
}

#[test]
fn cyclegan_has_the_published_number_of_parameters() {
    let (config, device) = (cyclegan::Config::paper(), Device::flex());
    let generators = cyclegan::Generators::new(&config, &device, &mut Initial::Absent);
    assert_eq!(parameter_count(&generators.there), 7_837_699);
    assert_eq!(parameter_count(&generators), 2 * 7_837_699);
    let discriminators = cyclegan::Discriminators::new(&config, &device, &mut Initial::Absent);
    assert_eq!(parameter_count(&discriminators.of_target), 2_764_737);
    assert_eq!(parameter_count(&discriminators), 2 * 2_764_737);
}

fn buffer_count(module: &mut dyn Module) -> usize {
    let mut count = 0;
    for_each(module, |_, kind, tensor| {
        if kind == Kind::Buffer {
            count += tensor.shape().iter().product::<usize>();
        }
    });
    count
}

#[test]
fn sasn_without_its_additions_is_stargan_to_the_bit() {
    let device = Device::flex();
    let stargan = stargan::Config { discriminator_updates: 5, ..stargan::Config::smoke() };
    let sasn = sasn::Config {
        attention: Vec::new(),
        spectral_norm: false,
        source_head: SourceHead::Patch,
        adversarial_loss: AdversarialLoss::WassersteinGp,
        updates: UpdateRatio { generator: 1, discriminator: 5 },
        ..sasn::Config::smoke()
    };
    let (mut stargan, mut sasn) = (Stargan::new(stargan, 3, &device), Sasn::new(sasn, 3, &device));
    for n in 0..6 {
        let batch = noise(2, 32, n, &device);
        stargan.step(&batch, RATES, &mut Rng::stream(3, "step", n));
        sasn.step(&batch, RATES, &mut Rng::stream(3, "step", n));
    }
    assert_eq!((stargan.discriminator.updates(), stargan.generator.updates()), (6, 1));
    let (stargan, sasn) = (bits(&mut stargan), bits(&mut sasn));
    let differing: Vec<_> = differing(&stargan, &sasn).collect();
    assert!(differing.is_empty(), "{differing:?}");
}

#[test]
fn attention_trains_in_any_subset_of_places() {
    let device = Device::flex();
    let all = [Place::Down1, Place::Down2, Place::Bottleneck, Place::Up1];
    for subset in 0..1 << all.len() {
        let attention: Vec<_> = all.into_iter().enumerate().filter(|(n, _)| subset >> n & 1 == 1).collect();
        let attention: Vec<_> = attention.into_iter().map(|(_, place)| place).collect();
        let config = sasn::Config { attention: attention.clone(), image_size: 16, ..sasn::Config::smoke() };
        let mut game = Sasn::new(config, 0, &device);
        assert_eq!(game.generator.network.gammas().count(), attention.len());
        // At gamma = 0, where it starts, the attended value has no influence: let it have some.
        for_each(&mut game.generator.network, |name, _, tensor| {
            if name.ends_with("gamma") {
                tensor.set(burn::tensor::TensorData::new(vec![0.5f32], [1]));
            }
        });
        let mut generator = tracked(&game.generator.network);
        let total = game.generator_pass(&generator, &noise(2, 16, 0, &device)).total;
        let gradients = gradients(&mut generator, &mut total.backward()); // panics where one is missing
        let mut gradients = gradients.into_iter();
        for_each(&mut generator, |name, kind, _| {
            if kind == Kind::Parameter {
                let gradient = gradients.next().expect("one for each").abs().max().into_scalar::<f32>();
                assert!(gradient.is_finite() && gradient > 0.0, "{attention:?}: {name} has {gradient}");
            }
        });
    }
}

/// A batch of noise with other noise as its targets, all neutral and all to be happy.
fn two_domains(count: usize, side: usize, number: u64, device: &Device) -> Batch {
    let mut batch = noise(count, side, number, device);
    batch.target_images = Some(noise(count, side, 1_000 + number, device).source.images);
    batch.source.expressions = vec![Expression::Neutral; count];
    batch.targets = vec![Expression::Happy; count];
    batch
}

fn values(images: Tensor<4>) -> Vec<f32> {
    images.into_data().try_into_vec().unwrap()
}

/// The squares after a translator's edit.
fn shown(translator: &dyn Translator, faces: &Tensor<4>, targets: &[Expression]) -> Tensor<4> {
    translator.edit(faces.clone(), targets).on_square(faces.clone())
}

/// As small as a U-Net with dropout goes.
fn tiny_pix2pix() -> pix2pix::Config {
    let config = pix2pix::Config::smoke();
    pix2pix::Config { image_size: 64, layers: 6, channels: 4, discriminator_channels: 4, ..config }
}

#[test]
fn pix2pix_gives_a_face_one_result_whatever_is_in_its_batch() {
    let device = Device::flex();
    for synthesis in [Synthesis::RunningStatistics, Synthesis::AsTrained] {
        let mut game = Pix2pix::new(pix2pix::Config { synthesis, ..tiny_pix2pix() }, 3, &device);
        for n in 0..2 {
            game.step(&two_domains(2, 64, n, &device), RATES, &mut Rng::stream(3, "step", n));
        }
        let translator = game.translator(false);
        assert_eq!(translator.targets(), [Expression::Happy, Expression::Neutral]);
        let faces = noise(3, 64, 9, &device).source.images;
        let targets = [Expression::Happy, Expression::Neutral, Expression::Happy];
        let together = shown(&*translator, &faces, &targets);
        let face = |images: &Tensor<4>, n: usize| images.clone().slice_dim(0, n..n + 1);
        assert_eq!(values(face(&together, 1)), values(face(&faces, 1)), "the source is neutral already");
        for n in [0, 2] {
            let alone = values(shown(&*translator, &face(&faces, n), &[Expression::Happy]));
            let pairs = alone.iter().zip(values(face(&together, n)));
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "{synthesis:?}");
            assert_ne!(alone, values(face(&faces, n)));
        }
    }
}

#[test]
fn pix2pix_draws_dropout_from_the_step_s_stream_alone() {
    let device = Device::flex();
    let batch = two_domains(1, 64, 0, &device);
    let after = |dropout, draw| {
        let mut game = Pix2pix::new(pix2pix::Config { dropout, ..tiny_pix2pix() }, 3, &device);
        game.step(&batch, RATES, &mut Rng::stream(3, "step", draw));
        bits(&mut game)
    };
    assert_eq!(differing(&after(0.5, 0), &after(0.5, 0)).count(), 0);
    assert_ne!(differing(&after(0.5, 0), &after(0.5, 1)).count(), 0);
    assert_eq!(differing(&after(0.0, 0), &after(0.0, 1)).count(), 0);
}

#[test]
fn every_parameter_of_one_way_networks_learns() {
    let device = Device::flex();
    let batch = two_domains(2, 64, 0, &device);
    for conditional in [false, true] {
        let mut game = Pix2pix::new(pix2pix::Config { conditional, ..tiny_pix2pix() }, 3, &device);
        let before = bits(&mut game);
        game.step(&batch, RATES, &mut rng());
        let after = bits(&mut game);
        // Batch norms' shifts and biases of 0 move as well; moments come with them.
        assert_eq!(differing(&before, &after).count(), before.len(), "conditional = {conditional}");
        let known = game.translator(false).targets();
        assert_eq!(known.len(), if conditional { Expression::COUNT } else { 2 });
    }
    let config = cyclegan::Config {
        image_size: 16,
        channels: 4,
        discriminator_layers: 2,
        ..cyclegan::Config::smoke()
    };
    let batch = two_domains(2, 16, 0, &device);
    let mut game = Cyclegan::new(config, 3, &device);
    let before = bits(&mut game);
    game.step(&batch, RATES, &mut rng());
    assert_eq!(differing(&before, &bits(&mut game)).count(), before.len());
}

#[test]
fn a_conditional_pix2pix_listens_to_its_label() {
    let device = Device::flex();
    let game = Pix2pix::new(pix2pix::Config { conditional: true, ..tiny_pix2pix() }, 3, &device);
    let face = noise(1, 64, 9, &device).source.images;
    let face = Tensor::cat(vec![face; 3], 0);
    let translator = game.translator(false);
    let images = values(shown(&*translator, &face, &[Expression::Happy, Expression::Sad, Expression::Happy]));
    let [happy, sad, again] = [0, 1, 2].map(|n| &images[n * 3 * 64 * 64..(n + 1) * 3 * 64 * 64]);
    assert_eq!(happy, again);
    assert_ne!(happy, sad);
}

#[test]
fn cyclegan_goes_there_and_back() {
    let device = Device::flex();
    let mut game = Cyclegan::new(cyclegan::Config::smoke(), 3, &device);
    let translator = game.translator(false);
    assert_eq!(translator.targets(), [Expression::Happy, Expression::Neutral]);
    let face = noise(1, 32, 0, &device).source.images;
    let there = shown(&*translator, &face, &[Expression::Happy]);
    let back = shown(&*translator, &face, &[Expression::Neutral]);
    let generators = &mut game.generator.network;
    assert_eq!(values(there), values(generators.there.forward(face.clone())));
    assert_eq!(values(back), values(generators.back.as_ref().unwrap().forward(face)));
    generators.back = None;
    assert_eq!(generators.targets(), [Expression::Happy]);
}

#[test]
fn one_way_settings_that_cannot_be_are_named() {
    let pix2pix = |change: fn(&mut pix2pix::Config)| {
        let mut config = pix2pix::Config::paper();
        change(&mut config);
        MethodConfig::Pix2pix(config)
    };
    let cyclegan = |change: fn(&mut cyclegan::Config)| {
        let mut config = cyclegan::Config::paper();
        change(&mut config);
        MethodConfig::Cyclegan(config)
    };
    for (config, problem) in [
        (pix2pix(|config| config.target = Expression::Neutral), "neutral is what the sources show"),
        (pix2pix(|config| config.layers = 8), "images of 128 px"),
        (pix2pix(|config| config.layers = 4), "4 layers"),
        (pix2pix(|config| config.dropout = 1.0), "dropout 1"),
        (pix2pix(|config| config.discriminator_layers = 6), "no patch"),
        (cyclegan(|config| config.way_back = false), "way_back"),
        (cyclegan(|config| config.target = Expression::Neutral), "neutral is what the sources show"),
        (cyclegan(|config| config.discriminator_layers = 7), "no patch"),
        (cyclegan(|config| config.channels = 0), "channels"),
    ] {
        let error = config.check().unwrap_err();
        assert!(error.to_string().contains(problem) && error.hint().is_some(), "{error}");
    }
    let sad = pix2pix(|_| ()).with_target(Expression::Sad).unwrap();
    assert_eq!(sad.direction().unwrap().to, Some(Expression::Sad));
    let error = MethodConfig::Stargan(stargan::Config::paper()).with_target(Expression::Sad).unwrap_err();
    assert!(error.hint().unwrap().contains("pix2pix"));
    assert!(pix2pix(|config| config.conditional = true).with_target(Expression::Sad).is_err());
}

#[test]
fn masks_gain_up_to_the_setting_and_not_at_all_where_there_is_none() {
    let gains = |mask_gain: f32| {
        let config = MoueConfig { mask_gain, ..MoueConfig::smoke() };
        config.draw_mask_gains(200, &mut Rng::stream(0, "step", 0))
    };
    let drawn = gains(1.5);
    assert_eq!(drawn.len(), 200);
    let (low, high) = drawn.iter().fold((f32::MAX, 0.0f32), |(l, h), &gain| (l.min(gain), h.max(gain)));
    assert!((1.0..1.05).contains(&low) && (1.45..=1.5).contains(&high), "{low} to {high}");
    // Runs from before there were gains go on without, and draw nothing.
    assert!(gains(1.0).is_empty() && gains(0.0).is_empty());
}
