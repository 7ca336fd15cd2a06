//! What goes from files and to files: batches of a folder of images, checkpoints; and the features for FID, whose weights
//! are in a file that may be absent.

use std::io::Write;
use std::path::Path;

use criterion::{Criterion, SamplingMode, criterion_group};
use moue::base::device::Device;
use moue::base::file::FileSystem;
use moue::base::rng::Rng;
use moue::data::{Dataset, Loader, LoaderConfig};
use moue::run::checkpoint;
use moue_benches::{game, images, method};
use moue_evaluation::networks::INCEPTION;
use moue_evaluation::networks::inception::{Inception, SIDE};
use moue_evaluation::weights::Store;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Batches of 16 at 128 px of the rendered faces, plain, and as `moue` is trained: in pairs, each face turned, moved and lit
/// a little otherwise. Faces are decoded once, in the first epoch.
fn loading(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/faces");
    let samples = Dataset::open(&folder).expect("the faces come with the repository").samples;
    let plain = LoaderConfig {
        side: 128,
        batch_size: 16,
        flip: true,
        augment: false,
        pairs: false,
        direction: None,
        seed: 0,
        workers: 1,
        ahead: 1,
    };
    let mut group = criterion.benchmark_group("data");
    group.sample_size(10);
    for (name, augment, pairs) in [("a batch", false, false), ("a batch, augmented pairs", true, true)] {
        let config = LoaderConfig { augment, pairs, ..plain };
        let mut loader = Loader::new(samples.clone(), config, 0).expect("there are enough faces");
        group.bench_function(name, |bencher| bencher.iter(|| loader.next().expect("no face vanishes")));
    }
    group.bench_function("the first batch", |bencher| {
        bencher.iter(|| Loader::new(samples.clone(), plain, 0).and_then(|mut loader| loader.next()));
    });
}

/// Checkpoints of `sasn` at 128 px: 53 million weights, an average of 9 million, and two moments of each weight.
fn checkpoints(criterion: &mut Criterion) {
    let method = method("sasn");
    let mut game = game(&method, &Device::flex());
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let mut group = criterion.benchmark_group("checkpoint");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let mut write = || checkpoint::save(folder.path(), game.as_mut(), &method, 1, 0, &FileSystem);
    let path = write().expect("it can be written");
    group.bench_function("write, sasn", |bencher| {
        bencher.iter(|| write().expect("it can be written"));
    });
    group.bench_function("read, sasn", |bencher| {
        bencher.iter(|| checkpoint::load(&path, game.as_mut(), &method).expect("it can be read"));
    });
}

/// Of eight images that have the network's size already.
fn features(criterion: &mut Criterion) {
    let device = Device::flex();
    let folder = std::env::var_os("MOUE_WEIGHTS").map(Into::into);
    let store = Store { folder, cache: None, offline: true };
    let weights = match store.load(&INCEPTION, None, &mut |_| {}) {
        Ok(weights) => weights,
        Err(reason) => {
            let mut errors = std::io::stderr().lock();
            writeln!(errors, "features: left out, as MOUE_WEIGHTS has no weights ({reason})")
                .expect("somebody reads errors");
            return;
        }
    };
    let network = Inception::new(&weights, &device).expect("the store checks them");
    let images = images(8, SIDE, &mut Rng::stream(0, "benches", 0), &device);
    let mut group = criterion.benchmark_group("features");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("FID, 8 images", |bencher| bencher.iter(|| network.features(images.clone())));
}

criterion_group!(files, loading, checkpoints, features);

fn main() {
    moue_benches::run(files);
}
