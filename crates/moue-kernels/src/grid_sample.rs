//! Looking up an image at shifted places, as PyTorch's `grid_sample` (bilinear, border, `align_corners=False`).

use burn::Tensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::{IndexingUpdateOp, IntDType, Shape, Slice};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// What `x` `[batch, channels, h, w]` shows at each pixel's own place plus `flow` `[batch, 2, h, w]`: x and y offsets
/// in coordinates that run from -1 to 1 between the outer edges of the image. Bilinear; what lies outside shows the
/// nearest border pixel, and passes no gradient to the flow. Gradients flow to both.
///
/// # Panics
/// When the shapes do not match.
pub fn grid_sample(x: Tensor<4>, flow: Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = x.dims();
    assert_eq!(flow.dims(), [batch, 2, height, width], "an offset for each pixel");
    Tensor::from_dispatch(Dispatch::grid_sample(x.into_dispatch(), flow.into_dispatch()))
}

/// The operation composed of burn's.
pub(crate) mod portable {
    use super::*;

    /// How one axis is sampled at each pixel, `[batch, channels, h * w]` (fraction and slope: one channel).
    struct Axis<B: Backend> {
        low: FloatTensor<B>,
        high: FloatTensor<B>,
        fraction: FloatTensor<B>,
        /// d position / d flow: half the size, or 0 where the border holds the position.
        slope: FloatTensor<B>,
    }

    /// Axis 0 is x, axis 1 is y, as in the flow's channels.
    fn axis<B: Backend>(flow: &FloatTensor<B>, axis: usize) -> Axis<B> {
        let [batch, _, height, width] = flow.shape().dims();
        let (size, device) = ([width, height][axis], flow.device());
        let places: Vec<f32> =
            (0..height * width).map(|n| if axis == 0 { n % width } else { n / width } as f32).collect();
        let places = burn::tensor::TensorData::new(places, [1, 1, height * width]);
        let slices = [Slice::from(0..batch), Slice::from(axis..axis + 1)];
        let flow = B::float_slice(flow.clone(), &slices);
        let flow = B::float_reshape(flow, Shape::from([batch, 1, height * width]));
        let half = size as f32 / 2.0;
        let wanted =
            B::float_add(B::float_mul_scalar(flow, half.into()), B::float_from_data(places, &device));
        let last = (size - 1) as f32;
        let position = B::float_clamp(wanted.clone(), 0.0f32.into(), last.into());
        let moved = B::float_abs(B::float_sub(wanted, position.clone()));
        // sign(0) is 0: nothing was moved into the image.
        let free = B::float_add_scalar(B::float_neg(B::float_sign(moved)), 1.0f32.into());
        let low = B::float_floor(position.clone());
        let high = B::float_clamp_max(B::float_add_scalar(low.clone(), 1.0f32.into()), last.into());
        let fraction = B::float_sub(position, low.clone());
        Axis { low, high, fraction, slope: B::float_mul_scalar(free, half.into()) }
    }

    /// The four corners' places in a plane `[batch, channels, h * w]`, and both axes.
    fn corners<B: Backend>(flow: &FloatTensor<B>, channels: usize) -> ([IntTensor<B>; 4], Axis<B>, Axis<B>) {
        let [batch, _, height, width] = flow.shape().dims();
        let (x, y) = (axis::<B>(flow, 0), axis::<B>(flow, 1));
        let of = |row: &FloatTensor<B>, column: &FloatTensor<B>| {
            let first = B::float_mul_scalar(row.clone(), (width as f32).into());
            let places = B::float_into_int(B::float_add(first, column.clone()), IntDType::I32);
            B::int_expand(places, Shape::from([batch, channels, height * width]))
        };
        let corners = [of(&y.low, &x.low), of(&y.low, &x.high), of(&y.high, &x.low), of(&y.high, &x.high)];
        (corners, x, y)
    }

