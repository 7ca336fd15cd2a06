//! Batches in order, at any number of workers, of what they are to be of.

use std::time::{Duration, Instant};

use super::*;
use crate::data::fixtures::{face, samples};

const CONFIG: LoaderConfig = LoaderConfig {
    side: 16,
    batch_size: 4,
    flip: true,
    augment: false,
    pairs: false,
    direction: None,
    seed: 7,
    workers: 1,
    ahead: 4,
};

fn batches(samples: &[Sample], config: LoaderConfig, first: u64, count: usize) -> Vec<HostBatch> {
    let mut loader = Loader::new(samples.to_vec(), config, first).unwrap();
    (0..count).map(|_| loader.next().unwrap()).collect()
}

#[test]
fn workers_and_resuming_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path(), 10);
    let expected = batches(&samples, CONFIG, 0, 9);
    assert!(expected.iter().zip(0..).all(|(batch, number)| batch.number == number));
    for (workers, ahead) in [(3, 1), (3, 7), (0, 0)] {
        let config = LoaderConfig { workers, ahead, ..CONFIG };
        assert_eq!(batches(&samples, config, 0, 9), expected);
        assert_eq!(batches(&samples, config, 4, 5), expected[4..]);
    }
    assert_ne!(batches(&samples, LoaderConfig { seed: 8, ..CONFIG }, 0, 9), expected);
}

#[test]
fn pairs_are_taken_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = samples(folder.path(), 16);
    for (number, sample) in samples.iter_mut().enumerate() {
        sample.identity = Some(if number < 8 { "a" } else { "b" }.into());
    }
    for augment in [false, true] {
        let config = LoaderConfig { pairs: true, augment, ..CONFIG };
        let expected = batches(&samples, config, 0, 5);
        assert_eq!(batches(&samples, LoaderConfig { workers: 3, ..config }, 2, 3), expected[2..]);
        for batch in expected {
            let targets = batch.target_images.expect("there are pairs");
            let pairs = batch.images.chunks(bytes(16)).zip(targets.chunks(bytes(16)));
            for ((image, target), (&sample, &shown)) in pairs.zip(batch.samples.iter().zip(&batch.targets)) {
                // A fixture's red says which it is, green and blue are the same in all: so are they here, but
                // for a source's noise.
                let limit = if augment { 0.4 } else { 0.0 };
                let alike = |(a, b): (&f32, &f32)| (a - b).abs() <= limit;
                assert!(image[256..].iter().zip(&target[256..]).all(alike));
                if !augment {
                    assert_eq!(image == target, samples[sample].expression == shown);
                }
            }
        }
    }
    let strangers = samples.iter().cloned().map(|sample| Sample { identity: None, ..sample });
    let alone = batches(&strangers.collect::<Vec<_>>(), LoaderConfig { pairs: true, ..CONFIG }, 0, 1);
    assert_eq!(alone[0].target_images, None);
}

#[test]
fn an_epoch_holds_every_sample_once() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path(), 12);
    let loader = Loader::new(samples.clone(), CONFIG, 0).unwrap();
    assert_eq!(loader.batches_per_epoch(), 3);
    let all = batches(&samples, CONFIG, 0, 6);
    let epochs: Vec<Vec<usize>> =
        all.chunks(3).map(|e| e.iter().flat_map(|b| b.samples.clone()).collect()).collect();
    assert_ne!(epochs[0], epochs[1]);
    for mut epoch in epochs {
        epoch.sort_unstable();
        assert_eq!(epoch, (0..12).collect::<Vec<_>>());
    }
}

#[test]
fn targets_are_the_batch_s_own_labels() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path(), 16);
    let config = LoaderConfig { batch_size: 8, ..CONFIG };
    let mut all = batches(&samples, config, 0, 10);
    assert!(all.iter().any(|batch| batch.targets != batch.expressions));
    for batch in &mut all {
        let labels: Vec<_> = batch.samples.iter().map(|&index| samples[index].expression).collect();
        assert_eq!(batch.expressions, labels);
        batch.expressions.sort_unstable();
        batch.targets.sort_unstable();
        assert_eq!(batch.targets, batch.expressions);
    }
    let unflipped = batches(&samples, LoaderConfig { flip: false, ..config }, 0, 1);
    assert_eq!(unflipped[0].samples, all[0].samples);
}

