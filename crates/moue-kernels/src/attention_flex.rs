//! Attention on burn's CPU backend: a sample's map is never whole, not even a row of it.
//!
//! The forward goes through the keys once with a running maximum (Milakov and Gimelshein 2018; Dao et al. 2022), the
//! backward makes each part of the map again. A sample's work is parted by its shape alone, and parts are added in order:
//! results do not depend on the number of threads, nor on the batch.

use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::attention_tiles::{BackwardTile, ForwardTile, Gradients, Sizes, TILE};
use crate::flex::{tensor, values};
use crate::matrix::{Scratch, Shared};
use crate::panels::{ColumnBlocks, RowBlocks, Vector, ZERO};
use crate::vectors::{LANES, vectorised};

/// Parts of a sample in the backward pass, each of which has gradients of all keys and values.
const PARTS: usize = 8;

fn sizes(query: &FlexTensor, value: &FlexTensor) -> (usize, Sizes) {
    let ([batch, width, positions], [_, channels, _]) = (query.shape().dims(), value.shape().dims());
    (batch, Sizes { width, channels, positions })
}

/// The rows of one sample.
fn of(tensor: &FlexTensor, sample: usize, [rows, positions]: [usize; 2]) -> &[f32] {
    &values(tensor)[sample * rows * positions..][..rows * positions]
}

/// The attended values, and of each row the largest score and 1 / the sum of the exponentials of the scores less
/// that, `[batch, 2, positions]`.
pub(crate) fn forward(query: FlexTensor, key: FlexTensor, value: FlexTensor) -> (FlexTensor, FlexTensor) {
    let shape = value.shape();
    let (batch, sizes) = sizes(&query, &value);
    let Sizes { channels, positions, .. } = sizes;
    let (narrow, wide) = ([sizes.width, positions], [channels, positions]);
    let [query, key, value] = [query, key, value].map(|tensor| tensor.to_contiguous());
    let mut attended = vec![0.0; batch * channels * positions];
    let mut statistics = vec![0.0; batch * 2 * positions];
    let (all_attended, all_statistics) = (Shared::new(&mut attended), Shared::new(&mut statistics));
    for sample in 0..batch {
        let queries = ColumnBlocks::new(of(&query, sample, narrow), narrow);
        let keys = ColumnBlocks::new(of(&key, sample, narrow), narrow);
        let values = RowBlocks::new(of(&value, sample, wide), wide);
        (0..sizes.tiles()).into_par_iter().for_each(|tile| {
            let tile = ForwardTile { sizes, tile, queries: &queries, keys: &keys, values: &values };
            let (first, (attended, statistics)) = (tile.tile * TILE, vectorised(tile));
            // SAFETY: a tile has its own columns of the sample's rows.
            unsafe {
                write(&all_attended, sample * channels, [channels, positions], first, &attended);
                write(&all_statistics, sample * 2, [2, positions], first, &statistics);
            }
        });
    }
    (tensor(attended, shape), tensor(statistics, Shape::from([batch, 2, positions])))
}

/// Writes columns from `first` on of `rows` rows; `numbers` has sixteen columns of all rows, then the next sixteen.
///
/// # Safety
/// Nobody else uses those columns of the rows meanwhile.
unsafe fn write(
    all: &Shared<'_>,
    first_row: usize,
    [rows, positions]: [usize; 2],
    first: usize,
    numbers: &[Vector],
) {
    for (column, block) in (first..).step_by(LANES).zip(numbers.chunks_exact(rows)) {
        for (row, vector) in (first_row..).zip(block) {
            let count = LANES.min(positions - column);
            // SAFETY: the caller has them alone.
            let columns = unsafe { all.slice(row * positions + column, count) };
            columns.copy_from_slice(&vector[..count]);
        }
    }
}

/// The gradients of query, key and value.
pub(crate) fn backward(
    [query, key, value]: [FlexTensor; 3],
    attended: FlexTensor,
    statistics: FlexTensor,
    output: FlexTensor,
) -> (FlexTensor, FlexTensor, FlexTensor) {
    let shapes = [query.shape(), key.shape(), value.shape()];
    let (batch, sizes) = sizes(&query, &value);
    let Sizes { width, channels, positions } = sizes;
    let (narrow, wide) = ([width, positions], [channels, positions]);
    let [query, key, value] = [query, key, value].map(|tensor| tensor.to_contiguous());
    let [attended, statistics, output] = [attended, statistics, output].map(|tensor| tensor.to_contiguous());
    let mut by_query = vec![0.0; batch * width * positions];
    let mut by_key = vec![0.0; batch * width * positions];
    let mut by_value = vec![0.0; batch * channels * positions];
    let all_by_query = Shared::new(&mut by_query);
    let parts = sizes.tiles().min(PARTS);
    let length = (width.div_ceil(LANES) + channels.div_ceil(LANES)) * positions;
    let mut sums = Scratch::new(parts * length * LANES);
    for sample in 0..batch {
        let gradients = Gradients {
            sizes,
            queries: ColumnBlocks::new(of(&query, sample, narrow), narrow),
            query_columns: RowBlocks::new(of(&query, sample, narrow), narrow),
            keys: ColumnBlocks::new(of(&key, sample, narrow), narrow),
            key_columns: RowBlocks::new(of(&key, sample, narrow), narrow),
            values: ColumnBlocks::new(of(&value, sample, wide), wide),
            attended: ColumnBlocks::new(of(&attended, sample, wide), wide),
            statistics: ColumnBlocks::new(of(&statistics, sample, [2, positions]), [2, positions]),
            outputs: ColumnBlocks::new(of(&output, sample, wide), wide),
            output_columns: RowBlocks::new(of(&output, sample, wide), wide),
        };
        sums.as_chunks_mut().0.par_chunks_exact_mut(length).enumerate().for_each(|(part, sums)| {
            sums.fill(ZERO);
            let (keys, values) = sums.split_at_mut(width.div_ceil(LANES) * positions);
            for tile in part * sizes.tiles() / parts..(part + 1) * sizes.tiles() / parts {
                let by_query = vectorised(BackwardTile { given: &gradients, tile, keys, values });
                // SAFETY: a tile has its own columns of the sample's rows.
                unsafe { write(&all_by_query, sample * width, narrow, tile * TILE, &by_query) };
            }
        });
        let of_part = |n: usize| &sums.as_chunks().0[n * length..][..length];
        let parts = (0..parts).map(of_part).map(|part| part.split_at(width.div_ceil(LANES) * positions));
        let (keys, values): (Vec<_>, Vec<_>) = parts.unzip();
        add(&keys, positions, &mut by_key[sample * width * positions..][..width * positions]);
        add(&values, positions, &mut by_value[sample * channels * positions..][..channels * positions]);
    }
    let [query, key, value] = shapes;
    (tensor(by_query, query), tensor(by_key, key), tensor(by_value, value))
}

/// The sum of the parts, each of which has sixteen rows of all positions side by side, then the next sixteen.
fn add(parts: &[&[Vector]], positions: usize, sum: &mut [f32]) {
    sum.par_chunks_mut(LANES * positions).enumerate().for_each(|(block, rows)| {
        for position in 0..positions {
            let mut column = ZERO;
            for part in parts {
                let part = &part[block * positions + position];
                column.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
            rows[position..].iter_mut().step_by(positions).zip(column).for_each(|(slot, sum)| *slot = sum);
        }
    });
}
