//! Inception-v3 and its inputs against PyTorch, pytorch-fid and Pillow (`golden/make_evaluation.py`).
//!
//! What needs the weights looks for them where the program does, but downloads nothing; without them it says so.

use std::path::Path;

use image::{Rgb, RgbImage};
use moue::base::device::{Device, device};
use moue::base::error::Error;
use moue_evaluation::images::{Cache, Extractor, extract};
use moue_evaluation::networks::inception::{DIMENSIONS, Inception, InceptionFeatures, SIDE};
use moue_evaluation::networks::{INCEPTION, Resize};
use moue_evaluation::weights::Store;
use safetensors::SafeTensors;

/// The two pictures of `make_evaluation.py`.
const SIZES: [(&str, [u32; 2]); 2] = [("small", [60, 44]), ("large", [340, 410])];
const MODES: [(&str, Resize); 2] = [("pytorch_fid", Resize::PytorchFid), ("clean", Resize::Clean)];

fn picture([width, height]: [u32; 2]) -> RgbImage {
    let (w, h) = (i64::from(width), i64::from(height));
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        let radius = w.min(h) / 2 * 2;
        let inside = (2 * x - w).pow(2) + (2 * y - h).pow(2) < radius.pow(2);
        let value = |c: i64| (x * (3 + c) + y * (5 - c) + i64::from(inside) * 90 + (x * y) % (17 + c)) % 256;
        Rgb([0, 1, 2].map(|c| value(c) as u8))
    })
}

fn golden(name: &str) -> Vec<f32> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/evaluation.safetensors");
    let file = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    let data = file.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn cpu() -> Device {
    device("cpu").unwrap()
}

/// The network with its weights, where they are on this machine.
fn inception() -> Option<Inception> {
    let store = Store { offline: true, ..Store::from_environment() };
    match store.load(&INCEPTION, None, &mut |_| {}) {
        Ok(weights) => Some(Inception::new(&weights, &cpu()).unwrap()),
        // Nowhere on this machine; what is there and damaged is a failure.
        Err(error @ Error::Config { .. }) => {
            eprintln!("skipped: {error}; {}", error.hint().unwrap());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn inputs_are_those_of_pytorch_and_pillow() {
    for (name, size) in SIZES {
        for (mode, resize) in MODES {
            let values = resize.values(&picture(size));
            assert_eq!(values.len(), 3 * SIDE * SIDE);
            let every_23rd: Vec<f32> = (0..3)
                .flat_map(|c| (0..SIDE).step_by(23).map(move |y| (c, y)))
                .flat_map(|(c, y)| (0..SIDE).step_by(23).map(move |x| (c * SIDE + y) * SIDE + x))
                .map(|at| values[at])
                .collect();
            let difference = largest_difference(&every_23rd, &golden(&format!("{mode}.{name}.input")));
            // PyTorch finds places in f32, whose last place is 3e-5 of a pixel at 400, and neighbours differ by 2 at most.
            assert!(difference < 1e-5, "{mode} {name}: {difference}");
        }
    }
}

#[test]
fn features_are_those_of_pytorch_fid() {
    let Some(network) = inception() else { return };
    for (mode, resize) in MODES {
        let extractor = InceptionFeatures { network: network.clone(), resize };
        for (name, size) in SIZES {
            let features = extractor.extract(&[picture(size)]).unwrap();
            let difference = largest_difference(&features, &golden(&format!("{mode}.{name}.features")));
            eprintln!("{mode} {name}: features differ by {difference:e} at most");
            assert!(difference < 1e-4, "{mode} {name}: {difference}");
        }
    }
}

#[test]
fn features_depend_neither_on_the_batch_nor_on_the_threads() {
    let Some(network) = inception() else { return };
    let extractor = InceptionFeatures { network, resize: Resize::PytorchFid };
    let pictures: Vec<RgbImage> = (0..5).map(|n| picture([40 + 9 * n, 50])).collect();
    let alone: Vec<f32> =
        pictures.iter().flat_map(|p| extractor.extract(std::slice::from_ref(p)).unwrap()).collect();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| extractor.extract(&pictures).unwrap()) == alone, "{threads} threads");
    }
}

#[test]
fn what_was_computed_is_read_the_second_time() {
    let Some(network) = inception() else { return };
    let extractor = InceptionFeatures { network, resize: Resize::PytorchFid };
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..3).map(|n| folder.path().join(format!("{n}.png"))).collect();
    for (n, file) in files.iter().enumerate() {
        picture([40 + n as u32, 40]).save(file).unwrap();
    }
    let cache = Cache::at(&folder.path().join("cache"));
    let first = extract(&extractor, &files, &cache, 2, &mut |_, _| {}).unwrap();
    picture([70, 30]).save(&files[1]).unwrap();
    let second = extract(&extractor, &files, &cache, 2, &mut |_, _| {}).unwrap();
    assert_eq!((first.computed, second.computed), (3, 1));
    assert_eq!(first.features.dimensions(), DIMENSIONS);
    assert_eq!(first.features.row(2), second.features.row(2));
    assert_ne!(first.features.row(1), second.features.row(1));
}

/// What this process used of all processors; tells the truth on a busy machine too. Linux counts hundredths.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}

/// `cargo test --release -p moue-evaluation --test inception -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn images_per_second() {
    let Some(network) = inception() else { return };
    let extractor = InceptionFeatures { network, resize: Resize::PytorchFid };
    for threads in [1, 2] {
        for batch in [1, 4, 8, 16] {
            let pictures = vec![picture([256, 256]); batch];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let run = || {
                let (begun, before) = (std::time::Instant::now(), processor_seconds());
                extractor.extract(&pictures).unwrap();
                (begun.elapsed().as_secs_f64(), processor_seconds() - before)
            };
            let times = pool.install(|| [(); 4].map(|()| run()));
            let [wall, processor] = [times.map(|t| t.0), times.map(|t| t.1)]
                .map(|times| batch as f64 / times.into_iter().fold(f64::INFINITY, f64::min));
            eprintln!(
                "{threads} threads, batch {batch}: {wall:.2} images/s, {processor:.2} a processor's second"
            );
        }
    }
}