#[test]
fn images_are_themselves_or_their_mirror_images() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path(), 4);
    let values = |image: &RgbImage| {
        let mut values = Vec::new();
        append_values(image, &mut values);
        values
    };
    let count_mirrored = |flip| {
        let all = batches(&samples, LoaderConfig { flip, ..CONFIG }, 0, 8);
        let images = all.iter().flat_map(|b| b.samples.iter().zip(b.images.chunks_exact(bytes(16))));
        images
            .filter(|(sample, image)| {
                let face = face(**sample as u8);
                let mirrored = *image == values(&image::imageops::flip_horizontal(&face));
                assert!(mirrored || *image == values(&face));
                mirrored
            })
            .count()
    };
    assert_eq!(count_mirrored(false), 0);
    assert!((1..32).contains(&count_mirrored(true)));
}

#[test]
fn images_beyond_the_budget_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut maker = Maker::new(samples(folder.path(), 8), CONFIG).unwrap();
    assert_eq!(maker.cache.len(), 8);
    let cached = [maker.batch(1).unwrap(), maker.batch(1).unwrap()];
    maker.cache.truncate(1);
    assert_eq!(cached, [maker.batch(1).unwrap(), maker.batch(1).unwrap()]);
}

#[test]
fn a_damaged_image_is_an_error_and_no_hang() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path(), 12);
    std::fs::write(&samples[5].file, "no image").unwrap();
    for workers in [1, 3] {
        let mut loader = Loader::new(samples.clone(), LoaderConfig { workers, ..CONFIG }, 0).unwrap();
        let error = (0..3).find_map(|_| loader.next().err()).unwrap();
        assert!(matches!(&error, Error::Image { path, .. } if *path == samples[5].file), "{error:?}");
        let again = loader.next().unwrap_err();
        assert!(matches!(&again, Error::Data { path, .. } if path == folder.path()), "{again:?}");
    }
    std::fs::remove_file(&samples[5].file).unwrap();
    let mut loader = Loader::new(samples, CONFIG, 0).unwrap();
    assert!(matches!((0..3).find_map(|_| loader.next().err()), Some(Error::Read { .. })));
}

#[test]
fn dropping_a_full_loader_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(samples(folder.path(), 8), LoaderConfig { workers: 2, ..CONFIG }, 0).unwrap();
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    drop(loader);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn too_few_images_name_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let error = Loader::new(samples(folder.path(), 3), CONFIG, 0).unwrap_err();
    assert!(matches!(&error, Error::Data { path, .. } if path == folder.path()), "{error:?}");
    assert!(error.to_string().contains("3 training images are too few for a batch of 4"));
    assert!(error.hint().unwrap().contains("batch_size to 3"));
    assert!(matches!(Loader::new(vec![], CONFIG, 0).unwrap_err(), Error::Data { .. }));
    let config = LoaderConfig { batch_size: 0, ..CONFIG };
    assert!(matches!(Loader::new(vec![], config, 0).unwrap_err(), Error::Config { .. }));
}

/// Three people of whom two have a neutral and a happy face, looking left and right.
fn two_domains(folder: &Path) -> Vec<Sample> {
    let mut samples = samples(folder, 9);
    let shown = [
        ("a", "left", Expression::Neutral),
        ("a", "left", Expression::Happy),
        ("a", "right", Expression::Neutral),
        ("a", "right", Expression::Happy),
        ("a", "right", Expression::Sad),
        ("b", "left", Expression::Neutral),
        ("b", "left", Expression::Happy),
        ("b", "right", Expression::Happy),
        ("c", "left", Expression::Happy),
    ];
    for (sample, (identity, gaze, expression)) in samples.iter_mut().zip(shown) {
        (sample.identity, sample.gaze, sample.expression) =
            (Some(identity.into()), Some(gaze.into()), expression);
    }
    samples
}

