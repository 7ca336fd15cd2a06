//! Against sums in f64, over shapes with every kind of edge, and on several numbers of threads.

use super::{Plan, Shapes};
use crate::lowering::{gather, gather_columns, scatter, scatter_columns, weights_columns};

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|n| ((n * 7919 + seed * 104_729) % 20_011) as f32 / 10_005.5 - 1.0).collect()
}

fn shapes([samples, inner, outer]: [usize; 3], image: [usize; 2], kernel: usize, padding: usize) -> Shapes {
    let stride = if kernel == 4 { 2 } else { 1 };
    let map = image.map(|side| (side + 2 * padding - kernel) / stride + 1);
    Shapes { samples, inner, outer, image, map, kernel: [kernel; 2], stride, padding: [padding; 2] }
}

/// Calls `each` with the places of a number of the map, of the image and of the weight for every product.
fn products(shapes: &Shapes, mut each: impl FnMut(usize, usize, usize)) {
    let &Shapes { samples, inner, outer, image, map, kernel, stride, padding } = shapes;
    let inside = |side: usize, at: usize, tap: usize| {
        (at * stride + tap).checked_sub(padding[side]).filter(|&pixel| pixel < image[side])
    };
    for sample in 0..samples {
        for (row, column) in (0..map[0]).flat_map(|row| (0..map[1]).map(move |column| (row, column))) {
            for (down, right) in (0..kernel[0]).flat_map(|a| (0..kernel[1]).map(move |b| (a, b))) {
                let (Some(y), Some(x)) = (inside(0, row, down), inside(1, column, right)) else { continue };
                for (k, c) in (0..outer).flat_map(|k| (0..inner).map(move |c| (k, c))) {
                    each(
                        ((sample * outer + k) * map[0] + row) * map[1] + column,
                        ((sample * inner + c) * image[0] + y) * image[1] + x,
                        ((k * inner + c) * kernel[0] + down) * kernel[1] + right,
                    );
                }
            }
        }
    }
}

/// The root of the mean squared error, relative to that of the numbers.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let squares: f64 = expected.iter().map(|x| x * x).sum();
    let errors: f64 = found.iter().zip(expected).map(|(x, y)| (f64::from(*x) - y).powi(2)).sum();
    (errors / squares).sqrt()
}

fn cases() -> Vec<Shapes> {
    vec![
        shapes([2, 5, 3], [9, 11], 3, 1),
        shapes([3, 17, 20], [16, 16], 3, 1),
        shapes([9, 3, 33], [6, 6], 3, 2),
        shapes([9, 20, 7], [9, 14], 3, 0),
        shapes([17, 2, 2], [4, 3], 3, 1),
        shapes([1, 64, 16], [16, 16], 3, 1),
        shapes([40, 5, 3], [18, 22], 4, 1),
        shapes([16, 17, 20], [17, 19], 4, 1),
        shapes([32, 3, 40], [16, 18], 4, 0),
        shapes([32, 3, 8], [15, 20], 4, 3),
        shapes([4, 33, 17], [32, 32], 4, 1),
        shapes([1, 6, 5], [60, 132], 4, 1),
        // Few tiles of many channels.
        shapes([1, 21, 75], [14, 16], 3, 1),
        shapes([3, 66, 65], [12, 11], 3, 1),
        shapes([1, 19, 70], [24, 26], 4, 1),
    ]
}

/// Measured: three taps up to 1.1e-6 where the columns have 3.5e-7, two taps up to 2e-6 where they have 4e-7.
const BOUND: f64 = 4e-6;

#[test]
fn convolutions_transposes_and_gradients_are_those_of_sums_in_f64() {
    for shapes in cases() {
        let plan = Plan::new(&shapes).expect("the cases are such convolutions");
        let image = numbers(shapes.samples * shapes.inner * shapes.pixels(), 1);
        let weight = numbers(shapes.outer * shapes.patch(), 2);
        let map = numbers(shapes.samples * shapes.outer * shapes.positions(), 3);
        let (mut y, mut x, mut w) = (vec![0.0; map.len()], vec![0.0; image.len()], vec![0.0; weight.len()]);
        products(&shapes, |i, j, k| {
            y[i] += f64::from(image[j]) * f64::from(weight[k]);
            x[j] += f64::from(map[i]) * f64::from(weight[k]);
            w[k] += f64::from(map[i]) * f64::from(image[j]);
        });
        let found = [plan.gather(&image, &weight), plan.scatter(&map, &weight), plan.weights(&map, &image)];
        let columns = [
            gather_columns(&shapes, &image, &weight),
            scatter_columns(&shapes, &map, &weight),
            weights_columns(&shapes, &map, &image),
        ];
        for (found, expected) in found.iter().chain(&columns).zip([&y, &x, &w].into_iter().cycle()) {
            let error = error(found, expected);
            assert!(error < BOUND, "{error} of {shapes:?}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let many = [shapes([8, 24, 24], [64, 64], 3, 1), shapes([8, 24, 32], [64, 64], 4, 1)];
    let few = [shapes([1, 80, 96], [16, 16], 3, 1), shapes([1, 24, 80], [32, 32], 4, 1)];
    for shapes in many.into_iter().chain(few) {
        let image = numbers(shapes.samples * shapes.inner * shapes.pixels(), 1);
        let weight = numbers(shapes.outer * shapes.patch(), 2);
        let map = numbers(shapes.samples * shapes.outer * shapes.positions(), 3);
        let all = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            let plan = Plan::new(&shapes).expect("it is one");
            pool.install(|| {
                [plan.gather(&image, &weight), plan.scatter(&map, &weight), plan.weights(&map, &image)]
                    .map(|numbers| numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            })
        };
        let one = all(1);
        assert!(all(2) == one && all(3) == one, "{shapes:?}");
    }
}

#[test]
fn a_sample_s_result_does_not_depend_on_its_batch() {
    for image in [[64, 64], [33, 40], [12, 12], [5, 5]] {
        for (kernel, outer) in [(3, 20), (3, 70), (4, 20), (4, 70)] {
            let three = shapes([3, 6, outer], image, kernel, 1);
            let one = Shapes { samples: 1, ..three };
            let (x, weight) = (numbers(3 * 6 * three.pixels(), 1), numbers(outer * three.patch(), 2));
            let map = numbers(3 * outer * three.positions(), 3);
            let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let apart = x.chunks_exact(6 * one.pixels()).flat_map(|x| gather(&one, x, &weight));
            assert!(bits(gather(&three, &x, &weight)) == bits(apart.collect()), "{three:?}");
            let apart = map.chunks_exact(outer * one.positions()).flat_map(|map| scatter(&one, map, &weight));
            assert!(
                bits(scatter(&three, &map, &weight)) == bits(apart.collect()),
                "the transpose of {three:?}"
            );
        }
    }
}
