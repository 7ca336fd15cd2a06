//! One image over another, behind a mask.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// `(1 - mask) below + mask above`: `below` and `above` are `[batch, channels, h, w]`, `mask` `[batch, 1, h, w]`.
/// Gradients flow to all three.
///
/// # Panics
/// When the shapes do not match.
pub fn blend(below: Tensor<4>, mask: Tensor<4>, above: Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = below.dims();
    assert_eq!(
        [above.dims(), mask.dims()],
        [below.dims(), [batch, 1, height, width]],
        "they lie on each other"
    );
    let (below, mask, above) = (below.into_dispatch(), mask.into_dispatch(), above.into_dispatch());
    Tensor::from_dispatch(Dispatch::blend(below, mask, above))
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    pub(crate) fn forward<B: Backend>(
        below: FloatTensor<B>,
        mask: FloatTensor<B>,
        above: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::float_add(below.clone(), B::float_mul(mask, B::float_sub(above, below)))
    }

    /// The gradients of what is below, the mask, and what is above.
    pub(crate) fn backward<B: Backend>(
        below: FloatTensor<B>,
        mask: FloatTensor<B>,
        above: FloatTensor<B>,
        output: FloatTensor<B>,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let by_above = B::float_mul(mask, output.clone());
        let by_below = B::float_sub(output.clone(), by_above.clone());
        let by_mask = B::float_sum_dim(B::float_mul(output, B::float_sub(above, below)), 1);
        (by_below, by_mask, by_above)
    }
}

/// The operations on burn's CPU backend.
pub(crate) mod fast {
    use std::mem::MaybeUninit;

    use burn::backend::TensorMetadata;
    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use crate::flex::{tensor, values};
    use crate::matrix::{TASK, written, written_together};
    use crate::vectors::{Machine, Work, vectorised};

    pub(crate) fn forward(below: FlexTensor, mask: FlexTensor, above: FlexTensor) -> FlexTensor {
        let shape = below.shape();
        let [_, channels, height, width] = shape.dims();
        let [below, mask, above] = [below, mask, above].map(|tensor| tensor.to_contiguous());
        let (below, mask, above, pixels) = (values(&below), values(&mask), values(&above), height * width);
        let fill = |y: &mut [MaybeUninit<f32>]| {
            let planes = y.par_chunks_exact_mut(pixels).enumerate().with_min_len((TASK / pixels).max(1));
            planes.for_each(|(index, y)| {
                let [plane, image] = [index, index / channels].map(|n| n * pixels..(n + 1) * pixels);
                let (below, above) = (&below[plane.clone()], &above[plane]);
                vectorised(Forward { below, mask: &mask[image], above, y });
            });
        };
        // SAFETY: the planes cover the whole output, and each is written whole.
        tensor(unsafe { written(below.len(), fill) }, shape)
    }

    struct Forward<'a> {
        below: &'a [f32],
        mask: &'a [f32],
        above: &'a [f32],
        y: &'a mut [MaybeUninit<f32>],
    }

    impl Work for Forward<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let images = self.below.iter().zip(self.above);
            for (y, (mask, (below, above))) in self.y.iter_mut().zip(self.mask.iter().zip(images)) {
                y.write(below + mask * (above - below));
            }
        }
    }

    pub(crate) fn backward(
        below: FlexTensor,
        mask: FlexTensor,
        above: FlexTensor,
        output: FlexTensor,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (shape, mask_shape) = (below.shape(), mask.shape());
        let [_, channels, height, width] = shape.dims();
        let tensors = [below, mask, above, output].map(|tensor| tensor.to_contiguous());
        let [below, mask, above, output] = tensors.each_ref().map(values);
        let (length, pixels) = (channels * height * width, height * width);
        let mut by_mask = vec![0.0; mask.len()];
        let fill = |[by_below, by_above]: [&mut [MaybeUninit<f32>]; 2]| {
            let gradients = by_below.par_chunks_exact_mut(length).zip(by_above.par_chunks_exact_mut(length));
            let gradients = gradients.zip(by_mask.par_chunks_exact_mut(pixels)).enumerate();
            gradients.for_each(|(image, ((by_below, by_above), by_mask))| {
                let mask = &mask[image * pixels..][..pixels];
                for channel in 0..channels {
                    let start = image * length + channel * pixels;
                    let plane = start..start + pixels;
                    vectorised(BackwardPlane {
                        below: &below[plane.clone()],
                        mask,
                        above: &above[plane.clone()],
                        output: &output[plane],
                        by_below: &mut by_below[channel * pixels..][..pixels],
                        by_mask: &mut *by_mask,
                        by_above: &mut by_above[channel * pixels..][..pixels],
                    });
                }
            });
        };
        // SAFETY: the planes cover both gradients, and each is written whole.
        let [by_below, by_above] = unsafe { written_together([below.len(), above.len()], fill) };
        (tensor(by_below, shape.clone()), tensor(by_mask, mask_shape), tensor(by_above, shape))
    }

    struct BackwardPlane<'a> {
        below: &'a [f32],
        mask: &'a [f32],
        above: &'a [f32],
        output: &'a [f32],
        by_below: &'a mut [MaybeUninit<f32>],
        /// Summed over the channels.
        by_mask: &'a mut [f32],
        by_above: &'a mut [MaybeUninit<f32>],
    }

    impl Work for BackwardPlane<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let inputs = self.below.iter().zip(self.above).zip(self.mask.iter().zip(self.output));
            let gradients = self.by_below.iter_mut().zip(self.by_above).zip(self.by_mask);
            for (((by_below, by_above), by_mask), ((below, above), (mask, output))) in gradients.zip(inputs) {
                let through = mask * output;
                by_above.write(through);
                by_below.write(output - through);
                *by_mask += output * (above - below);
            }
        }
    }
}

#[derive(Debug)]
struct Blend;

impl<B: Operations> Backward<B, 3> for Blend {
    type State = [NodeId; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let inputs = ops.state.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let [below, mask, above] = inputs;
        let (below, mask, above) = B::blend_backward(below, mask, above, output);
        for (parent, gradient) in ops.parents.into_iter().zip([below, mask, above]) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// [`blend`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    below: FloatTensor<Autodiff<B, C>>,
    mask: FloatTensor<Autodiff<B, C>>,
    above: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [below.node(), mask.node(), above.node()];
    match Backward::<B, 3>::prepare::<C>(Blend, nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let inputs = [&below, &mask, &above].map(|tensor| prepared.checkpoint(tensor));
            let [below, mask, above] = [below, mask, above].map(|tensor| tensor.into_primitive());
            prepared.finish(inputs, B::blend(below, mask, above))
        }
        OpsKind::UnTracked(prepared) => {
            let [below, mask, above] = [below, mask, above].map(|tensor| tensor.into_primitive());
            prepared.finish(B::blend(below, mask, above))
        }
    }
}
