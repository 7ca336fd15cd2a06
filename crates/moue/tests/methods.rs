//! Promises of the methods that no golden number states: sizes, the kinship of sasn and stargan, attention anywhere.

#[path = "support/bits.rs"]
mod bits;
#[path = "support/noise.rs"]
mod noise;

use moue::base::device::Device;
use moue::base::rng::Rng;
use moue::methods::attgan::{self, Attgan};
use moue::methods::sasn::{self, Place, Sasn, SourceHead};
use moue::methods::stargan::{self, Stargan};
use moue::methods::{Decay, Game, Rates, UpdateRatio};
use moue::nn::losses::AdversarialLoss;
use moue::nn::module::{Kind, Module, for_each, gradients, parameter_count, tracked};

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
