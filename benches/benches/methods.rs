//! The generators and the training steps of all methods.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group};
use moue::base::device::Device;
use moue::base::rng::Rng;
use moue_benches::{batch, game, method, round};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Each preset for two cores with the batch of its step; then those as published, whose steps take seconds, with few faces
/// where a round has several.
const TRAINED: [(&str, usize); 12] = [
    ("sasn-small", 8),
    ("stargan-small", 8),
    ("moue-small", 8),
    ("attgan-small", 8),
    ("pix2pix-small", 1),
    ("cyclegan-small", 1),
    ("moue", 8),
    ("pix2pix", 1),
    ("cyclegan", 1),
    ("sasn", 1),
    ("stargan", 1),
    ("attgan", 2),
];

/// Ten samples of one time each: a mean of few is enough where a time is long.
fn few<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    group
}

fn forward(criterion: &mut Criterion) {
    let device = Device::flex();
    let mut group = few(criterion, "forward");
    for preset in ["sasn", "stargan", "moue", "attgan", "pix2pix", "cyclegan", "sasn-small", "moue-small"] {
        let method = method(preset);
        let translator = game(&method, &device).translator(false);
        for count in [1, 16] {
            let batch = batch(&method, count, &device);
            let x = &batch.source.images;
            group.bench_function(format!("{preset}, batch {count}"), |bencher| {
                bencher.iter(|| translator.edit(x.clone(), &batch.targets).on_square(x.clone()));
            });
        }
    }
}

/// What is timed is a round, in which each player is updated: `sasn` updates its generator five times in one, StarGAN its
/// discriminator.
fn training(criterion: &mut Criterion) {
    let device = Device::flex();
    let mut group = few(criterion, "training");
    for (preset, count) in TRAINED {
        let method = method(preset);
        let (mut game, batch) = (game(&method, &device), batch(&method, count, &device));
        let mut rng = Rng::stream(0, "benches", 0);
        let steps = round(&method);
        let name = match steps {
            1 => format!("{preset}, batch {count}"),
            _ => format!("{preset}, batch {count}, {steps} steps"),
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..steps {
                    game.step(&batch, method.learning_rates(), &mut rng);
                }
            });
        });
    }
}

criterion_group!(methods, forward, training);

fn main() {
    moue_benches::run(methods);
}
