//! Products of a matrix with vectors, for matrices so large that reading them once is what costs.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::Shape;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// `matrix` `[rows, columns]` times `vector` `[columns]`: `[rows]`.
///
/// # Panics
/// When the shapes do not match.
pub fn matrix_vector(matrix: Tensor<2>, vector: Tensor<1>) -> Tensor<1> {
    assert_eq!([matrix.dims()[1]], vector.dims(), "a number for each column");
    Tensor::from_dispatch(Dispatch::matrix_vector(matrix.into_dispatch(), vector.into_dispatch()))
}

/// `vector` `[rows]` times `matrix` `[rows, columns]`: `[columns]`.
///
/// # Panics
/// When the shapes do not match.
pub fn vector_matrix(vector: Tensor<1>, matrix: Tensor<2>) -> Tensor<1> {
    assert_eq!([matrix.dims()[0]], vector.dims(), "a number for each row");
    Tensor::from_dispatch(Dispatch::vector_matrix(vector.into_dispatch(), matrix.into_dispatch()))
}

/// `left` `[rows]` times `matrix` `[rows, columns]` times `right` `[columns]`: `[1]`. Gradients flow to the matrix;
/// the vectors are constants.
///
/// # Panics
/// When the shapes do not match.
pub fn bilinear(left: Tensor<1>, matrix: Tensor<2>, right: Tensor<1>) -> Tensor<1> {
    assert_eq!(matrix.dims(), [left.dims()[0], right.dims()[0]], "a number for each row and for each column");
    let (left, right) = (left.into_dispatch(), right.into_dispatch());
    Tensor::from_dispatch(Dispatch::bilinear(left, matrix.into_dispatch(), right))
}

/// Below it, a vector's length is no divisor.
pub(crate) const SHORTEST: f32 = 1e-12;

/// `vector` `[n]` divided by its length, or by 1e-12 where it is shorter. No gradient flows.
pub fn normalised(vector: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::normalised(vector.into_dispatch()))
}

/// The operations composed of burn's.
pub(crate) mod portable {
    use super::*;

    fn column<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
        let length = vector.shape().num_elements();
        B::float_reshape(vector, Shape::from([length, 1]))
    }

    fn flat<B: Backend>(column: FloatTensor<B>) -> FloatTensor<B> {
        let length = column.shape().num_elements();
        B::float_reshape(column, Shape::from([length]))
    }

    pub(crate) fn matrix_vector<B: Backend>(
        matrix: FloatTensor<B>,
        vector: FloatTensor<B>,
    ) -> FloatTensor<B> {
        flat::<B>(B::float_matmul(matrix, column::<B>(vector)))
    }

    pub(crate) fn vector_matrix<B: Backend>(
        vector: FloatTensor<B>,
        matrix: FloatTensor<B>,
    ) -> FloatTensor<B> {
        matrix_vector::<B>(B::float_swap_dims(matrix, 0, 1), vector)
    }

    pub(crate) fn bilinear<B: Backend>(
        left: FloatTensor<B>,
        matrix: FloatTensor<B>,
        right: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::float_sum(B::float_mul(left, matrix_vector::<B>(matrix, right)))
    }

    pub(crate) fn normalised<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
        let square = B::float_sum(B::float_mul(vector.clone(), vector.clone()));
        let length = B::float_clamp_min(B::float_sqrt(square), SHORTEST.into());
        B::float_div(vector, B::float_reshape(length, Shape::from([1])))
    }

    pub(crate) fn outer_product<B: Backend>(
        left: FloatTensor<B>,
        right: FloatTensor<B>,
        scale: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let right = B::float_swap_dims(column::<B>(right), 0, 1);
        B::float_mul(column::<B>(B::float_mul(left, scale)), right)
    }
}

/// The operations on burn's CPU backend. Every sum has a fixed order.
pub(crate) mod fast {
    use std::mem::MaybeUninit;

    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::*;
    use crate::flex::{tensor, values};
    use crate::lanes::dot;
    use crate::matrix::{TASK, written};
    use crate::vectors::{Machine, Work, multiply_add, vectorised};

    /// Columns that one task sums: they stay in the first cache.
    const COLUMNS: usize = 2048;

