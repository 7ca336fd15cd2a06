//! What a method does to a face.

use burn::tensor::Tensor;

/// The change that a method proposes for some face squares.
#[derive(Debug, Clone)]
pub enum Edit {
    /// The whole square painted anew, `[batch, 3, height, width]` in -1..1.
    Painted(Tensor<4>),
}

impl Edit {
    /// The squares after the edit, shaped like the faces that it was made for, in -1..1.
    pub fn on_square(self) -> Tensor<4> {
        match self {
            Edit::Painted(image) => image,
        }
    }
}
