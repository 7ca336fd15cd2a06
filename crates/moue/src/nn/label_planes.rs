//! The domain label as planes of the image.

use burn::tensor::Tensor;

use crate::base::expression::{Expression, one_hot};

/// Tiles the one-hot label to eight constant planes and appends them: `[b, 3, h, w] -> [b, 11, h, w]`.
pub fn with_label_planes(x: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
    let [batch, _, height, width] = x.dims();
    let planes = one_hot(targets, &x.device().without_autodiff())
        .reshape([batch, Expression::COUNT, 1, 1])
        .expand([batch, Expression::COUNT, height, width]);
    Tensor::cat(vec![x, planes], 1)
}
