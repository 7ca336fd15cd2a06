//! Attention over positions in tiles: `o_j = sum_i softmax_i(key_i . query_j) value_i`.
//!
//! A tile is a run of query positions against all keys, so each row's softmax is complete and no running
//! maximum is needed. The forward holds two maps of a tile, the backward four; a map is at most
//! [`TILE_BYTES`], whatever the image and the batch, unless a single row of the whole batch is larger.
//! The backward computes the map again from query and key instead of keeping it.

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

pub(crate) fn forward<B: Backend>(
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
) -> FloatTensor<B> {
    let outputs = tiles(&key.shape())
        .map(|tile| {
            let map = map::<B>(columns::<B>(&query, &tile), key.clone()); // [batch, tile, positions]
            B::float_matmul(value.clone(), transpose::<B>(map))
        })
        .collect();
    B::float_cat(outputs, 2)
}

/// Gradients of query, key and value.
fn backward<B: Backend>(
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    output: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let mut query_gradients = Vec::new();
    let mut sums: Option<(FloatTensor<B>, FloatTensor<B>)> = None;
    for tile in tiles(&key.shape()) {
        let query = columns::<B>(&query, &tile); // [batch, width, tile]
        let output = columns::<B>(&output, &tile); // [batch, channels, tile]
        let map = map::<B>(query.clone(), key.clone()); // [batch, tile, positions]
        let value_gradient = B::float_matmul(output.clone(), map.clone());
        // Through the softmax: score' = map (map' - sum_i map map').
        let weighted = B::float_mul(B::float_matmul(transpose::<B>(output), value.clone()), map.clone());
        let sum = B::float_sum_dim(weighted.clone(), 2);
        let scores = B::float_sub(weighted, B::float_mul(map, sum));
        query_gradients.push(B::float_matmul(key.clone(), transpose::<B>(scores.clone())));
        let key_gradient = B::float_matmul(query, scores);
        sums = Some(match sums {
            None => (key_gradient, value_gradient),
            Some((key, value)) => (B::float_add(key, key_gradient), B::float_add(value, value_gradient)),
        });
    }
    let (key, value) = sums.expect("an image has at least one position");
    [B::float_cat(query_gradients, 2), key, value]
}

/// The attention of a tile's queries over all positions, `[batch, tile, positions]`; every row sums to 1.
fn map<B: Backend>(query: FloatTensor<B>, key: FloatTensor<B>) -> FloatTensor<B> {
    B::softmax(B::float_matmul(transpose::<B>(query), key), 2)
}

fn transpose<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    B::float_swap_dims(tensor, 1, 2)
}

fn columns<B: Backend>(tensor: &FloatTensor<B>, range: &std::ops::Range<usize>) -> FloatTensor<B> {
    B::float_slice(tensor.clone(), &[Slice::full(), Slice::full(), Slice::from(range.clone())])
}

/// The runs of query positions whose map stays below [`TILE_BYTES`].
fn tiles(key: &Shape) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let (batch, positions) = (key[0], key[2]);
    let row = batch * positions * size_of::<f32>();
    let tile = (TILE_BYTES / row.max(1)).clamp(1, positions.max(1));
    (0..positions).step_by(tile).map(move |start| start..(start + tile).min(positions))
}

/// [`attention`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    query: FloatTensor<Autodiff<B, C>>,
    key: FloatTensor<Autodiff<B, C>>,
    value: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    #[derive(Debug)]
    struct Attention;

    impl<B: Backend> Backward<B, 3> for Attention {
        type State = [NodeId; 3];

        fn backward(self, ops: Ops<[NodeId; 3], 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let output = grads.consume::<B>(&ops.node);
            let [query, key, value] =
                ops.state.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
            let gradients = backward::<B>(query, key, value, output);
            for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
                if let Some(node) = parent {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    let nodes = [query.node(), key.node(), value.node()];
    match Attention.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let state = [&query, &key, &value].map(|tensor| prepared.checkpoint(tensor));
            let [query, key, value] = [query, key, value].map(|tensor| tensor.into_primitive());
            prepared.finish(state, B::position_attention(query, key, value))
        }
        OpsKind::UnTracked(prepared) => {
            let [query, key, value] = [query, key, value].map(|tensor| tensor.into_primitive());
            prepared.finish(B::position_attention(query, key, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_position_once_and_stay_small() {
        for (batch, positions) in [(1, 1), (16, 4096), (3, 1000), (1, 65536)] {
            let tiles: Vec<_> = tiles(&Shape::from([batch, 8, positions])).collect();
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
