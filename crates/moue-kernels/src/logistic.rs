//! The logistic function between any two bounds: sigmoid, tanh, and tanh times a number.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// A logistic function: `low + (high - low) / (1 + e^(-steepness x))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logistic {
    /// What it tends to on the left.
    pub low: f32,
    /// What it tends to on the right.
    pub high: f32,
    /// How fast.
    pub steepness: f32,
}

impl Logistic {
    /// `1 / (1 + e^-x)`.
    pub const SIGMOID: Self = Self { low: 0.0, high: 1.0, steepness: 1.0 };

    /// `reach tanh(x)`.
    pub const fn tanh(reach: f32) -> Self {
        Self { low: -reach, high: reach, steepness: 2.0 }
    }
}

/// The function of every number of `x`, whose shape the result has; of no number, no number. On the CPU, the exponential
/// in it is right within two units in its last place.
pub fn logistic(x: Tensor<4>, function: Logistic) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::logistic(x.into_dispatch(), function))
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    pub(crate) fn forward<B: Backend>(x: FloatTensor<B>, function: Logistic) -> FloatTensor<B> {
        let Logistic { low, high, steepness } = function;
        let share = B::sigmoid(B::float_mul_scalar(x, steepness.into()));
        B::float_add_scalar(B::float_mul_scalar(share, (high - low).into()), low.into())
    }

    /// The gradient of the input; `y` is what the forward gave.
    pub(crate) fn gradient<B: Backend>(
        y: FloatTensor<B>,
        output: FloatTensor<B>,
        function: Logistic,
    ) -> FloatTensor<B> {
        let Logistic { low, high, steepness } = function;
        let above = B::float_sub_scalar(y.clone(), low.into());
        let below = B::float_sub_scalar(y, high.into());
        let slope = B::float_mul_scalar(B::float_mul(above, below), (-steepness / (high - low)).into());
        B::float_mul(slope, output)
    }
}

/// The operations on burn's CPU backend.
pub(crate) mod fast {
    use std::mem::MaybeUninit;

    use burn::backend::TensorMetadata;
    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::*;
    use crate::flex::{tensor, values};
    use crate::matrix::{TASK, written};
    use crate::vectors::{Machine, Work, exponential, vectorised};

    pub(crate) fn forward(x: FlexTensor, function: Logistic) -> FlexTensor {
        let shape = x.shape();
        let x = x.to_contiguous();
        let x = values(&x);
        let fill = |y: &mut [MaybeUninit<f32>]| {
            let chunks = y.par_chunks_mut(TASK).zip(x.par_chunks(TASK));
            chunks.for_each(|(y, x)| vectorised(Forward { x, y, function }));
        };
        // SAFETY: the chunks cover the whole output, and each is written whole.
        tensor(unsafe { written(x.len(), fill) }, shape)
    }

    struct Forward<'a> {
        x: &'a [f32],
        y: &'a mut [MaybeUninit<f32>],
        function: Logistic,
    }

    impl Work for Forward<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let Logistic { low, high, steepness } = self.function;
            for (y, x) in self.y.iter_mut().zip(self.x) {
                // Beyond 87 the exponential would be infinite, and the result is the bound to the last bit already. Not
                // `min`, which makes a number of what is none.
                let power = -steepness * x;
                let power = if power > 87.0 { 87.0 } else { power };
                y.write(low + (high - low) / (1.0 + exponential::<M>(power)));
            }
        }
    }

    pub(crate) fn gradient(y: FlexTensor, output: FlexTensor, function: Logistic) -> FlexTensor {
        let shape = y.shape();
        let [y, output] = [y, output].map(|tensor| tensor.to_contiguous());
        let (y, output) = (values(&y), values(&output));
        let fill = |gradient: &mut [MaybeUninit<f32>]| {
            let inputs = y.par_chunks(TASK).zip(output.par_chunks(TASK));
            let chunks = gradient.par_chunks_mut(TASK).zip(inputs);
            chunks.for_each(|(gradient, (y, output))| vectorised(Gradient { y, output, gradient, function }));
        };
        // SAFETY: the chunks cover the whole gradient, and each is written whole.
        tensor(unsafe { written(y.len(), fill) }, shape)
    }

    struct Gradient<'a> {
        y: &'a [f32],
        output: &'a [f32],
        gradient: &'a mut [MaybeUninit<f32>],
        function: Logistic,
    }

    impl Work for Gradient<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let Logistic { low, high, steepness } = self.function;
            let factor = -steepness / (high - low);
            for (slot, (y, output)) in self.gradient.iter_mut().zip(self.y.iter().zip(self.output)) {
                slot.write((y - low) * (y - high) * factor * output);
            }
        }
    }
}

impl<B: Operations> Backward<B, 1> for Logistic {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::logistic_gradient(ops.state, output, self));
        }
    }
}

/// [`logistic`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    function: Logistic,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, 1>::prepare::<C>(function, [x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let y = B::logistic(x.into_primitive(), function);
            prepared.finish(y.clone(), y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::logistic(x.into_primitive(), function)),
    }
}
