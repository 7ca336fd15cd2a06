//! Promises of the methods that no golden number states: sizes, the kinship of sasn and stargan, attention anywhere.

#[path = "support/bits.rs"]
mod bits;
#[path = "support/noise.rs"]
mod noise;

use moue::base::device::Device;
use moue::base::rng::Rng;
use moue::methods::sasn::{self, Place, Sasn, SourceHead};
use moue::methods::stargan::{self, Stargan};
use moue::methods::{Game, Rates, UpdateRatio};
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
