//! What a method does to a face. How strongly it is applied to a photo is up to [`crate::photo::apply`].

use burn::tensor::Tensor;

/// The change that a method proposes for some face squares. It is independent of the resolution that it is applied at.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "an edit is one of a batch, and its tensors hold their data elsewhere"
)]
pub enum Edit {
    /// The whole square painted anew, `[batch, 3, height, width]` in -1..1.
    Painted(Tensor<4>),
    /// The square's own pixels moved, and something painted over them (Zhou et al. 2016, appearance flow; Pumarola et
    /// al. 2018, colour and attention masks): `(1 - mask) * x(place + flow) + mask * colour`.
    Warped {
        /// Where each pixel comes from: x and y offsets, `[batch, 2, height, width]`, in coordinates that run from -1
        /// to 1 between the outer edges of the square.
        flow: Tensor<4>,
        /// How much is painted over, `[batch, 1, height, width]` in 0..1.
        mask: Tensor<4>,
        /// What is painted, `[batch, 3, height, width]` in -1..1.
        colour: Tensor<4>,
    },
}

impl Edit {
    /// The squares after the edit, shaped like `x`, the faces that it was made for, in -1..1.
    pub fn on_square(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Painted(image) => image,
            Self::Warped { flow, mask, colour } => {
                let moved = moue_kernels::grid_sample(x, flow);
                moved * (-mask.clone() + 1.0) + mask * colour
            }
        }
    }
}
