//! Distances against closed forms, hand-computed numbers and public implementations' (`golden/`).

use std::path::{Path, PathBuf};

use moue::base::rng::Rng;
use moue_evaluation::metrics::precision_recall::{Neighbourhoods, Scores};
use moue_evaluation::metrics::{Draw, Features, Gram, Statistics, Streamed, frechet, kernel};
use safetensors::SafeTensors;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden").join(name)
}

/// A tensor of a golden file as vectors.
fn vectors(file: &[u8], name: &str) -> Features {
    let file = SafeTensors::deserialize(file).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Features::new(view.shape()[1], values).unwrap()
}

fn facts(file: &[u8], key: &str) -> serde_json::Value {
    let (_, header) = SafeTensors::read_metadata(file).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()[key]).unwrap()
}

/// Normal vectors with this mean and deviation.
fn normal(seed: u64, [count, dimensions]: [usize; 2], mean: f32, deviation: f32) -> Features {
    let mut rng = Rng::stream(seed, "features", 0);
    let values = (0..count * dimensions).map(|_| mean + deviation * rng.normal()).collect();
    Features::new(dimensions, values).unwrap()
}

#[track_caller]
fn close(value: f64, expected: f64, relative: f64) {
    assert!((value - expected).abs() <= relative * expected.abs(), "{value} is not {expected}");
}

#[test]
fn distances_are_those_of_numpy() {
    let file = std::fs::read(golden("distances.safetensors")).unwrap();
    // `deficient` holds a symmetric eigendecomposition's number, which the roots of eigenvalues within rounding of 0 make
    // 1.4e-8 too small: by the singular values of numpy it is the second number here.
    for (case, exact) in [("full", None), ("deficient", Some(408.216_361_160_265))] {
        let [a, b] = ["a", "b"].map(|side| vectors(&file, &format!("{case}.{side}")));
        let facts = facts(&file, case);
        let stored = facts["frechet"].as_f64().unwrap();
        let expected = exact.unwrap_or(stored);
        close(expected, stored, 1e-6);
        close(frechet::of_features(&a, &b).unwrap(), expected, 1e-9);
        close(frechet::of_pairs(&Gram::of(&a, &b), None).unwrap(), expected, 1e-9);
        let [left, right] = [&a, &b].map(|set| Statistics::of(set, None).unwrap());
        close(frechet::of_statistics(&left, &right).unwrap(), expected, 1e-9);
        let kid = kernel::of_pairs(&Streamed::of(&a, &b)).unwrap();
        close(kid.value, facts["kid_unbiased_all"].as_f64().unwrap(), 1e-9);
    }
}

#[test]
fn the_companions_are_those_of_public_implementations() {
    let file = std::fs::read(golden("evaluation.safetensors")).unwrap();
    let facts = facts(&file, "facts");
    let gram = Gram::of(&vectors(&file, "real"), &vectors(&file, "fake"));
    let kid = kernel::of_pairs(&gram).unwrap();
    close(kid.value, facts["kid"]["value"].as_f64().unwrap(), 1e-9);
    close(kid.error.unwrap(), facts["kid"]["error"].as_f64().unwrap(), 1e-9);
    let scores = Neighbourhoods::of(&gram).scores(None);
    for (name, score) in [
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("density", scores.density),
        ("coverage", scores.coverage),
    ] {
        close(score.unwrap(), facts["prdc"][name].as_f64().unwrap(), 1e-12);
    }
}

#[test]
fn gaussians_have_their_closed_form() {
    // Diagonal covariances: the distance is that of means and of deviations.
    let diagonal = |mean: [f64; 3], deviations: [f64; 3]| {
        let mut scatter = vec![0.0; 9];
        (0..3).for_each(|n| scatter[4 * n] = deviations[n].powi(2));
        Statistics { count: None, origin: None, mean: mean.to_vec(), scatter }
    };
    let (a, b) = (diagonal([1.0, 2.0, 3.0], [1.0, 0.5, 0.0]), diagonal([1.0, 0.0, 3.5], [3.0, 0.25, 2.0]));
    let expected = 0.0 + 4.0 + 0.25 + 4.0 + 0.0625 + 4.0;
    close(frechet::of_statistics(&a, &b).unwrap(), expected, 1e-14);
    close(frechet::of_statistics(&b, &a).unwrap(), expected, 1e-14);
    assert!(frechet::of_statistics(&a, &a).unwrap() < 1e-14);
    // One dimension: {-1, 1} and {3, 9} have means 0 and 6, deviations sqrt 2 and sqrt 18.
    let set = |values: [f32; 2]| Features::new(1, values.to_vec()).unwrap();
    close(frechet::of_features(&set([-1.0, 1.0]), &set([3.0, 9.0])).unwrap(), 36.0 + 8.0, 1e-12);
}

