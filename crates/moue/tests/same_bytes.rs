//! The same bytes at any number of threads, at the paper's full width: some operations split their work over threads
//! only from sizes on that small tests never reach.

#[path = "support/bits.rs"]
mod bits;
#[path = "support/noise.rs"]
mod noise;

use moue::base::device::Device;
use moue::base::rng::Rng;
use moue::methods::sasn::{Config, Sasn};
use moue::nn::losses::mean_absolute_difference;

use bits::{bits, differing};
use noise::noise;

/// At 4 faces of 128 px, 64 channels have 4,194,304 values: from there on the CPU backend sums in parallel, in the
/// order in which threads finish. `MOUE_TEST_BATCH=16` takes the paper's batch, which takes four times as long.
const BATCH: usize = 4;

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
    pool.install(work)
}

/// The bits of all players after one update of the generator and one of the discriminator.
fn after_two_updates(count: usize) -> Vec<(String, Vec<u32>)> {
    let device = Device::flex();
    let config = Config::paper();
    let batch = noise(count, config.image_size, 0, &device);
    let mut game = Sasn::new(config, 1, &device);
    game.update_generator(&batch, 1e-4);
    game.update_discriminator(&batch, 1e-4, &mut Rng::stream(0, "step", 0));
    bits(&mut game)
}

#[test]
fn threads_change_no_bit_of_two_updates_at_full_width() {
    let count = std::env::var("MOUE_TEST_BATCH").map_or(BATCH, |count| count.parse().expect("a number"));
    let [one, two] = [1, 2].map(|threads| on_threads(threads, || after_two_updates(count)));
    let differing: Vec<_> = differing(&one, &two).collect();
    assert!(differing.is_empty(), "{} of {} tensors differ: {differing:?}", differing.len(), one.len());
}

#[test]
fn threads_change_no_bit_of_the_reconstruction_loss_of_large_batches() {
    let device = Device::flex();
    // 6 million values, scaled so that their sums are rounded in several ways.
    let [x, y] = [0, 1].map(|number| noise(2, 1024, number, &device).source.images);
    for scale in 10..20 {
        let loss = |threads| {
            let (x, y) = (x.clone() * (scale as f32 / 7.0), y.clone());
            on_threads(threads, move || mean_absolute_difference(x, y).into_scalar::<f32>().to_bits())
        };
        let one = loss(1);
        assert_eq!([loss(2), loss(3), loss(2), loss(3)], [one; 4]);
    }
}
