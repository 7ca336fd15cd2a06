//! What follows a convolution of a discriminator: a common factor, a bias for each channel, and a leaky ReLU.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::Shape;
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// `x scale + bias`, and of what is negative only `slope` of it. `x` is `[batch, channels, h, w]`, `scale` `[1]`, `bias`
/// `[channels]`, `slope` at least 0. Gradients flow to all three.
///
/// # Panics
/// When the shapes do not match.
pub fn scaled_leaky_relu(x: Tensor<4>, scale: Tensor<1>, bias: Tensor<1>, slope: f32) -> Tensor<4> {
    assert_eq!([scale.dims(), bias.dims()], [[1], [x.dims()[1]]], "one scale, and a bias for each channel");
    assert!(slope >= 0.0, "the output has the sign of the input");
    let (x, scale, bias) = (x.into_dispatch(), scale.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::scaled_leaky_relu(x, scale, bias, slope))
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    fn broadcast<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
        let length = vector.shape().num_elements();
        B::float_reshape(vector, Shape::from([1, length, 1, 1]))
    }

    pub(crate) fn forward<B: Backend>(
        x: FloatTensor<B>,
        scale: FloatTensor<B>,
        bias: FloatTensor<B>,
        slope: f32,
    ) -> FloatTensor<B> {
        let y = B::float_add(B::float_mul(x, broadcast::<B>(scale)), broadcast::<B>(bias));
        B::leaky_relu(y, slope.into())
    }

    /// The gradients of input, scale and bias; `y` is what the forward gave.
    pub(crate) fn backward<B: Operations>(
        x: FloatTensor<B>,
        scale: FloatTensor<B>,
        y: FloatTensor<B>,
        output: FloatTensor<B>,
        slope: f32,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let positive = B::relu_backward(B::relu(y), output.clone());
        let rest = B::float_mul_scalar(output, slope.into());
        let through = B::float_add(B::float_mul_scalar(positive, (1.0 - slope).into()), rest);
        let bias = B::channel_sums(through.clone());
        let by_scale = B::float_sum(B::float_mul(through.clone(), x));
        let by_x = B::float_mul(through, broadcast::<B>(scale));
        (by_x, B::float_reshape(by_scale, Shape::from([1])), bias)
    }
}

/// The operations on burn's CPU backend, a plane at a time. Every sum has a fixed order.
pub(crate) mod fast {
    use std::mem::MaybeUninit;

    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::*;
    use crate::flex::{tensor, values};
    use crate::lanes::sums_of_pairs;
    use crate::matrix::{TASK, written};
    use crate::vectors::{Machine, Work, vectorised};

