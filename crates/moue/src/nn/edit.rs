//! What a method does to a face. How strongly it is applied to a photo is up to [`crate::photo::apply`].

use burn::tensor::{Tensor, TensorData};
use moue_kernels::{Logistic, blend, grid_sample, logistic};

use crate::base::expression::Expression;

/// The farthest that a pixel comes from, in half sides of the square.
const REACH: f32 = 0.25;

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
    /// Paints the faces `[b, 3, h, w]` of each target by themselves, for networks that know one target each: `paint`
    /// gets a target and its faces, and gives images of their shape.
    pub fn by_target(
        faces: &Tensor<4>,
        targets: &[Expression],
        paint: impl Fn(Expression, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        let mut painted: Vec<(usize, Tensor<4>)> = Vec::new();
        for target in Expression::ALL {
            let places: Vec<usize> = (0..targets.len()).filter(|&n| targets[n] == target).collect();
            if places.is_empty() {
                continue;
            }
            let face = |&place: &usize| faces.clone().slice_dim(0, place..place + 1);
            let images = paint(target, Tensor::cat(places.iter().map(face).collect(), 0));
            let each = places.into_iter().enumerate();
            painted.extend(each.map(|(n, place)| (place, images.clone().slice_dim(0, n..n + 1))));
        }
        painted.sort_by_key(|(place, _)| *place);
        Self::Painted(Tensor::cat(painted.into_iter().map(|(_, image)| image).collect(), 0))
    }

    /// The warp that a network's outputs `[b, 6, h, w]`, any numbers, stand for: flow, colour, mask.
    pub fn of_outputs(outputs: Tensor<4>) -> Self {
        Self::Warped {
            flow: logistic(outputs.clone().slice_dim(1, 0..2), Logistic::tanh(REACH)),
            colour: logistic(outputs.clone().slice_dim(1, 2..5), Logistic::tanh(1.0)),
            mask: logistic(outputs.slice_dim(1, 5..6), Logistic::SIGMOID),
        }
    }

    /// An edit of a window of half the square's side, with offsets in half sides of that window.
    pub fn in_window(self) -> Self {
        match self {
            Self::Painted(_) => self,
            Self::Warped { flow, mask, colour } => Self::Warped { flow: flow * 2.0, mask, colour },
        }
    }

    /// The edit with the mask of each of its faces multiplied by one of `gains`, and held at 1; as it is without gains.
    ///
    /// # Panics
    /// When there are gains, but not one for each face.
    pub fn with_mask_gains(self, gains: &[f32]) -> Self {
        match self {
            Self::Warped { flow, mask, colour } if !gains.is_empty() => {
                let device = mask.device().without_autodiff();
                let gains = TensorData::new(gains.to_vec(), [gains.len(), 1, 1, 1]);
                let mask = (mask * Tensor::from_data(gains, &device)).clamp_max(1.0);
                Self::Warped { flow, mask, colour }
            }
            _ => self,
        }
    }

    /// The squares after the edit, shaped like `x`, the faces that it was made for, in -1..1.
    pub fn on_square(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Painted(image) => image,
            Self::Warped { flow, mask, colour } => blend(grid_sample(x, flow), mask, colour),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn faces_come_back_in_their_order_whatever_their_targets() {
        let targets = [5, 1, 5, 0, 1].map(|index| Expression::from_index(index).unwrap());
        let faces: Vec<f32> = (0..15).map(|n| (n / 3) as f32).collect();
        let faces = Tensor::<4>::from_data(TensorData::new(faces, [5, 3, 1, 1]), &Device::flex());
        let edit = Edit::by_target(&faces, &targets, |target, faces| faces + target.index() as f32 * 10.0);
        let painted: Vec<f32> = edit.on_square(faces).into_data().try_into_vec().unwrap();
        let expected = [50.0, 11.0, 52.0, 3.0, 14.0].map(|value| [value; 3]);
        assert_eq!(painted, expected.concat());
    }
}
