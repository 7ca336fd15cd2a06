//! Attention against its composition of burn's operations with the whole map, and against itself on other numbers of
//! threads and in other batches.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Distribution, Int, Tensor};
use moue_kernels::attention;

fn composed(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>) -> Tensor<3> {
    let map = softmax(query.swap_dims(1, 2).matmul(key), 2);
    value.matmul(map.swap_dims(1, 2))
}

type Attention = fn(Tensor<3>, Tensor<3>, Tensor<3>) -> Tensor<3>;

/// The output and the gradients of query, key and value.
fn run(attention: Attention, inputs: &[Tensor<3>; 3]) -> [Tensor<3>; 4] {
    let [query, key, value] = inputs.clone().map(|tensor| tensor.require_grad());
    let y = attention(query.clone(), key.clone(), value.clone());
    // Gradients that differ from place to place.
    let count = y.shape().num_elements() / y.dims()[0];
    let places = Tensor::<1, Int>::arange(0..count as i64, &y.device()).float();
    let [_, channels, positions] = y.dims();
    let factors = (places * 0.7).sin().reshape([1, channels, positions]);
    let gradients = (y.clone() * factors).sum().backward();
    let [query, key, value] =
        [query, key, value].map(|tensor| tensor.grad(&gradients).expect("all are tracked"));
    [y.without_autodiff(), query, key, value]
}

fn inputs([batch, width, channels, positions]: [usize; 4]) -> [Tensor<3>; 3] {
    let device = Device::flex().autodiff();
    let random = |rows: usize, deviation: f64| {
        // Not contiguous.
        let turned =
            Tensor::<3>::random([batch, positions, rows], Distribution::Normal(0.1, deviation), &device);
        turned.swap_dims(1, 2)
    };
    [random(width, 0.8), random(width, 0.8), random(channels, 1.0)]
}

/// Batch, width, channels, positions: one of everything, fewer and more than a vector, a tile and a run, and what is
/// left of each.
const SHAPES: [[usize; 4]; 8] = [
    [1, 1, 1, 1],
    [2, 1, 8, 16],
    [3, 4, 5, 7],
    [1, 16, 128, 256],
    [2, 3, 33, 100],
    [1, 17, 20, 65],
    [2, 2, 40, 129],
    [1, 32, 16, 1000],
];

#[test]
fn outputs_and_gradients_equal_the_composition() {
    for shape in SHAPES {
        let inputs = inputs(shape);
        let pairs = run(attention, &inputs).into_iter().zip(run(composed, &inputs));
        for ((ours, theirs), name) in pairs.zip(["output", "query", "key", "value"]) {
            let length = |tensor: Tensor<3>| tensor.square().sum().sqrt().into_scalar::<f32>();
            let (error, scale) = (length(ours - theirs.clone()), length(theirs));
            // With one position nothing depends on query and key.
            assert!(error <= 5e-6 * scale.max(1e-2), "{name} of {shape:?}: {error} of {scale}");
        }
    }
}

/// Output and the gradients of query, key and value in f64, of one image; `rows` of query, key and value.
fn exact(
    query: &[Vec<f64>],
    key: &[Vec<f64>],
    value: &[Vec<f64>],
    output: &[Vec<f64>],
) -> [Vec<Vec<f64>>; 4] {
    let positions = query[0].len();
    let zeros = |like: &[Vec<f64>]| vec![vec![0.0; positions]; like.len()];
    let [mut y, mut by_query, mut by_key, mut by_value] = [value, query, key, value].map(zeros);
    let dot = |a: &[Vec<f64>], i: usize, b: &[Vec<f64>], j: usize| {
        a.iter().zip(b).map(|(a, b)| a[i] * b[j]).sum::<f64>()
    };
    for j in 0..positions {
        let scores: Vec<f64> = (0..positions).map(|i| dot(key, i, query, j).exp()).collect();
        let sum: f64 = scores.iter().sum();
        let map: Vec<f64> = scores.iter().map(|score| score / sum).collect();
        for (y, value) in y.iter_mut().zip(value) {
            y[j] = value.iter().zip(&map).map(|(value, weight)| value * weight).sum();
        }
        let mean = dot(&y, j, output, j);
        for i in 0..positions {
            let score = (dot(value, i, output, j) - mean) * map[i];
            for (gradient, row) in by_value.iter_mut().zip(output) {
                gradient[i] += map[i] * row[j];
            }
            for w in 0..query.len() {
                by_query[w][j] += score * key[w][i];
                by_key[w][i] += score * query[w][j];
            }
        }
    }
    [y, by_query, by_key, by_value]
}

#[test]
fn little_is_rounded_away() {
    let inputs = inputs([1, 8, 40, 333]);
    let rows = |tensor: &Tensor<3>| -> Vec<Vec<f64>> {
        let [_, count, positions] = tensor.dims();
        let values: Vec<f64> = tensor.to_data().iter::<f64>().collect();
        assert_eq!(values.len(), count * positions);
        values.chunks(positions).map(<[f64]>::to_vec).collect()
    };
    let output = (0..40 * 333).map(|n| (n as f32 * 0.7).sin()).map(f64::from).collect::<Vec<_>>();
    let output: Vec<Vec<f64>> = output.chunks(333).map(<[f64]>::to_vec).collect();
    let [query, key, value] = inputs.each_ref().map(rows);
    let expected = exact(&query, &key, &value, &output);
    // Measured: 2e-7 for the output, 4e-7 for the value's gradient, 1e-6 for those of query and key.
    for (n, (found, expected)) in run(attention, &inputs).iter().map(rows).zip(expected).enumerate() {
        let (found, expected) = (found.concat(), expected.concat());
        let squares: f64 = expected.iter().map(|x| x * x).sum();
        let errors: f64 = found.iter().zip(&expected).map(|(x, y)| (x - y).powi(2)).sum();
        let error = (errors / squares).sqrt();
        eprintln!("{n}: {error:.1e}");
        assert!(error < 3e-6, "{n}: {error}");
    }
}

fn bits(tensor: Tensor<3>) -> Vec<u32> {
    tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let inputs = inputs([2, 5, 19, 1100]);
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        pool.install(|| run(attention, &inputs).map(bits))
    };
    let single = bits(1);
    assert!([2, 3].into_iter().all(|threads| bits(threads) == single));
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let inputs = inputs([5, 4, 24, 150]);
    let all = run(attention, &inputs);
    let alone = run(attention, &inputs.map(|tensor| tensor.slice_dim(0, 3..4)));
    for (all, alone) in all.into_iter().zip(alone) {
        assert_eq!(bits(all.slice_dim(0, 3..4)), bits(alone));
    }
}

/// Scores far apart, whose exponentials are beyond f32 if nothing is subtracted.
#[test]
fn large_scores_leave_the_largest_alone() {
    let device = Device::flex();
    let key = Tensor::<3>::from_data([[[0.0, 500.0, -500.0, 499.0]]], &device);
    let value = Tensor::<3>::from_data([[[1.0, 2.0, 3.0, 4.0]]], &device);
    let query = Tensor::<3>::from_data([[[1.0, -1.0, 0.0, 0.5]]], &device);
    let found = attention(query, key, value).into_data().iter::<f32>().collect::<Vec<_>>();
    let share = 1.0 / (1.0 + (-1.0_f32).exp());
    let half = 1.0 / (1.0 + (-0.5_f32).exp());
    let expected = [2.0 * share + 4.0 * (1.0 - share), 3.0, 2.5, 2.0 * half + 4.0 * (1.0 - half)];
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
    }
}
