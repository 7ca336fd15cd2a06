//! What a method does to a face.

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
    /// The edit of `x`, the faces that it was made for, at another strength: 0 is none, 1 the method's own, above 1
    /// exaggerates. A painted square moves away from the face by so much, a flow and a mask are scaled.
    pub fn at_strength(self, x: &Tensor<4>, strength: f32) -> Self {
        if strength == 1.0 {
            return self;
        }
        match self {
            Self::Painted(image) => {
                let change = (image - x.clone()) * strength;
                Self::Painted((x.clone() + change).clamp(-1.0, 1.0))
            }
            Self::Warped { flow, mask, colour } => {
                Self::Warped { flow: flow * strength, mask: (mask * strength).clamp(0.0, 1.0), colour }
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    fn random(shape: [usize; 4]) -> Tensor<4> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
    }

    fn edits() -> [Edit; 2] {
        let warped = Edit::Warped {
            flow: random([2, 2, 16, 16]) * 0.05,
            mask: random([2, 1, 16, 16]).abs(),
            colour: random([2, 3, 16, 16]),
        };
        [Edit::Painted(random([2, 3, 16, 16])), warped]
    }

    #[test]
    fn no_strength_is_the_face_to_the_bit() {
        let x = random([2, 3, 16, 16]);
        for edit in edits() {
            let result = edit.at_strength(&x, 0.0).on_square(x.clone());
            assert_eq!(result.into_data(), x.to_data());
        }
    }

    #[test]
    fn the_change_rises_with_the_strength() {
        // A smooth face, as faces are: of noise, a place twice as far is not twice as different.
        let ramp = Tensor::<1, burn::tensor::Int>::arange(0..2 * 3 * 256, &Device::flex()).float();
        let x = (ramp * 0.02).sin().reshape([2, 3, 16, 16]) * 0.5;
        for edit in edits() {
            let change = |tenths: u8| {
                let edit = edit.clone().at_strength(&x, f32::from(tenths) / 10.0);
                (edit.on_square(x.clone()) - x.clone()).abs().mean().into_scalar::<f32>()
            };
            let changes: Vec<f32> = (0..=15).map(change).collect();
            assert_eq!(changes[0], 0.0);
            assert!(changes.is_sorted_by(|a, b| a < b), "{changes:?}");
        }
    }
}
