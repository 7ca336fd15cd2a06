//! Sums in a fixed order that compilers turn into vector instructions.

use crate::vectors::{Machine, Work, multiply_add, vectorised};

/// Accumulators that a sum is spread over.
const LANES: usize = 16;

/// The sum of `f(x)` over `values`: sixteen running sums of every sixteenth value, then those in a tree.
#[inline(always)]
pub(crate) fn sum_of(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f(*value);
    }
    tree(lanes)
}

/// The sums of `f(a, b)`, two numbers at a time, over pairs of equally long slices.
#[inline(always)]
pub(crate) fn sums_of_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> [f32; 2]) -> [f32; 2] {
    let mut lanes = [[0.0; LANES]; 2];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let [first, second] = &mut lanes;
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            let [x, y] = f(a[lane], b[lane]);
            first[lane] += x;
            second[lane] += y;
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        let [x, y] = f(*a, *b);
        first[lane] += x;
        second[lane] += y;
    }
    lanes.map(tree)
}

/// The sum of the products of two equally long slices.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    vectorised(Dot { a, b })
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl Work for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<M: Machine>(self) -> f32 {
        /// As many as hide how long an addition takes.
        const MANY: usize = 4 * LANES;
        let Self { a, b } = self;
        let mut lanes = [0.0; MANY];
        let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<MANY>(), b.as_chunks::<MANY>());
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane = multiply_add::<M>(*a, *b, *lane);
            }
        }
        for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
            *lane = multiply_add::<M>(*a, *b, *lane);
        }
        tree(lanes)
    }
}

#[inline(always)]
fn tree<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut width = N / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_count_every_value_once() {
        for length in [0, 1, 15, 16, 17, 64, 100, 200] {
            let values: Vec<f32> = (1..=length).map(|n| n as f32).collect();
            let expected = (length * (length + 1) / 2) as f32;
            assert_eq!(sum_of(&values, |x| x), expected);
            assert_eq!(dot(&values, &vec![2.0; length]), 2.0 * expected);
            assert_eq!(sums_of_pairs(&values, &values, |a, b| [a, 2.0 * b]), [expected, 2.0 * expected]);
        }
    }
}
