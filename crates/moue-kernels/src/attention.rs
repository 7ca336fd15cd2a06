//! Attention over positions: `o_j = sum_i softmax_i(key_i . query_j) value_i`.
//!
//! Composed of burn's operations it works in tiles. A tile is a run of query positions against all keys, so each row's
//! softmax is complete and no running maximum is needed. The forward holds two maps of a tile, the backward four; a
//! map is at most [`TILE_BYTES`], whatever the image and the batch, unless a single row of the whole batch is larger.
//! The backward computes the map again from query and key instead of keeping it. The CPU's kernel is in
//! `attention_flex`.

use std::ops::Range;

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::{Shape, Slice};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// The most that one tile of the map takes, in bytes: 32 MiB.
pub const TILE_BYTES: usize = 32 << 20;

/// Attention of every position over all positions.
///
/// `query` and `key` are `[batch, width, positions]`, `value` and the result `[batch, channels, positions]`;
/// the scores are not scaled. Gradients flow to all three.
pub fn attention(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>) -> Tensor<3> {
    let output =
        Dispatch::position_attention(query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(output)
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    /// How a backend works in tiles.
    pub(crate) struct Tiling<B: Backend> {
        /// The most that a tile of the map takes.
        pub(crate) bytes: usize,
        /// The product of `[batch, m, k]` and `[batch, k, n]`.
        pub(crate) product: fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
    }

    impl<B: Backend> Default for Tiling<B> {
        fn default() -> Self {
            Self { bytes: TILE_BYTES, product: B::float_matmul }
        }
    }

    /// The attended values and the statistics of the rows.
    pub(crate) fn forward<B: Backend>(
        query: FloatTensor<B>,
        key: FloatTensor<B>,
        value: FloatTensor<B>,
        Tiling { bytes, product }: Tiling<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (mut outputs, mut statistics) = (Vec::new(), Vec::new());
        for tile in tiles(&key.shape(), bytes) {
            // [batch, tile, positions]
            let scores = product(transpose::<B>(columns::<B>(&query, &tile)), key.clone());
            let largest = B::float_max_dim(scores.clone(), 2);
            let map = B::float_exp(B::float_sub(scores, largest.clone()));
            let inverse = B::float_recip(B::float_sum_dim(map.clone(), 2));
            let map = B::float_mul(map, inverse.clone());
            outputs.push(product(value.clone(), transpose::<B>(map)));
            statistics.push(transpose::<B>(B::float_cat(vec![largest, inverse], 2)));
        }
        (B::float_cat(outputs, 2), B::float_cat(statistics, 2))
    }

    /// Gradients of query, key and value.
    pub(crate) fn backward<B: Backend>(
        [query, key, value]: [FloatTensor<B>; 3],
        attended: FloatTensor<B>,
        statistics: FloatTensor<B>,
        output: FloatTensor<B>,
        Tiling { bytes, product }: Tiling<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let mut query_gradients = Vec::new();
        let mut sums: Option<(FloatTensor<B>, FloatTensor<B>)> = None;
        let products = B::float_sum_dim(B::float_mul(attended, output.clone()), 1); // [batch, 1, positions]
        for tile in tiles(&key.shape(), bytes) {
            let query = columns::<B>(&query, &tile); // [batch, width, tile]
            let output = columns::<B>(&output, &tile); // [batch, channels, tile]
            let row = |tensor| transpose::<B>(columns::<B>(tensor, &tile));
            let statistics = row(&statistics); // [batch, tile, 2]
            let statistic =
                |n: usize| B::float_slice(statistics.clone(), &slices([None, None, Some(n..n + 1)]));
            let scores = product(transpose::<B>(query.clone()), key.clone());
            let map = B::float_exp(B::float_sub(scores, statistic(0)));
            let map = B::float_mul(map, statistic(1)); // [batch, tile, positions]
            let value_gradient = product(output.clone(), map.clone());
            // Through the softmax: score' = map (map' - sum_i map map'), and that sum is o . o'.
            let change = B::float_sub(product(transpose::<B>(output), value.clone()), row(&products));
            let scores = B::float_mul(change, map);
            query_gradients.push(product(key.clone(), transpose::<B>(scores.clone())));
            let key_gradient = product(query, scores);
            sums = Some(match sums {
                None => (key_gradient, value_gradient),
                Some((key, value)) => (B::float_add(key, key_gradient), B::float_add(value, value_gradient)),
            });
        }
        let (key, value) = sums.expect("an image has at least one position");
        (B::float_cat(query_gradients, 2), key, value)
    }

    fn transpose<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
        B::float_swap_dims(tensor, 1, 2)
    }

    fn columns<B: Backend>(tensor: &FloatTensor<B>, range: &Range<usize>) -> FloatTensor<B> {
        B::float_slice(tensor.clone(), &slices([None, None, Some(range.clone())]))
    }

    fn slices(ranges: [Option<Range<usize>>; 3]) -> [Slice; 3] {
        ranges.map(|range| range.map_or(Slice::full(), Slice::from))
    }

    /// The runs of query positions whose map takes at most `tile_bytes`.
    pub(super) fn tiles(key: &Shape, tile_bytes: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (batch, positions) = (key[0], key[2]);
        let row = batch * positions * size_of::<f32>();
        let tile = (tile_bytes / row.max(1)).clamp(1, positions.max(1));
        (0..positions).step_by(tile).map(move |start| start..(start + tile).min(positions))
    }
}

/// [`attention`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    query: FloatTensor<Autodiff<B, C>>,
    key: FloatTensor<Autodiff<B, C>>,
    value: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    #[derive(Debug)]
    struct Attention;

    impl<B: Operations> Backward<B, 3> for Attention {
        type State = ([NodeId; 3], [FloatTensor<B>; 2]);

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let output = grads.consume::<B>(&ops.node);
            let (inputs, [attended, statistics]) = ops.state;
            let [query, key, value] =
                inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
            let (query, key, value) =
                B::position_attention_backward(query, key, value, attended, statistics, output);
            for (parent, gradient) in ops.parents.into_iter().zip([query, key, value]) {
                if let Some(node) = parent {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    let nodes = [query.node(), key.node(), value.node()];
    match Backward::<B, 3>::prepare::<C>(Attention, nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let inputs = [&query, &key, &value].map(|tensor| prepared.checkpoint(tensor));
            let [query, key, value] = [query, key, value].map(|tensor| tensor.into_primitive());
            let (attended, statistics) = B::position_attention_forward(query, key, value);
            prepared.finish((inputs, [attended.clone(), statistics]), attended)
        }
        OpsKind::UnTracked(prepared) => {
            let [query, key, value] = [query, key, value].map(|tensor| tensor.into_primitive());
            prepared.finish(B::position_attention(query, key, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::portable::tiles;
    use super::*;

    #[test]
    fn tiles_cover_every_position_once_and_stay_small() {
        for (batch, positions) in [(1, 1), (16, 4096), (3, 1000), (1, 65536)] {
            let tiles: Vec<_> = tiles(&Shape::from([batch, 8, positions]), TILE_BYTES).collect();
            assert_eq!(
                tiles.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..positions).collect::<Vec<_>>()
            );
            assert!(
                tiles
                    .iter()
                    .all(|tile| tile.len() * batch * positions * 4 <= TILE_BYTES.max(batch * positions * 4))
            );
        }
    }
}
