//! Means that losses are made of: of absolute values, and of how far neighbours are apart.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::{Shape, Slice};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// How far two numbers are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Apart {
    /// The absolute value of their difference.
    Absolute,
    /// Its square.
    Squared,
}

/// `[1]`: the mean of `|x|`, of `[batch, channels, h, w]`. No gradient flows from where `x` is 0.
pub fn mean_absolute(x: Tensor<4>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::mean_absolute(x.into_dispatch()))
}

/// [`mean_absolute`], each pixel weighted by `weights`, `[1, 1, h, w]` or `[batch, 1, h, w]`, to which no gradient flows.
///
/// # Panics
/// When the shapes do not match.
pub fn weighted_mean_absolute(x: Tensor<4>, weights: Tensor<4>) -> Tensor<1> {
    let ([batch, _, height, width], [images, one, ..]) = (x.dims(), weights.dims());
    let fits = (images == 1 || images == batch) && one == 1;
    assert!(fits && weights.dims()[2..] == [height, width], "a weight for each pixel");
    Tensor::from_dispatch(Dispatch::weighted_mean_absolute(x.into_dispatch(), weights.into_dispatch()))
}

/// `[1]`: how far horizontal neighbours are apart in the mean, plus the same for vertical ones, of
/// `[batch, channels, h, w]`.
///
/// # Panics
/// When there are no neighbours.
pub fn mean_between_neighbours(x: Tensor<4>, apart: Apart) -> Tensor<1> {
    assert!(x.dims()[2..].iter().all(|&size| size > 1), "a row has neighbours, and a column");
    Tensor::from_dispatch(Dispatch::mean_between_neighbours(x.into_dispatch(), apart))
}

/// 1 / the number of pairs of neighbours along a row and down a column.
pub(crate) fn shares(shape: &Shape) -> [f32; 2] {
    let [batch, channels, height, width] = shape.dims();
    let planes = batch * channels;
    [planes * height * (width - 1), planes * (height - 1) * width].map(|pairs| 1.0 / pairs as f32)
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    fn mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        let numbers = x.shape().num_elements();
        let [batch, ..] = x.shape().dims::<4>();
        // First each image's: a sum of millions of numbers at once would be rounded more.
        let images = B::float_sum_dim(B::float_reshape(x, Shape::from([batch, numbers / batch])), 1);
        let sum = B::float_reshape(B::float_sum(images), Shape::from([1]));
        B::float_mul_scalar(sum, (1.0 / numbers as f32).into())
    }

    fn scalar<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_reshape(x, Shape::from([1, 1, 1, 1]))
    }

    pub(crate) fn mean_absolute<B: Backend>(
        x: FloatTensor<B>,
        weights: Option<FloatTensor<B>>,
    ) -> FloatTensor<B> {
        let values = B::float_abs(x);
        mean::<B>(match weights {
            Some(weights) => B::float_mul(values, weights),
            None => values,
        })
    }

    /// The gradient of `x`.
    pub(crate) fn mean_absolute_gradient<B: Backend>(
        x: FloatTensor<B>,
        weights: Option<FloatTensor<B>>,
        output: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let share = 1.0 / x.shape().num_elements() as f32;
        let share = scalar::<B>(B::float_mul_scalar(output, share.into()));
        let share = weights.map_or(share.clone(), |weights| B::float_mul(weights, share));
        B::float_mul(B::float_sign(x), share)
    }

    /// The differences of neighbours along the axis, 2 or 3.
    fn differences<B: Backend>(x: &FloatTensor<B>, axis: usize) -> FloatTensor<B> {
        let dims: [usize; 4] = x.shape().dims();
        let part = |from: usize, to: usize| {
            let slices: [Slice; 4] =
                std::array::from_fn(
                    |n| if n == axis { Slice::from(from..to) } else { Slice::from(0..dims[n]) },
                );
            B::float_slice(x.clone(), &slices)
        };
        B::float_sub(part(1, dims[axis]), part(0, dims[axis] - 1))
    }

    pub(crate) fn mean_between_neighbours<B: Backend>(x: FloatTensor<B>, apart: Apart) -> FloatTensor<B> {
        let [across, down] = [3, 2].map(|axis| {
            let differences = differences::<B>(&x, axis);
            mean::<B>(match apart {
                Apart::Absolute => B::float_abs(differences),
                Apart::Squared => B::float_mul(differences.clone(), differences),
            })
        });
        B::float_add(across, down)
    }

    /// The gradient of `x`.
    pub(crate) fn mean_between_neighbours_gradient<B: Backend>(
        x: FloatTensor<B>,
        output: FloatTensor<B>,
        apart: Apart,
    ) -> FloatTensor<B> {
        let [across, down] = shares(&x.shape());
        let output = scalar::<B>(output);
        let parts = [(3, across), (2, down)].map(|(axis, share)| {
            let differences = differences::<B>(&x, axis);
            let slope = match apart {
                Apart::Absolute => B::float_sign(differences),
                Apart::Squared => B::float_mul_scalar(differences, 2.0f32.into()),
            };
            let slope = B::float_mul(slope, B::float_mul_scalar(output.clone(), share.into()));
            // The first of a pair goes down where the second goes up.
            let mut edge = x.shape();
            edge[axis] = 1;
            let edge = B::float_zeros(edge, &x.device(), x.dtype().into());
            let up = B::float_cat(vec![edge.clone(), slope.clone()], axis);
            B::float_sub(up, B::float_cat(vec![slope, edge], axis))
        });
        let [across, down] = parts;
        B::float_add(across, down)
    }
}