#[test]
fn all_ways_to_the_frechet_distance_agree() {
    for seed in 0..20 {
        let mut rng = Rng::stream(seed, "shape", 0);
        let dimensions = 1 + rng.below(24);
        let [m, n] = [(); 2].map(|()| 2 + rng.below(40));
        let left = normal(seed, [m, dimensions], 0.0, 1.0);
        let right = normal(seed + 100, [n, dimensions], rng.uniform(), 0.5 + rng.uniform());
        let [a, b] = [&left, &right].map(|set| Statistics::of(set, None).unwrap());
        let by_statistics = frechet::of_statistics(&a, &b).unwrap();
        let by_pairs = frechet::of_pairs(&Gram::of(&left, &right), None).unwrap();
        assert!((by_statistics - by_pairs).abs() < 1e-9 * (1.0 + by_pairs), "{by_statistics} {by_pairs}");
        assert!(frechet::of_pairs(&Gram::of(&left, &left), None).unwrap() < 1e-9);
        assert!(frechet::of_features(&left, &left).unwrap() < 1e-9);
    }
}

#[test]
fn a_kernel_distance_can_be_computed_by_hand() {
    // k(0, 1) = 1, k(2, 3) = 7^3; k(0, .) = 1, k(1, 2) = 27, k(1, 3) = 64.
    let gram =
        Gram::of(&Features::new(1, vec![0.0, 1.0]).unwrap(), &Features::new(1, vec![2.0, 3.0]).unwrap());
    let kid = kernel::of_pairs(&gram).unwrap();
    assert_eq!((kid.value, kid.error), (1.0 + 343.0 - 2.0 * 23.25, None));
    let one = Gram::of(&Features::new(1, vec![0.0]).unwrap(), &Features::new(1, vec![2.0, 3.0]).unwrap());
    assert_eq!(kernel::of_pairs(&one), None);
}

#[test]
fn the_kernel_distance_has_no_bias_and_an_honest_error() {
    // 60 times two sets of one distribution: the mean is 0 within four errors of it, and the errors are of the size of
    // what they speak of. Where there is no distance, the jackknife's is above it, never below.
    let distances: Vec<_> = (0..60)
        .map(|n| {
            kernel::of_pairs(&Gram::of(&normal(n, [25, 8], 0.0, 1.0), &normal(900 + n, [25, 8], 0.0, 1.0)))
                .unwrap()
        })
        .collect();
    let count = distances.len() as f64;
    let mean = distances.iter().map(|d| d.value).sum::<f64>() / count;
    let deviation = (distances.iter().map(|d| (d.value - mean).powi(2)).sum::<f64>() / count).sqrt();
    assert!(mean.abs() < 4.0 * deviation / count.sqrt(), "{mean} {deviation}");
    let error = distances.iter().map(|d| d.error.unwrap()).sum::<f64>() / count;
    assert!((0.8..2.5).contains(&(error / deviation)), "{error} {deviation}");
    assert!(distances.iter().any(|d| d.value < 0.0), "an unbiased estimate of 0 is below it at times");
}

#[test]
fn equal_sets_look_alike_and_distant_ones_do_not() {
    let set = normal(1, [20, 5], 0.0, 1.0);
    let scores = |left: &Features, right: &Features| Neighbourhoods::of(&Gram::of(left, right)).scores(None);
    let one = Some(1.0);
    let same = scores(&set, &set);
    assert_eq!((same.precision, same.recall, same.coverage), (one, one, one));
    assert!(same.density.unwrap() >= 1.0);
    let none = Some(0.0);
    let far = scores(&set, &normal(2, [30, 5], 100.0, 1.0));
    assert_eq!(far, Scores { precision: none, recall: none, density: none, coverage: none });
    // Copies within a set have balls of radius 0, which hold the copies in the other set.
    let copies = set.select(&[0; 8]);
    let scores_of_copies = scores(&copies, &copies);
    assert_eq!(scores_of_copies.precision, one);
    assert_eq!(scores_of_copies.coverage, one);
}

#[test]
fn too_few_images_have_no_score_instead_of_a_wrong_one() {
    let gram = Gram::of(&normal(1, [4, 3], 0.0, 1.0), &normal(2, [3, 3], 0.0, 1.0));
    let scores = Neighbourhoods::of(&gram).scores(None);
    assert!(scores.precision.is_some() && scores.recall.is_none());
    assert_eq!((scores.density, scores.coverage), (None, None));
    let error = frechet::of_features(&normal(1, [1, 3], 0.0, 1.0), &normal(2, [3, 3], 0.0, 1.0)).unwrap_err();
    assert!(error.hint().unwrap().contains("two images"), "{error}");
    let error = Features::new(2, vec![0.0, 1.0, f32::NAN, 2.0]).unwrap_err();
    assert!(error.to_string().contains("feature vector 1"), "{error}");
}

