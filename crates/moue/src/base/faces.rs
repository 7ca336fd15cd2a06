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
    /// Faces with the target expressions, shaped like the source: of the same people where the method learns from
    /// pairs and the data has them, of anybody where it learns from two domains.
    pub target_images: Option<Tensor<4>>,
}

/// What a network that knows one way translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The expression of its sources.
    pub from: Expression,
    /// The expression that it gives them; `None` for a network that is told which, and knows all others.
    pub to: Option<Expression>,
    /// Whether it learns from pairs, the same person looking the same way with both expressions, or from faces of
    /// either expression, whoever's they are.
    pub paired: bool,
}