/// The operations on burn's CPU backend.
pub(crate) mod fast {
    use std::mem::MaybeUninit;

    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::{Apart, shares};
    use crate::flex::{tensor, values};
    use crate::lanes::{sum_of, sums_of_pairs};
    use crate::matrix::{TASK, written};
    use crate::vectors::{Machine, Work, vectorised};
    use burn::backend::TensorMetadata;
    use burn::tensor::Shape;

    /// A plane's sum is rounded by itself, and the sums are added in their order at any number of threads.
    fn one(planes: Vec<f64>) -> FlexTensor {
        tensor(vec![planes.iter().sum::<f64>() as f32], Shape::from([1]))
    }

    /// The weights of the pixels of the plane `index`.
    fn weights_of<'a>(weights: Option<&'a [f32]>, index: usize, shape: &Shape) -> Option<&'a [f32]> {
        let [_, channels, height, width] = shape.dims();
        let pixels = height * width;
        let image = |weights: &[f32]| if weights.len() == pixels { 0 } else { index / channels };
        weights.map(|weights| &weights[image(weights) * pixels..][..pixels])
    }

    pub(crate) fn mean_absolute(x: FlexTensor, weights: Option<FlexTensor>) -> FlexTensor {
        let shape = x.shape();
        let (x, weights) = (x.to_contiguous(), weights.map(|weights| weights.to_contiguous()));
        let (x, weights) = (values(&x), weights.as_ref().map(values));
        let [_, _, height, width] = shape.dims();
        let planes = x.par_chunks_exact(height * width).enumerate();
        let sums = planes.with_min_len((TASK / (height * width)).max(1)).map(|(index, x)| {
            let weights = weights_of(weights, index, &shape);
            f64::from(vectorised(AbsolutePlane { x, weights })) / shape.num_elements() as f64
        });
        one(sums.collect())
    }

    struct AbsolutePlane<'a> {
        x: &'a [f32],
        weights: Option<&'a [f32]>,
    }

    impl Work for AbsolutePlane<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<M: Machine>(self) -> f32 {
            match self.weights {
                Some(weights) => sums_of_pairs(self.x, weights, |x, weight| [x.abs() * weight, 0.0])[0],
                None => sum_of(self.x, f32::abs),
            }
        }
    }

    pub(crate) fn mean_absolute_gradient(
        x: FlexTensor,
        weights: Option<FlexTensor>,
        output: FlexTensor,
    ) -> FlexTensor {
        let shape = x.shape();
        let (x, weights) = (x.to_contiguous(), weights.map(|weights| weights.to_contiguous()));
        let (x, weights) = (values(&x), weights.as_ref().map(values));
        let share = values(&output.to_contiguous())[0] / shape.num_elements() as f32;
        let [_, _, height, width] = shape.dims();
        let pixels = height * width;
        let fill = |gradient: &mut [MaybeUninit<f32>]| {
            let planes = gradient.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).enumerate();
            planes.with_min_len((TASK / pixels).max(1)).for_each(|(index, (gradient, x))| {
                let weights = weights_of(weights, index, &shape);
                vectorised(AbsoluteGradient { x, weights, gradient, share });
            });
        };
        // SAFETY: the planes cover the whole gradient, and each is written whole.
        tensor(unsafe { written(x.len(), fill) }, shape.clone())
    }

    struct AbsoluteGradient<'a> {
        x: &'a [f32],
        weights: Option<&'a [f32]>,
        gradient: &'a mut [MaybeUninit<f32>],
        share: f32,
    }

    impl Work for AbsoluteGradient<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let numbers = self.gradient.iter_mut().zip(self.x);
            match self.weights {
                Some(weights) => numbers.zip(weights).for_each(|((gradient, x), weight)| {
                    gradient.write(sign(*x) * (weight * self.share));
                }),
                None => numbers.for_each(|(gradient, x)| {
                    gradient.write(sign(*x) * self.share);
                }),
            }
        }
    }

    /// 0 where there is no sign.
    #[inline(always)]
    fn sign(x: f32) -> f32 {
        let positive = if x > 0.0 { 1.0 } else { 0.0 };
        if x < 0.0 { -1.0 } else { positive }
    }

    #[inline(always)]
    fn slope(difference: f32, apart: Apart) -> f32 {
        match apart {
            Apart::Absolute => sign(difference),
            Apart::Squared => 2.0 * difference,
        }
    }

    pub(crate) fn mean_between_neighbours(x: FlexTensor, apart: Apart) -> FlexTensor {
        let shape = x.shape();
        let x = x.to_contiguous();
        let [_, _, height, width] = shape.dims();
        let [across, down] = shares(&shape).map(f64::from);
        let planes = values(&x).par_chunks_exact(height * width);
        let sums = planes.with_min_len((TASK / (height * width)).max(1)).map(|x| {
            let [along, below] = vectorised(NeighboursOfPlane { x, width, apart });
            f64::from(along) * across + f64::from(below) * down
        });
        one(sums.collect())
    }

    struct NeighboursOfPlane<'a> {
        x: &'a [f32],
        width: usize,
        apart: Apart,
    }

    impl Work for NeighboursOfPlane<'_> {
        type Output = [f32; 2];

        #[inline(always)]
        fn run<M: Machine>(self) -> [f32; 2] {
            let Self { x, width, apart } = self;
            let sum = |a: &[f32], b: &[f32]| {
                let term = |a: f32, b: f32| match apart {
                    Apart::Absolute => [(a - b).abs(), 0.0],
                    Apart::Squared => [(a - b) * (a - b), 0.0],
                };
                sums_of_pairs(a, b, term)[0]
            };
            let along = x.chunks_exact(width).map(|row| sum(&row[1..], &row[..width - 1])).sum();
            [along, sum(&x[width..], &x[..x.len() - width])]
        }
    }

    pub(crate) fn mean_between_neighbours_gradient(
        x: FlexTensor,
        output: FlexTensor,
        apart: Apart,
    ) -> FlexTensor {
        let shape = x.shape();
        let [x, output] = [x, output].map(|tensor| tensor.to_contiguous());
        let (x, output) = (values(&x), values(&output)[0]);
        let [_, _, height, width] = shape.dims();
        let shares = shares(&shape).map(|share| share * output);
        let pixels = height * width;
        let fill = |gradient: &mut [MaybeUninit<f32>]| {
            let planes = gradient.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels));
            planes.with_min_len((TASK / pixels).max(1)).for_each(|(gradient, x)| {
                vectorised(GradientOfPlane { x, gradient, width, shares, apart });
            });
        };
        // SAFETY: the planes cover the whole gradient, and each is written whole.
        tensor(unsafe { written(x.len(), fill) }, shape)
    }

    struct GradientOfPlane<'a> {
        x: &'a [f32],
        gradient: &'a mut [MaybeUninit<f32>],
        width: usize,
        shares: [f32; 2],
        apart: Apart,
    }

    impl Work for GradientOfPlane<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let Self { x, gradient, width, shares: [across, down], apart } = self;
            // Down the columns first, which writes all; where a neighbour is missing, the number itself is in its place.
            let height = x.len() / width;
            for (row, gradient) in gradient.chunks_exact_mut(width).enumerate() {
                let [above, here, below] =
                    [row.max(1) - 1, row, (row + 1).min(height - 1)].map(|row| &x[row * width..][..width]);
                for (column, gradient) in gradient.iter_mut().enumerate() {
                    let before = slope(here[column] - above[column], apart);
                    let after = slope(below[column] - here[column], apart);
                    gradient.write(down * (before - after));
                }
            }
            // SAFETY: the rows cover the plane, and each was written whole.
            let gradient = unsafe { gradient.assume_init_mut() };
            for (here, gradient) in x.chunks_exact(width).zip(gradient.chunks_exact_mut(width)) {
                let pairs = here[..width - 1].iter().zip(&here[1..]);
                for (gradient, (x, next)) in gradient.iter_mut().zip(pairs.clone()) {
                    *gradient -= across * slope(next - x, apart);
                }
                for (gradient, (x, next)) in gradient[1..].iter_mut().zip(pairs) {
                    *gradient += across * slope(next - x, apart);
                }
            }
        }
    }
}