#[test]
fn a_draw_of_everything_once_is_the_whole() {
    let gram = Gram::of(&normal(1, [12, 30], 0.0, 1.0), &normal(2, [9, 30], 0.3, 1.2));
    let clusters: Vec<usize> = (0..21).collect();
    let draw = Draw { clusters: [&clusters[..12], &clusters[12..]], times: &[1; 21] };
    close(frechet::of_pairs(&gram, Some(draw)).unwrap(), frechet::of_pairs(&gram, None).unwrap(), 1e-12);
    close(kernel::of_draw(&gram, draw).unwrap(), kernel::of_pairs(&gram).unwrap().value, 1e-12);
    let neighbourhoods = Neighbourhoods::of(&gram);
    assert_eq!(neighbourhoods.scores(Some(draw)), neighbourhoods.scores(None));
}

#[test]
fn a_drawn_frechet_distance_is_that_of_the_repeated_vectors() {
    for seed in 0..10 {
        let (left, right) = (normal(seed, [12, 20], 0.0, 1.0), normal(seed + 50, [10, 20], 0.5, 1.5));
        let (own, others): (Vec<usize>, Vec<usize>) =
            ((0..12).map(|n| n / 2).collect(), (0..10).map(|n| n / 2).collect());
        let mut times = [0; 6];
        let mut rng = Rng::stream(seed, "draw", 0);
        (0..6).for_each(|_| times[rng.below(6)] += 1);
        times[5] = times[5].max(1);
        let draw = Draw { clusters: [&own, &others], times: &times };
        let repeated = |clusters: &[usize]| -> Vec<usize> {
            (0..clusters.len()).flat_map(|n| vec![n; times[clusters[n]] as usize]).collect()
        };
        let expected = frechet::of_features(&left.select(&repeated(&own)), &right.select(&repeated(&others)));
        let drawn = frechet::of_pairs(&Gram::of(&left, &right), Some(draw));
        match (drawn, expected) {
            (Ok(drawn), Ok(expected)) => close(drawn, expected, 1e-9),
            (drawn, expected) => assert!(drawn.is_err() && expected.is_err()),
        }
    }
}

#[test]
fn draws_of_people_scatter_around_the_kernel_distance() {
    // Three near copies of each of 15 people on both sides. Counted by plain repetition, pairs of copies would lift the
    // mean of the draws by the people's own variance over their number, several times the tolerance here.
    let faces = |seed: u64| {
        let people = normal(seed, [15, 10], 0.0, 1.0);
        let noise = normal(seed + 1, [45, 10], 0.0, 0.1);
        let values = (0..45)
            .flat_map(|n| people.row(n / 3).iter().zip(noise.row(n)).map(|(a, b)| a + b).collect::<Vec<_>>());
        Features::new(10, values.collect()).unwrap()
    };
    let gram = Gram::of(&faces(1), &faces(11));
    let clusters: Vec<usize> = (0..45).map(|n| n / 3).collect();
    let whole = kernel::of_pairs(&gram).unwrap().value;
    let draws: Vec<f64> = (0..400)
        .map(|n| {
            let (mut times, mut rng) = ([0; 15], Rng::stream(3, "bootstrap", n));
            (0..15).for_each(|_| times[rng.below(15)] += 1);
            kernel::of_draw(&gram, Draw { clusters: [&clusters; 2], times: &times }).unwrap()
        })
        .collect();
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let deviation = (draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64).sqrt();
    assert!((mean - whole).abs() < 0.3 * deviation, "{mean} +- {deviation}, of the whole {whole}");
}

#[test]
fn statistics_of_shards_merge_to_those_of_the_whole() {
    let all = normal(4, [70, 9], 3.0, 2.0);
    let shard = |range: std::ops::Range<usize>| {
        Statistics::of(&all.select(&range.collect::<Vec<_>>()), None).unwrap()
    };
    let merged = shard(0..10).merge(&shard(10..13)).unwrap().merge(&shard(13..70)).unwrap();
    let whole = Statistics::of(&all, None).unwrap();
    assert_eq!(merged.count, Some(70));
    merged.mean.iter().zip(&whole.mean).for_each(|(a, b)| close(*a, *b, 1e-14));
    let largest = whole.scatter.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    merged.scatter.iter().zip(&whole.scatter).for_each(|(a, b)| assert!((a - b).abs() < 1e-13 * largest));
    let unknown = Statistics { count: None, ..whole.clone() };
    assert!(unknown.merge(&whole).unwrap_err().to_string().contains("unknown number"));
    let other = Statistics { origin: Some("another".into()), ..whole.clone() };
    let own = Statistics { origin: Some("this".into()), ..whole };
    assert!(own.merge(&other).unwrap_err().to_string().contains("different networks or resizes"));
}

