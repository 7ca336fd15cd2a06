//! Faces with their expressions, and the batch that a game plays with.

use burn::tensor::Tensor;

use super::expression::Expression;

/// Some face images and what they show.
#[derive(Debug, Clone)]
pub struct Faces {
    /// `[batch, 3, height, width]`, RGB in -1..1.
    pub images: Tensor<4>,
    /// The expression of each image, as long as the batch.
    pub expressions: Vec<Expression>,
}

/// What one step of training sees.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The faces to translate, with their own expressions.
    pub source: Faces,
    /// The expression each face is to be given, as long as the batch.
    pub targets: Vec<Expression>,
    /// The same people with the target expression, where the data has pairs: shaped like the source.
    pub target_images: Option<Tensor<4>>,
}