#[derive(Debug)]
struct MeanAbsolute;

impl<B: Operations> Backward<B, 1> for MeanAbsolute {
    type State = (NodeId, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        let (x, weights) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        if let Some(node) = parent {
            grads.register::<B>(
                node.id,
                match weights {
                    Some(weights) => B::weighted_mean_absolute_gradient(x, weights, output),
                    None => B::mean_absolute_gradient(x, output),
                },
            );
        }
    }
}

/// [`mean_absolute`] or [`weighted_mean_absolute`] as a node of the graph.
pub(crate) fn mean_absolute_tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weights: Option<FloatTensor<Autodiff<B, C>>>,
) -> FloatTensor<Autodiff<B, C>> {
    let weights = weights.map(|weights| weights.into_primitive());
    let mean = |x, weights| match weights {
        Some(weights) => B::weighted_mean_absolute(x, weights),
        None => B::mean_absolute(x),
    };
    match Backward::<B, 1>::prepare::<C>(MeanAbsolute, [x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let state = (prepared.checkpoint(&x), weights.clone());
            prepared.finish(state, mean(x.into_primitive(), weights))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(mean(x.into_primitive(), weights)),
    }
}

#[derive(Debug)]
struct MeanBetweenNeighbours;

impl<B: Operations> Backward<B, 1> for MeanBetweenNeighbours {
    type State = (NodeId, Apart);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        let (x, apart) = ops.state;
        let x = checkpointer.retrieve_node_output::<FloatTensor<B>>(x);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::mean_between_neighbours_gradient(x, output, apart));
        }
    }
}

/// [`mean_between_neighbours`] as a node of the graph.
pub(crate) fn mean_between_neighbours_tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    apart: Apart,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, 1>::prepare::<C>(MeanBetweenNeighbours, [x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let state = (prepared.checkpoint(&x), apart);
            prepared.finish(state, B::mean_between_neighbours(x.into_primitive(), apart))
        }
        OpsKind::UnTracked(prepared) => {
            prepared.finish(B::mean_between_neighbours(x.into_primitive(), apart))
        }
    }
}