    fn planes<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        let [batch, channels, height, width] = x.shape().dims();
        B::float_reshape(x, Shape::from([batch, channels, height * width]))
    }

    /// a + (b - a) t.
    fn between<B: Backend>(a: FloatTensor<B>, b: FloatTensor<B>, t: &FloatTensor<B>) -> FloatTensor<B> {
        B::float_add(a.clone(), B::float_mul(B::float_sub(b, a), t.clone()))
    }

    pub(crate) fn forward<B: Backend>(x: FloatTensor<B>, flow: FloatTensor<B>) -> FloatTensor<B> {
        let shape = x.shape();
        let (corners, along, down) = corners::<B>(&flow, shape.dims::<4>()[1]);
        let x = planes::<B>(x);
        let [a, b, c, d] = corners.map(|places| B::float_gather(2, x.clone(), places));
        let top = between::<B>(a, b, &along.fraction);
        let bottom = between::<B>(c, d, &along.fraction);
        B::float_reshape(between::<B>(top, bottom, &down.fraction), shape)
    }

    pub(crate) fn x_gradient<B: Backend>(flow: FloatTensor<B>, output: FloatTensor<B>) -> FloatTensor<B> {
        let shape = output.shape();
        let (corners, along, down) = corners::<B>(&flow, shape.dims::<4>()[1]);
        let output = planes::<B>(output);
        let rest = |t: &FloatTensor<B>| B::float_add_scalar(B::float_neg(t.clone()), 1.0f32.into());
        let [left, right] = [rest(&along.fraction), along.fraction];
        let [upper, lower] = [rest(&down.fraction), down.fraction];
        let weights = [(&upper, &left), (&upper, &right), (&lower, &left), (&lower, &right)];
        let zero = B::float_mul_scalar(output.clone(), 0.0f32.into());
        let gradient = corners.into_iter().zip(weights).fold(zero, |sum, (places, (v, u))| {
            let part = B::float_mul(output.clone(), B::float_mul(v.clone(), u.clone()));
            B::float_scatter(2, sum, places, part, IndexingUpdateOp::Add)
        });
        B::float_reshape(gradient, shape)
    }

    pub(crate) fn flow_gradient<B: Backend>(
        x: FloatTensor<B>,
        flow: FloatTensor<B>,
        output: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let [batch, channels, height, width] = x.shape().dims();
        let (corners, along, down) = corners::<B>(&flow, channels);
        let (x, output) = (planes::<B>(x), planes::<B>(output));
        let [a, b, c, d] = corners.map(|places| B::float_gather(2, x.clone(), places));
        let by_x = between::<B>(
            B::float_sub(b.clone(), a.clone()),
            B::float_sub(d.clone(), c.clone()),
            &down.fraction,
        );
        let by_y = between::<B>(B::float_sub(c, a), B::float_sub(d, b), &along.fraction);
        let parts = [(by_x, along.slope), (by_y, down.slope)].map(|(slope, scale)| {
            let sum = B::float_sum_dim(B::float_mul(slope, output.clone()), 1);
            B::float_mul(sum, scale)
        });
        B::float_reshape(B::float_cat(parts.to_vec(), 1), Shape::from([batch, 2, height, width]))
    }
}

#[derive(Debug)]
struct Sample;

impl<B: Operations> Backward<B, 2> for Sample {
    type State = [NodeId; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let [x, flow] = ops.state.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let [x_parent, flow_parent] = ops.parents;
        if let Some(node) = x_parent {
            grads.register::<B>(node.id, B::grid_sample_x_gradient(flow.clone(), output.clone()));
        }
        if let Some(node) = flow_parent {
            grads.register::<B>(node.id, B::grid_sample_flow_gradient(x, flow, output));
        }
    }
}

/// [`grid_sample`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    flow: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, 2>::prepare::<C>(Sample, [x.node(), flow.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let inputs = [prepared.checkpoint(&x), prepared.checkpoint(&flow)];
            let y = B::grid_sample(x.into_primitive(), flow.into_primitive());
            prepared.finish(inputs, y)
        }
        OpsKind::UnTracked(prepared) => {
            prepared.finish(B::grid_sample(x.into_primitive(), flow.into_primitive()))
        }
    }
}