    pub(crate) fn forward(x: FlexTensor, scale: FlexTensor, bias: FlexTensor, slope: f32) -> FlexTensor {
        let shape = x.shape();
        let [_, channels, height, width] = shape.dims();
        let [x, scale, bias] = [x, scale, bias].map(|tensor| tensor.to_contiguous());
        let (x, scale, bias) = (values(&x), values(&scale)[0], values(&bias));
        let pixels = height * width;
        let fill = |y: &mut [MaybeUninit<f32>]| {
            let planes = y.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).enumerate();
            planes.with_min_len((TASK / pixels).max(1)).for_each(|(index, (y, x))| {
                vectorised(Forward { x, y, scale, bias: bias[index % channels], slope });
            });
        };
        // SAFETY: the planes cover the whole output, and each is written whole.
        tensor(unsafe { written(x.len(), fill) }, shape)
    }

    struct Forward<'a> {
        x: &'a [f32],
        y: &'a mut [MaybeUninit<f32>],
        scale: f32,
        bias: f32,
        slope: f32,
    }

    impl Work for Forward<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let Self { x, y, scale, bias, slope } = self;
            for (y, x) in y.iter_mut().zip(x) {
                let before = x * scale + bias;
                y.write(if before > 0.0 { before } else { before * slope });
            }
        }
    }

    pub(crate) fn backward(
        x: FlexTensor,
        scale: FlexTensor,
        y: FlexTensor,
        output: FlexTensor,
        slope: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = x.shape();
        let [batch, channels, height, width] = shape.dims();
        let [x, scale, y, output] = [x, scale, y, output].map(|tensor| tensor.to_contiguous());
        let (x, scale, y, output) = (values(&x), values(&scale)[0], values(&y), values(&output));
        let pixels = height * width;
        let mut sums = vec![[0.0_f32; 2]; batch * channels];
        let fill = |gradient: &mut [MaybeUninit<f32>]| {
            let inputs = x.par_chunks_exact(pixels).zip(y.par_chunks_exact(pixels));
            let planes = gradient.par_chunks_exact_mut(pixels).zip(output.par_chunks_exact(pixels));
            let work = planes.zip(inputs).zip(&mut sums).with_min_len((TASK / pixels).max(1));
            work.for_each(|(((gradient, output), (x, y)), sums)| {
                *sums = vectorised(BackwardPlane { x, y, output, gradient, scale, slope });
            });
        };
        // SAFETY: the planes cover the whole gradient, and each is written whole.
        let gradient = unsafe { written(x.len(), fill) };
        let by_scale = sums.iter().map(|sums| f64::from(sums[1])).sum::<f64>() as f32;
        let of = |channel: usize| sums[channel..].iter().step_by(channels).map(|sums| f64::from(sums[0]));
        let by_bias = (0..channels).map(|channel| of(channel).sum::<f64>() as f32).collect();
        let vector = |numbers: Vec<f32>| {
            let length = numbers.len();
            tensor(numbers, Shape::from([length]))
        };
        (tensor(gradient, shape), vector(vec![by_scale]), vector(by_bias))
    }

    struct BackwardPlane<'a> {
        x: &'a [f32],
        y: &'a [f32],
        output: &'a [f32],
        gradient: &'a mut [MaybeUninit<f32>],
        scale: f32,
        slope: f32,
    }

    impl Work for BackwardPlane<'_> {
        /// The sum of what passes the ReLU, and of its products with `x`.
        type Output = [f32; 2];

        #[inline(always)]
        fn run<M: Machine>(self) -> [f32; 2] {
            let Self { x, y, output, gradient, scale, slope } = self;
            // First what passes, so that the sums have two factors to read.
            for ((slot, y), output) in gradient.iter_mut().zip(y).zip(output) {
                slot.write(if *y > 0.0 { *output } else { *output * slope });
            }
            // SAFETY: a plane of y and one of its gradient are as long as the slice, so all of it was written.
            let through = unsafe { gradient.assume_init_mut() };
            let sums = sums_of_pairs(through, x, |g, x| [g, g * x]);
            through.iter_mut().for_each(|g| *g *= scale);
            sums
        }
    }
}

#[derive(Debug)]
struct LeakyRelu;

impl<B: Operations> Backward<B, 3> for LeakyRelu {
    type State = ([NodeId; 2], FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let (inputs, y, slope) = ops.state;
        let [x, scale] = inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let (x, scale, bias) = B::scaled_leaky_relu_backward(x, scale, y, output, slope);
        for (parent, gradient) in ops.parents.into_iter().zip([x, scale, bias]) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// [`scaled_leaky_relu`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    scale: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    slope: f32,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [x.node(), scale.node(), bias.node()];
    match Backward::<B, 3>::prepare::<C>(LeakyRelu, nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let inputs = [&x, &scale].map(|tensor| prepared.checkpoint(tensor));
            let [x, scale, bias] = [x, scale, bias].map(|tensor| tensor.into_primitive());
            let y = B::scaled_leaky_relu(x, scale, bias, slope);
            prepared.finish((inputs, y.clone(), slope), y)
        }
        OpsKind::UnTracked(prepared) => {
            let [x, scale, bias] = [x, scale, bias].map(|tensor| tensor.into_primitive());
            prepared.finish(B::scaled_leaky_relu(x, scale, bias, slope))
        }
    }
}
