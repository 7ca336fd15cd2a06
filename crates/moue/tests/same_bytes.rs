//! The same bytes at any number of threads, at the paper's full width: some operations split their work over threads
//! only from sizes on that small tests never reach.

#[path = "support/bits.rs"]
mod bits;
#[path = "support/noise.rs"]
mod noise;

use moue::base::device::Device;
use moue::base::rng::Rng;
use moue::methods::sasn::{Config, Sasn};

use bits::{bits, differing};
use noise::noise;

/// The bits of all players after one update of the generator and one of the discriminator on some threads.
fn after_two_updates(threads: usize) -> Vec<(String, Vec<u32>)> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
    pool.install(|| {
        let device = Device::flex();
        let config = Config::paper();
        let batch = noise(16, config.image_size, 0, &device);
        let mut game = Sasn::new(config, 1, &device);
        let begun = std::time::Instant::now();
        game.update_generator(&batch, 1e-4);
        let generator = begun.elapsed();
        game.update_discriminator(&batch, 1e-4, &mut Rng::stream(0, "step", 0));
        println!("{threads} threads: generator {generator:.1?}, both {:.1?}", begun.elapsed());
        bits(&mut game)
    })
}

#[test]
fn threads_change_no_bit_at_full_width() {
    let (one, two) = (after_two_updates(1), after_two_updates(2));
    let differing: Vec<_> = differing(&one, &two).collect();
    assert!(differing.is_empty(), "{} of {} tensors differ: {differing:?}", differing.len(), one.len());
}
