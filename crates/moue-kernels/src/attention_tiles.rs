//! A tile of attention: some queries, side by side in vectors, against all keys, a run of them at a time.

use std::ops::Range;

use crate::matrix::Scratch;
use crate::panels::{ColumnBlocks, RowBlocks, Vector, ZERO, add, multiply, multiply_rows, scale};
use crate::vectors::{LANES, Machine, Work, exponential};

/// Vectors of queries in a tile, which share what is read of keys and values,
const VECTORS: usize = 4;
/// and queries.
pub(crate) const TILE: usize = VECTORS * LANES;

/// Keys in a run: what a tile holds of them stays in the first two caches.
const FORWARD_RUN: usize = 128;
const BACKWARD_RUN: usize = 64;

/// The sizes of one sample's attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Numbers of a query and of a key.
    pub(crate) width: usize,
    /// Numbers of a value.
    pub(crate) channels: usize,
    pub(crate) positions: usize,
}

impl Sizes {
    pub(crate) fn tiles(&self) -> usize {
        self.positions.div_ceil(TILE)
    }

    /// The blocks of sixteen queries of a tile.
    fn blocks(&self, tile: usize) -> Range<usize> {
        tile * VECTORS..((tile + 1) * VECTORS).min(self.positions.div_ceil(LANES))
    }

    /// The first and the number of keys of each run.
    fn runs(&self, longest: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let positions = self.positions;
        (0..positions).step_by(longest).map(move |first| (first, longest.min(positions - first)))
    }
}

/// The scores of a run of keys for sixteen queries.
#[inline(always)]
fn scores<M: Machine>(keys: &ColumnBlocks, first: usize, queries: &[Vector], scores: &mut [Vector]) {
    for (block, scores) in (first / LANES..).zip(scores.chunks_mut(LANES)) {
        multiply::<M>(keys.block(block), queries, scores, false);
    }
}

/// `out[row] += sum_key rows[key][row] weights[key]` over some keys, for each sixteen queries of a tile: their weights
/// lie `run` vectors apart, what they get as many as there are `channels`.
#[inline(always)]
fn gather<M: Machine>(
    rows: &RowBlocks,
    keys: Range<usize>,
    (weights, run): (&[Vector], usize),
    (out, channels): (&mut [Vector], usize),
) {
    for first in (0..channels).step_by(LANES) {
        // One block, which stays in the first cache, for all of them.
        let (left, block) = (&rows.block(first / LANES)[keys.clone()], first..channels.min(first + LANES));
        for (weights, out) in weights.chunks_exact(run).zip(out.chunks_exact_mut(channels)) {
            multiply::<M>(left, &weights[..keys.len()], &mut out[block.clone()], true);
        }
    }
}

/// The attended values `[channels]` of each sixteen queries of a tile, and their statistics: largest score and 1 / sum.
pub(crate) struct ForwardTile<'a> {
    pub(crate) sizes: Sizes,
    pub(crate) tile: usize,
    pub(crate) queries: &'a ColumnBlocks,
    pub(crate) keys: &'a ColumnBlocks,
    pub(crate) values: &'a RowBlocks,
}

impl Work for ForwardTile<'_> {
    type Output = (Vec<Vector>, Vec<Vector>);

    #[inline(always)]
    fn run<M: Machine>(self) -> Self::Output {
        let Self { sizes, tile, queries, keys, values } = self;
        let (blocks, channels) = (sizes.blocks(tile), sizes.channels);
        let mut buffer = Scratch::new(TILE * FORWARD_RUN);
        let weights: &mut [Vector] = buffer.as_chunks_mut().0;
        let mut attended = vec![ZERO; blocks.len() * channels];
        let mut largest = [[f32::NEG_INFINITY; LANES]; VECTORS];
        let mut sums = [ZERO; VECTORS];
        for (first, count) in sizes.runs(FORWARD_RUN) {
            for (n, block) in blocks.clone().enumerate() {
                let weights = &mut weights[n * FORWARD_RUN..][..count];
                scores::<M>(keys, first, queries.block(block), weights);
                let attended = &mut attended[n * channels..][..channels];
                exponentials::<M>(weights, &mut largest[n], &mut sums[n], attended);
            }
            let keys = first..first + count;
            gather::<M>(values, keys, (weights, FORWARD_RUN), (&mut attended, channels));
        }
        let mut statistics = Vec::with_capacity(2 * blocks.len());
        for (n, attended) in attended.chunks_exact_mut(channels).enumerate() {
            let inverse = sums[n].map(|sum| 1.0 / sum);
            attended.iter_mut().for_each(|vector| scale::<M>(&inverse, vector));
            statistics.extend([largest[n], inverse]);
        }
        (attended, statistics)
    }
}

