//! The first convolution of a network that is told a label: of an image and of constant planes beside it.
//!
//! What a constant plane adds to an output is the plane's number times the sum of those taps of the kernel that lie within
//! the image. So it is the same everywhere but within half a kernel of the border, and the planes need not be there: on
//! the CPU nothing but these sums is left of them (`labelled_flex`). Elsewhere they are made, and convolved like the image.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, TensorMetadata};
use burn::tensor::{Shape, Slice};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::{Operations, Step};

/// [`crate::convolution`] at stride 1, without bias, of `x` `[batch, in, h, w]` and as many constant planes as `labels`
/// `[batch, labels]` has numbers, by `weight` `[out, in + labels, kh, kw]`. Gradients flow to `x` and `weight`.
///
/// # Panics
/// When the shapes do not match, or the kernel is larger than the padded image.
pub fn labelled_convolution(x: Tensor<4>, labels: Tensor<2>, weight: Tensor<4>, padding: usize) -> Tensor<4> {
    let ([batch, inputs, ..], [rows, count]) = (x.dims(), labels.dims());
    assert_eq!(batch, rows, "a label for each image");
    assert_eq!(inputs + count, weight.dims()[1], "the kernel takes the image and the label");
    let [x, weight] = [x, weight].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::labelled_convolution(x, labels.into_dispatch(), weight, padding))
}

/// The operations with planes.
pub(crate) mod portable {
    use super::*;

    /// The image with the planes.
    pub(crate) fn with_planes<B: Operations>(x: FloatTensor<B>, labels: FloatTensor<B>) -> FloatTensor<B> {
        let ([batch, _, height, width], [_, count]) = (x.shape().dims(), labels.shape().dims());
        let planes = B::float_reshape(labels, Shape::from([batch, count, 1, 1]));
        let planes = B::float_expand(planes, Shape::from([batch, count, height, width]));
        B::float_cat(vec![x, planes], 1)
    }

    pub(crate) fn forward<B: Operations>(
        x: FloatTensor<B>,
        labels: FloatTensor<B>,
        weight: FloatTensor<B>,
        padding: usize,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let whole = with_planes::<B>(x, labels);
        (B::convolution(whole.clone(), weight, Step { stride: 1, padding }), whole)
    }

    pub(crate) fn x_gradient<B: Operations>(
        whole: FloatTensor<B>,
        labels: FloatTensor<B>,
        weight: FloatTensor<B>,
        output: FloatTensor<B>,
        padding: usize,
    ) -> FloatTensor<B> {
        let inputs = whole.shape()[1] - labels.shape()[1];
        let gradient = B::convolution_x_gradient(whole, weight, output, Step { stride: 1, padding });
        B::float_slice(gradient, &[Slice::full(), Slice::from(0..inputs)])
    }

    pub(crate) fn weight_gradient<B: Operations>(
        whole: FloatTensor<B>,
        weight: FloatTensor<B>,
        output: FloatTensor<B>,
        padding: usize,
    ) -> FloatTensor<B> {
        B::convolution_weight_gradient(whole, weight, output, Step { stride: 1, padding })
    }
}

/// [`labelled_convolution`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    labels: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    padding: usize,
) -> FloatTensor<Autodiff<B, C>> {
    #[derive(Debug)]
    struct Labelled;

    impl<B: Operations> Backward<B, 2> for Labelled {
        /// The input as the backend wants it, the labels, the weight and the padding.
        type State = (FloatTensor<B>, FloatTensor<B>, NodeId, usize);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
            let output = grads.consume::<B>(&ops.node);
            let (input, labels, weight, padding) = ops.state;
            let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
            let [x_node, weight_node] = ops.parents;
            if let Some(node) = x_node {
                let [input, labels, weight] = [&input, &labels, &weight].map(Clone::clone);
                let gradient =
                    B::labelled_convolution_x_gradient(input, labels, weight, output.clone(), padding);
                grads.register::<B>(node.id, gradient);
            }
            if let Some(node) = weight_node {
                let gradient =
                    B::labelled_convolution_weight_gradient(input, labels, weight, output, padding);
                grads.register::<B>(node.id, gradient);
            }
        }
    }

    let nodes = [x.node(), weight.node()];
    let labels = labels.into_primitive();
    match Labelled.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let node = prepared.checkpoint(&weight);
            let [x, weight] = [x, weight].map(|tensor| tensor.into_primitive());
            let (y, input) = B::labelled_convolution_forward(x, labels.clone(), weight, padding);
            prepared.finish((input, labels, node, padding), y)
        }
        OpsKind::UnTracked(prepared) => {
            let [x, weight] = [x, weight].map(|tensor| tensor.into_primitive());
            prepared.finish(B::labelled_convolution(x, labels, weight, padding))
        }
    }
}