fn to_happy(paired: bool) -> LoaderConfig {
    let direction = Direction { from: Expression::Neutral, to: Some(Expression::Happy), paired };
    LoaderConfig { batch_size: 1, pairs: paired, direction: Some(direction), ..CONFIG }
}

#[test]
fn one_way_s_pairs_are_each_in_an_epoch_once() {
    let folder = tempfile::tempdir().unwrap();
    let samples = two_domains(folder.path());
    assert_eq!(Loader::new(samples.clone(), to_happy(true), 0).unwrap().batches_per_epoch(), 3);
    let all = batches(&samples, to_happy(true), 0, 6);
    for epoch in all.chunks(3) {
        let mut sources: Vec<usize> = epoch.iter().flat_map(|batch| batch.samples.clone()).collect();
        sources.sort_unstable();
        assert_eq!(sources, [0, 2, 5]);
    }
    for batch in &all {
        assert_eq!((batch.expressions[0], batch.targets[0]), (Expression::Neutral, Expression::Happy));
        // A fixture's red says which it is; the rest is as the image is mirrored.
        let (image, target) = (&batch.images, batch.target_images.as_ref().unwrap());
        assert_eq!(image[256..], target[256..]);
        let red = |values: &[f32]| ((values[0] + 1.0) * 127.5).round() as usize;
        assert_eq!(red(target), red(image) + 1);
    }
    assert_eq!(batches(&samples, LoaderConfig { workers: 3, ..to_happy(true) }, 2, 4), all[2..]);
    // Towards any expression there is one more pair.
    let any = Direction { from: Expression::Neutral, to: None, paired: true };
    let config = LoaderConfig { direction: Some(any), ..to_happy(true) };
    let shown = batches(&samples, config, 0, 4).into_iter().map(|batch| batch.targets[0]);
    assert_eq!(shown.filter(|&target| target == Expression::Sad).count(), 1);
}

#[test]
fn two_domains_need_nobody_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = two_domains(folder.path());
    samples.iter_mut().for_each(|sample| sample.identity = None);
    assert_eq!(Loader::new(samples.clone(), to_happy(false), 0).unwrap().batches_per_epoch(), 5);
    let all = batches(&samples, to_happy(false), 0, 200);
    let mut flips = [0; 4];
    for batch in &all {
        assert_eq!((batch.expressions[0], batch.targets[0]), (Expression::Neutral, Expression::Happy));
        assert_eq!(samples[batch.samples[0]].expression, Expression::Neutral);
        let mirrored = |values: &[f32]| usize::from(values[256] > values[256 + 15]);
        flips[2 * mirrored(&batch.images) + mirrored(batch.target_images.as_ref().unwrap())] += 1;
    }
    assert!(flips.iter().all(|&count| count > 20), "each is mirrored by itself: {flips:?}");
    assert_eq!(batches(&samples, LoaderConfig { workers: 2, ..to_happy(false) }, 9, 5), all[9..14]);
}

#[test]
fn what_pairs_need_is_said_where_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let samples = two_domains(folder.path());
    let error = |samples: Vec<Sample>, config| Loader::new(samples, config, 0).unwrap_err();
    let of = |shown: Expression| samples.iter().filter(move |s| s.expression != shown).cloned().collect();
    let nobody = samples.iter().cloned().map(|s| Sample { identity: None, ..s }).collect();
    for (samples, config, problem) in [
        (nobody, to_happy(true), "does not say who is who"),
        (of(Expression::Happy), to_happy(true), "nobody with a neutral and a happy face"),
        (of(Expression::Neutral), to_happy(false), "no neutral face"),
        (of(Expression::Happy), to_happy(false), "no happy face"),
    ] {
        let error = error(samples, config);
        assert!(matches!(&error, Error::Data { path, .. } if path == folder.path()), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
        assert_eq!(error.hint().unwrap().contains("identity"), config.pairs, "{error:?}");
    }
    let many = LoaderConfig { batch_size: 4, ..to_happy(true) };
    assert!(error(samples, many).to_string().contains("3 pairs of training images are too few"));
}
