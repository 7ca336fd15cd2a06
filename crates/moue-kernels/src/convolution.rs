//! Convolutions and transposed convolutions, square strides and paddings, without groups or dilation.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::Shape;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// How a kernel moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// From one position to the next.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
}

impl Step {
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1)
    }

    fn transposed_options(self) -> ConvTransposeOptions<2> {
        ConvTransposeOptions::new([self.stride; 2], [self.padding; 2], [0; 2], [1; 2], 1)
    }
}

/// `[batch, in, h, w]` by `[out, in, kh, kw]` to `[batch, out, h', w']` with `h' = (h + 2 padding - kh) / stride + 1`,
/// plus `bias` `[out]`. Gradients flow to all three.
///
/// # Panics
/// When the shapes do not match, or the kernel is larger than the padded image.
pub fn convolution(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let step = Step { stride, padding };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::biased_convolution(x, weight, bias.into_dispatch(), step),
        None => Dispatch::convolution(x, weight, step),
    })
}

/// `[batch, in, h, w]` by `[in, out, kh, kw]` to `[batch, out, h', w']` with `h' = (h - 1) stride - 2 padding + kh`.
/// Gradients flow to both.
///
/// # Panics
/// When the shapes do not match, or nothing remains within the padding.
pub fn transposed_convolution(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let step = Step { stride, padding };
    Tensor::from_dispatch(Dispatch::transposed_convolution(x.into_dispatch(), weight.into_dispatch(), step))
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    pub(crate) fn convolution<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv2d(x, weight, None, step.options())
    }

    pub(crate) fn biased_convolution<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv2d(x, weight, Some(bias), step.options())
    }

    pub(crate) fn convolution_x_gradient<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        output: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv2d_x_backward(x, weight, output, step.options())
    }

    pub(crate) fn convolution_weight_gradient<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        output: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv2d_weight_backward(x, weight, output, step.options())
    }

    pub(crate) fn channel_sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        let channels = x.shape()[1];
        let rows = B::float_swap_dims(x, 0, 1);
        let length = rows.shape().num_elements() / channels;
        let sums = B::float_sum_dim(B::float_reshape(rows, Shape::from([channels, length])), 1);
        B::float_reshape(sums, Shape::from([channels]))
    }

    pub(crate) fn transposed_convolution<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv_transpose2d(x, weight, None, step.transposed_options())
    }

    pub(crate) fn transposed_convolution_x_gradient<B: Backend>(
        weight: FloatTensor<B>,
        output: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv_transpose2d_x_backward(weight, output, step.transposed_options())
    }

    pub(crate) fn transposed_convolution_weight_gradient<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        output: FloatTensor<B>,
        step: Step,
    ) -> FloatTensor<B> {
        B::conv_transpose2d_weight_backward(x, weight, output, step.transposed_options())
    }
}

/// The inputs of a convolution, as the graph names them.
type State = (NodeId, NodeId, Step);

fn inputs<B: Backend>(
    state: State,
    checkpointer: &mut Checkpointer,
) -> (FloatTensor<B>, FloatTensor<B>, Step) {
    let (x, weight, step) = state;
    (checkpointer.retrieve_node_output(x), checkpointer.retrieve_node_output(weight), step)
}

#[derive(Debug)]
struct Convolution;

impl Convolution {
    fn register<B: Operations>(
        [x_node, weight_node]: [Option<NodeId>; 2],
        (x, weight, step): (FloatTensor<B>, FloatTensor<B>, Step),
        output: FloatTensor<B>,
        grads: &mut Gradients,
    ) {
        if let Some(node) = x_node {
            let gradient = B::convolution_x_gradient(x.clone(), weight.clone(), output.clone(), step);
            grads.register::<B>(node, gradient);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node, B::convolution_weight_gradient(x, weight, output, step));
        }
    }
}

impl<B: Operations> Backward<B, 2> for Convolution {
    type State = State;

    fn backward(self, ops: Ops<State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        Self::register::<B>(parents, inputs::<B>(ops.state, checkpointer), output, grads);
    }
}

/// With a bias as third parent.
impl<B: Operations> Backward<B, 3> for Convolution {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let [x, weight, bias] = ops.parents.map(|parent| parent.map(|node| node.id));
        if let Some(node) = bias {
            grads.register::<B>(node, B::channel_sums(output.clone()));
        }
        Self::register::<B>([x, weight], inputs::<B>(ops.state, checkpointer), output, grads);
    }
}

#[derive(Debug)]
struct TransposedConvolution;

impl<B: Operations> Backward<B, 2> for TransposedConvolution {
    type State = State;

    fn backward(self, ops: Ops<State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let (x, weight, step) = inputs::<B>(ops.state, checkpointer);
        let [x_node, weight_node] = ops.parents;
        if let Some(node) = x_node {
            let gradient = B::transposed_convolution_x_gradient(weight.clone(), output.clone(), step);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::transposed_convolution_weight_gradient(x, weight, output, step));
        }
    }
}

/// [`convolution`] without bias as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    step: Step,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [x.node(), weight.node()];
    let forward = |x, weight| B::convolution(x, weight, step);
    let kind = Backward::<B, 2>::prepare::<C>(Convolution, nodes).compute_bound().stateful();
    finish(kind, x, weight, step, forward)
}

/// [`convolution`] with bias as a node of the graph.
pub(crate) fn biased_tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    step: Step,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [x.node(), weight.node(), bias.node()];
    let forward = |x, weight| B::biased_convolution(x, weight, bias.into_primitive(), step);
    let kind = Backward::<B, 3>::prepare::<C>(Convolution, nodes).compute_bound().stateful();
    finish(kind, x, weight, step, forward)
}

/// [`transposed_convolution`] as a node of the graph.
pub(crate) fn transposed_tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    step: Step,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [x.node(), weight.node()];
    let forward = |x, weight| B::transposed_convolution(x, weight, step);
    finish(TransposedConvolution.prepare::<C>(nodes).compute_bound().stateful(), x, weight, step, forward)
}

/// Runs the forward and, where a parent is tracked, keeps what the backward needs.
fn finish<O, B, C, const N: usize>(
    kind: OpsKind<O, B, State, C, N>,
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    step: Step,
    forward: impl FnOnce(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    O: Backward<B, N, State = State>,
    B: Operations,
    C: CheckpointStrategy,
{
    match kind {
        OpsKind::Tracked(mut prepared) => {
            let state = (prepared.checkpoint(&x), prepared.checkpoint(&weight), step);
            prepared.finish(state, forward(x.into_primitive(), weight.into_primitive()))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(forward(x.into_primitive(), weight.into_primitive())),
    }
}