/// Turns the scores of further keys into the exponentials of what they are less than the largest so far, and scales
/// what was added up with a smaller one.
#[inline(always)]
fn exponentials<M: Machine>(
    scores: &mut [Vector],
    largest: &mut Vector,
    sum: &mut Vector,
    attended: &mut [Vector],
) {
    let before = *largest;
    for score in scores.iter() {
        for lane in 0..LANES {
            // No number is not less than any: it stays.
            largest[lane] = if score[lane] <= largest[lane] { largest[lane] } else { score[lane] };
        }
    }
    let mut factors = ZERO;
    for lane in 0..LANES {
        factors[lane] = exponential::<M>(before[lane] - largest[lane]);
    }
    // Mostly none is larger than those before.
    if factors.iter().any(|factor| *factor != 1.0) {
        scale::<M>(&factors, sum);
        attended.iter_mut().for_each(|vector| scale::<M>(&factors, vector));
    }
    for score in scores {
        for lane in 0..LANES {
            score[lane] = exponential::<M>(score[lane] - largest[lane]);
        }
        for lane in 0..LANES {
            sum[lane] += score[lane];
        }
    }
}

/// What the backward pass of one sample is given.
pub(crate) struct Gradients {
    pub(crate) sizes: Sizes,
    pub(crate) queries: ColumnBlocks,
    pub(crate) query_columns: RowBlocks,
    pub(crate) keys: ColumnBlocks,
    pub(crate) key_columns: RowBlocks,
    pub(crate) values: ColumnBlocks,
    pub(crate) attended: ColumnBlocks,
    /// The largest score and 1 / sum.
    pub(crate) statistics: ColumnBlocks,
    /// The gradient by the attended values.
    pub(crate) outputs: ColumnBlocks,
    pub(crate) output_columns: RowBlocks,
}

/// The gradients `[width]` of each sixteen queries of a tile. Those of keys and values, sixteen rows of all positions
/// side by side, are added to.
pub(crate) struct BackwardTile<'a> {
    pub(crate) given: &'a Gradients,
    pub(crate) tile: usize,
    pub(crate) keys: &'a mut [Vector],
    pub(crate) values: &'a mut [Vector],
}

impl Work for BackwardTile<'_> {
    type Output = Vec<Vector>;

    #[inline(always)]
    fn run<M: Machine>(self) -> Vec<Vector> {
        let Self { given, tile, keys, values } = self;
        let Sizes { width, positions, .. } = given.sizes;
        let blocks = given.sizes.blocks(tile);
        let [mut map, mut scores] = [0, 1].map(|_| Scratch::new(TILE * BACKWARD_RUN));
        let (map, scores): (&mut [Vector], &mut [Vector]) = (map.as_chunks_mut().0, scores.as_chunks_mut().0);
        let mut by_query = vec![ZERO; blocks.len() * width];
        // -o . o' of each query.
        let mut products = [ZERO; VECTORS];
        for (block, products) in blocks.clone().zip(&mut products) {
            for (attended, output) in given.attended.block(block).iter().zip(given.outputs.block(block)) {
                for lane in 0..LANES {
                    products[lane] -= attended[lane] * output[lane];
                }
            }
        }
        for (first, count) in given.sizes.runs(BACKWARD_RUN) {
            for (n, block) in blocks.clone().enumerate() {
                let map = &mut map[n * BACKWARD_RUN..][..count];
                let scores = &mut scores[n * BACKWARD_RUN..][..count];
                given.map::<M>(block, first, map);
                // Through the softmax: score' = map (map' - o . o').
                self::scores::<M>(&given.values, first, given.outputs.block(block), scores);
                for (score, map) in scores.iter_mut().zip(map.iter()) {
                    add::<M>(&products[n], score);
                    scale::<M>(map, score);
                }
            }
            let run = first..first + count;
            gather::<M>(&given.key_columns, run.clone(), (scores, BACKWARD_RUN), (&mut by_query, width));
            spread::<M>(&blocks, map, &given.output_columns, positions, run.clone(), values);
            spread::<M>(&blocks, scores, &given.query_columns, positions, run, keys);
        }
        by_query
    }
}

impl Gradients {
    /// Sixteen rows of the map at a run of keys.
    #[inline(always)]
    fn map<M: Machine>(&self, block: usize, first: usize, map: &mut [Vector]) {
        scores::<M>(&self.keys, first, self.queries.block(block), map);
        let [largest, inverse] = self.statistics.block(block) else { panic!("there are two statistics") };
        for weight in map {
            for lane in 0..LANES {
                weight[lane] = exponential::<M>(weight[lane] - largest[lane]) * inverse[lane];
            }
        }
    }
}

/// `out[key] += sum_query weights[key][query] columns[query]` for a run of keys, sixteen rows a block of `columns`.
#[inline(always)]
fn spread<M: Machine>(
    queries: &Range<usize>,
    weights: &[Vector],
    columns: &RowBlocks,
    positions: usize,
    run: Range<usize>,
    out: &mut [Vector],
) {
    let mut left: [&[Vector]; VECTORS] = [&[]; VECTORS];
    for (left, weights) in left.iter_mut().zip(weights.chunks_exact(BACKWARD_RUN)) {
        *left = &weights[..run.len()];
    }
    for (block, out) in out.chunks_exact_mut(positions).enumerate() {
        let mut right: [&[Vector]; VECTORS] = [&[]; VECTORS];
        for (right, queries) in right.iter_mut().zip(queries.clone()) {
            *right = &columns.block(block)[queries * LANES..][..LANES];
        }
        multiply_rows::<M>(&left[..queries.len()], &right[..queries.len()], &mut out[run.clone()]);
    }
}
