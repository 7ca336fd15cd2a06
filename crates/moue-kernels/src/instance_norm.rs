//! Instance norm and the ReLU after it.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::Shape;
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// Added to the variance.
pub(crate) const EPSILON: f32 = 1e-5;

/// Each channel of each image of `x` `[batch, channels, h, w]` to mean 0 and (biased) variance 1, times `weight`
/// `[channels]`, plus `bias` `[channels]`, and then, on `relu`, the positive part. Gradients flow to all three.
///
/// # Panics
/// When the shapes do not match.
pub fn instance_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, relu: bool) -> Tensor<4> {
    let channels = x.dims()[1];
    assert_eq!([weight.dims(), bias.dims()], [[channels]; 2], "a scale and a shift for each channel");
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::instance_norm(x, weight, bias, relu))
}

/// What the backward needs of a forward: mean and 1 / deviation, `[batch, channels]`.
type Statistics<B> = [FloatTensor<B>; 2];

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    /// `[batch, channels, h, w]` as `[batch, channels, h * w]`.
    fn planes<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        let [batch, channels, height, width] = x.shape().dims();
        B::float_reshape(x, Shape::from([batch, channels, height * width]))
    }

    fn reshape<B: Backend>(x: FloatTensor<B>, shape: [usize; 3]) -> FloatTensor<B> {
        B::float_reshape(x, Shape::from(shape))
    }

    /// The output, the mean and 1 / deviation.
    pub(crate) fn forward<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
        relu: bool,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let shape = x.shape();
        let [batch, channels, ..] = shape.dims::<4>();
        let x = planes::<B>(x);
        let mean = B::float_mean_dim(x.clone(), 2);
        let centred = B::float_sub(x, mean.clone());
        let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 2);
        let inverse = B::float_recip(B::float_sqrt(B::float_add_scalar(variance, EPSILON.into())));
        let scale = B::float_mul(reshape::<B>(weight, [1, channels, 1]), inverse.clone());
        let y = B::float_add(B::float_mul(centred, scale), reshape::<B>(bias, [1, channels, 1]));
        let y = if relu { B::relu(y) } else { y };
        let [mean, inverse] =
            [mean, inverse].map(|tensor| B::float_reshape(tensor, Shape::from([batch, channels])));
        (B::float_reshape(y, shape), mean, inverse)
    }

    /// The gradients of input, scale and shift.
    pub(crate) fn backward<B: Backend>(
        x: FloatTensor<B>,
        [weight, bias]: [FloatTensor<B>; 2],
        [mean, inverse]: Statistics<B>,
        output: FloatTensor<B>,
        relu: bool,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let shape = x.shape();
        let [batch, channels, height, width] = shape.dims();
        let [mean, inverse] = [mean, inverse].map(|tensor| reshape::<B>(tensor, [batch, channels, 1]));
        let [weight, bias] = [weight, bias].map(|tensor| reshape::<B>(tensor, [1, channels, 1]));
        let normal = B::float_mul(B::float_sub(planes::<B>(x), mean), inverse.clone());
        let mut output = planes::<B>(output);
        if relu {
            let y = B::float_add(B::float_mul(normal.clone(), weight.clone()), bias);
            output = B::relu_backward(B::relu(y), output);
        }
        let sum = B::float_sum_dim(output.clone(), 2);
        let product = B::float_sum_dim(B::float_mul(output.clone(), normal.clone()), 2);
        let common = B::float_add(sum.clone(), B::float_mul(normal, product.clone()));
        let common = B::float_mul_scalar(common, (1.0 / (height * width) as f32).into());
        let gradient = B::float_mul(B::float_sub(output, common), B::float_mul(inverse, weight));
        let over_batch = |sums| B::float_reshape(B::float_sum_dim(sums, 0), Shape::from([channels]));
        (B::float_reshape(gradient, shape), over_batch(product), over_batch(sum))
    }
}

#[derive(Debug)]
struct Norm;

impl<B: Operations> Backward<B, 3> for Norm {
    type State = ([NodeId; 3], Statistics<B>, bool);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let (inputs, [mean, inverse], relu) = ops.state;
        let [x, weight, bias] = inputs.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let (x, weight, bias) = B::instance_norm_backward(x, weight, bias, mean, inverse, output, relu);
        for (parent, gradient) in ops.parents.into_iter().zip([x, weight, bias]) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// [`instance_norm`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    relu: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [x.node(), weight.node(), bias.node()];
    match Backward::<B, 3>::prepare::<C>(Norm, nodes).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let inputs = [&x, &weight, &bias].map(|tensor| prepared.checkpoint(tensor));
            let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
            let (y, mean, inverse) = B::instance_norm_forward(x, weight, bias, relu);
            prepared.finish((inputs, [mean, inverse], relu), y)
        }
        OpsKind::UnTracked(prepared) => {
            let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
            prepared.finish(B::instance_norm(x, weight, bias, relu))
        }
    }
}