#[test]
fn statistics_are_saved_and_loaded_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let statistics = Statistics::of(&normal(4, [20, 9], 3.0, 2.0), Some("network".into())).unwrap();
    statistics.save(&path).unwrap();
    assert_eq!(Statistics::load(&path).unwrap(), statistics);
    let bytes = std::fs::read(&path).unwrap();
    statistics.save(&path).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes, "the same bytes each time");
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let error = Statistics::load(&path).unwrap_err();
    assert!(error.to_string().contains("no statistics"), "{error}");
}

#[test]
fn statistics_of_pytorch_fid_are_read() {
    let file = std::fs::read(golden("evaluation.safetensors")).unwrap();
    let own = Statistics::of(&vectors(&file, "real"), None).unwrap();
    let read = Statistics::load(&golden("statistics.npz")).unwrap();
    assert_eq!((read.count, read.origin.clone()), (None, None));
    read.mean.iter().zip(&own.mean).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
    read.scatter.iter().zip(&own.scatter).for_each(|(a, b)| assert!((a - b / 39.0).abs() < 1e-12));
    assert!(frechet::of_statistics(&read, &own).unwrap() < 1e-10);

    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(golden("statistics.npz")).unwrap();
    for length in [3, 100, bytes.len() - 30] {
        let path = folder.path().join("cut.npz");
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Statistics::load(&path).unwrap_err().to_string().contains("no statistics"));
    }
}

#[test]
fn the_same_bits_at_any_number_of_threads() {
    let (left, right) = (normal(1, [150, 70], 0.0, 1.0), normal(2, [90, 70], 0.2, 1.0));
    let at = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let gram = Gram::of(&left, &right);
            let statistics = [&left, &right].map(|set| Statistics::of(set, None).unwrap());
            let distances = [
                frechet::of_pairs(&gram, None).unwrap(),
                frechet::of_statistics(&statistics[0], &statistics[1]).unwrap(),
                kernel::of_pairs(&gram).unwrap().value,
                kernel::of_pairs(&gram).unwrap().error.unwrap(),
            ];
            (distances.map(f64::to_bits), statistics)
        })
    };
    assert!(at(1) == at(2) && at(1) == at(5));
}

/// `cargo test --release -p moue-evaluation --test metrics -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_distances_cost() {
    let time = |what: &str, run: &mut dyn FnMut()| {
        let once = |run: &mut dyn FnMut()| {
            let begun = std::time::Instant::now();
            run();
            begun.elapsed().as_secs_f64() * 1e3
        };
        eprintln!("{what}: {:.2} ms", (0..3).map(|_| once(run)).fold(f64::INFINITY, f64::min));
    };
    for count in [100, 200] {
        let (left, right) = (normal(1, [count, 2048], 0.4, 0.3), normal(2, [count, 2048], 0.5, 0.3));
        let gram = Gram::of(&left, &right);
        let clusters: Vec<usize> = (0..count).collect();
        let (mut times, mut rng) = (vec![0; count], Rng::stream(1, "bootstrap", 0));
        (0..count).for_each(|_| times[rng.below(count)] += 1);
        let draw = Draw { clusters: [&clusters; 2], times: &times };
        time(&format!("{count} against {count}: all from features"), &mut || {
            frechet::of_features(&left, &right).unwrap();
        });
        time("  gram", &mut || drop(Gram::of(&left, &right)));
        time("  frechet of a gram", &mut || drop(frechet::of_pairs(&gram, None)));
        time("  frechet of a draw", &mut || drop(frechet::of_pairs(&gram, Some(draw))));
        time("  kernel", &mut || _ = kernel::of_pairs(&gram));
        time("  kernel of a draw", &mut || _ = kernel::of_draw(&gram, draw));
        time("  neighbourhoods", &mut || drop(Neighbourhoods::of(&gram)));
    }
    let (left, right) = (normal(1, [2500, 2048], 0.4, 0.3), normal(2, [2500, 2048], 0.5, 0.3));
    let statistics = [&left, &right].map(|set| Statistics::of(set, None).unwrap());
    time("2,500 vectors: statistics", &mut || drop(Statistics::of(&left, None)));
    time("2,500 against 2,500: frechet of statistics", &mut || {
        drop(frechet::of_statistics(&statistics[0], &statistics[1]));
    });
    time("  kernel, streamed", &mut || _ = kernel::of_pairs(&Streamed::of(&left, &right)));
}
