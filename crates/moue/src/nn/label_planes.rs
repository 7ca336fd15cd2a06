//! The domain label as planes of the image.

use burn::tensor::Tensor;

use crate::base::expression::{Expression, one_hot};

/// Tiles the one-hot label to eight constant planes and appends them: `[b, 3, h, w] -> [b, 11, h, w]`.
pub fn with_label_planes(x: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
    let labels = one_hot(targets, &x.device().without_autodiff());
    with_planes(x, labels)
}

/// Tiles each of the values `[b, n]` to a constant plane and appends them: `[b, c, h, w] -> [b, c + n, h, w]`.
pub fn with_planes(x: Tensor<4>, values: Tensor<2>) -> Tensor<4> {
    let ([batch, _, height, width], [_, count]) = (x.dims(), values.dims());
    let planes = values.reshape([batch, count, 1, 1]).expand([batch, count, height, width]);
    Tensor::cat(vec![x, planes], 1)
}