    fn dots(matrix: &[f32], vector: &[f32]) -> Vec<f32> {
        let columns = vector.len();
        let rows = matrix.par_chunks_exact(columns).with_min_len((TASK / columns).max(1));
        rows.map(|row| dot(row, vector)).collect()
    }

    pub(crate) fn matrix_vector(matrix: FlexTensor, vector: FlexTensor) -> FlexTensor {
        let [matrix, vector] = [matrix, vector].map(|tensor| tensor.to_contiguous());
        let product = dots(values(&matrix), values(&vector));
        let shape = Shape::from([product.len()]);
        tensor(product, shape)
    }

    pub(crate) fn vector_matrix(vector: FlexTensor, matrix: FlexTensor) -> FlexTensor {
        let [_, columns] = matrix.shape().dims();
        let [vector, matrix] = [vector, matrix].map(|tensor| tensor.to_contiguous());
        let (vector, matrix) = (values(&vector), values(&matrix));
        let mut product = vec![0.0; columns];
        product.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, product)| {
            vectorised(SumOfRows { matrix, columns, first: chunk * COLUMNS, factors: vector, product });
        });
        tensor(product, Shape::from([columns]))
    }

    /// The sum of a matrix's rows from column `first` on, each times its factor.
    struct SumOfRows<'a> {
        matrix: &'a [f32],
        columns: usize,
        first: usize,
        factors: &'a [f32],
        product: &'a mut [f32],
    }

    impl Work for SumOfRows<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            for (row, factor) in self.matrix.chunks_exact(self.columns).zip(self.factors) {
                let row = &row[self.first..][..self.product.len()];
                for (sum, value) in self.product.iter_mut().zip(row) {
                    *sum = multiply_add::<M>(*factor, *value, *sum);
                }
            }
        }
    }

    pub(crate) fn bilinear(left: FlexTensor, matrix: FlexTensor, right: FlexTensor) -> FlexTensor {
        let [left, matrix, right] = [left, matrix, right].map(|tensor| tensor.to_contiguous());
        let sum = dot(values(&left), &dots(values(&matrix), values(&right)));
        tensor(vec![sum], Shape::from([1]))
    }

    pub(crate) fn normalised(vector: FlexTensor) -> FlexTensor {
        let vector = vector.to_contiguous();
        let numbers = values(&vector);
        let length = dot(numbers, numbers).sqrt().max(SHORTEST);
        tensor(numbers.iter().map(|number| number / length).collect(), Shape::from([numbers.len()]))
    }

    pub(crate) fn outer_product(left: FlexTensor, right: FlexTensor, scale: FlexTensor) -> FlexTensor {
        let [left, right] = [left, right].map(|tensor| tensor.to_contiguous());
        let (left, right, scale) = (values(&left), values(&right), values(&scale)[0]);
        let fill = |product: &mut [MaybeUninit<f32>]| {
            let rows = product.par_chunks_exact_mut(right.len()).zip(left);
            rows.with_min_len((TASK / right.len()).max(1)).for_each(|(row, left)| {
                let factor = left * scale;
                row.iter_mut().zip(right).for_each(|(slot, right)| _ = slot.write(factor * right));
            });
        };
        // SAFETY: every row of the product is written whole.
        let product = unsafe { written(left.len() * right.len(), fill) };
        tensor(product, Shape::from([left.len(), right.len()]))
    }
}

#[derive(Debug)]
struct Bilinear;

impl<B: Operations> Backward<B, 1> for Bilinear {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        let [matrix] = ops.parents;
        let [left, right] = ops.state;
        if let Some(node) = matrix {
            grads.register::<B>(node.id, B::outer_product(left, right, output));
        }
    }
}

/// [`bilinear`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    left: FloatTensor<Autodiff<B, C>>,
    matrix: FloatTensor<Autodiff<B, C>>,
    right: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let [left, right] = [left, right].map(|tensor| tensor.into_primitive());
    let nodes = [matrix.node()];
    match Backward::<B, 1>::prepare::<C>(Bilinear, nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let state = [left.clone(), right.clone()];
            prepared.finish(state, B::bilinear(left, matrix.into_primitive(), right))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::bilinear(left, matrix.into_primitive(), right)),
    }
}
