//! The 68 points of a face: face-api's landmark network, asked about a face and its mirror image.
//!
//! The network is face-api's `FaceLandmark68Net` (MIT): [`FaceFeatures`] and one matrix. `assets/README.md` of this crate
//! says where its weights are from, `golden/convert_face_networks.py` how they came here and what onnxruntime computes
//! with them.
//!
//! The points are numbered as in the iBUG 300-W annotations: 0-16 the jaw from left to right, 17-21 and 22-26 the brows,
//! 27-35 the nose, 36-41 the left eye, 42-47 the right eye, 48-59 the outer and 60-67 the inner lips; left and right as
//! seen in an upright face's image.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use image::RgbImage;
use image::imageops::flip_horizontal;

use super::align::{EYE_DISTANCE, EYE_LINE, FaceSquare};
use super::features::{FaceFeatures, SIDE};
use super::weights::Weights;

/// How many points there are.
pub(super) const COUNT: usize = 68;
/// The points around the left eye.
pub(super) const LEFT_EYE: Range<usize> = 36..42;
/// The points around the right eye.
pub(super) const RIGHT_EYE: Range<usize> = 42..48;
/// The points of the lips.
pub(super) const MOUTH: Range<usize> = 48..68;

/// Each point's name in the mirror image.
#[rustfmt::skip]
const MIRROR: [usize; COUNT] = [
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28, 29, 30,
    35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
    64, 63, 62, 61, 60, 67, 66, 65,
];

/// The square that the network sees: how far apart the eyes are in it and the (u, v) between them, as parts of its side.
/// The error is flat around here: with distances from 1/2.3 to 1/3.1, and v from 0.26 to 0.34, it changes by a tenth.
const DISTANCE: f64 = 1.0 / 2.5;
const MIDDLE: [f64; 2] = [0.5, 0.32];

/// How far a face and its mirror image disagree (see [`Landmarks::look`]): 0.02 to 0.07 for upright faces of the 81
/// photographs, 0.14 to 0.39 for the same on their heads.
const IN_DOUBT: f64 = 0.07;
const NO_FACE: f64 = 0.25;

/// The network.
#[derive(Debug, Clone)]
pub struct Landmarks {
    features: FaceFeatures,
    /// `[256, 136]` and `[136]`.
    last: (Tensor<2>, Tensor<1>),
}

impl Landmarks {
    /// The network with its embedded weights.
    pub fn new(device: &Device) -> Self {
        let weights = Weights::new(include_bytes!("../../assets/landmarks-68.safetensors"), device);
        let last = (weights.tensor("fc.weights"), weights.tensor("fc.bias"));
        Self { features: FaceFeatures::new(&weights), last }
    }

    /// The 68 points of the face in an image that is framed as [`FaceSquare::from_eyes`] does it, in its pixels: the mean
    /// of one look at it and its mirror image. There is no search, and no answer that there is no face.
    pub fn in_square(&self, image: &RgbImage) -> Vec<[f64; 2]> {
        let [width, height] = [image.width(), image.height()].map(f64::from);
        let eye = |side: f64| [(0.5 + side * EYE_DISTANCE / 2.0) * width, EYE_LINE * height];
        self.look(image, [eye(-1.0), eye(1.0)]).0
    }

    /// The points of the face around `middle` whose eyes are about at `left` and `right`, all in the photo's coordinates:
    /// a look at a square around the face, and a second one at the square that is level with the eyes found first. `None`
    /// where image and mirror image agree on nothing: there is no face.
    ///
    /// The detector takes a face that stands on its head for an upright one, this network does not: where it is in doubt,
    /// it looks at the face turned by 180 degrees, too.
    pub(super) fn locate(
        &self,
        photo: &RgbImage,
        middle: [f64; 2],
        [left, right]: [[f64; 2]; 2],
    ) -> Option<Vec<[f64; 2]>> {
        let (mut points, doubt) = self.look(photo, [left, right]);
        if doubt > IN_DOUBT {
            let turned = [left, right].map(|eye| [0, 1].map(|axis| 2.0 * middle[axis] - eye[axis]));
            let (others, other_doubt) = self.look(photo, turned);
            if other_doubt < doubt {
                points = others;
            }
        }
        let (points, doubt) = self.look(photo, eye_centres(&points));
        (doubt < NO_FACE).then_some(points)
    }

    /// The mean of the points in an image and its mirror image, and how far the two disagree: in the mean over points, as
    /// a part of the eyes' distance.
    fn look(&self, photo: &RgbImage, [left, right]: [[f64; 2]; 2]) -> (Vec<[f64; 2]>, f64) {
        let square = FaceSquare::framing(left, right, DISTANCE, MIDDLE);
        let crop = square.crop(photo, SIDE);
        let found = self.forward(&[flip_horizontal(&crop), crop]);
        let (mirrored, straight) = found.split_at(2 * COUNT);
        let mut doubt = 0.0;
        let points = MIRROR.iter().enumerate().map(|(point, &there)| {
            let [u, v] = [straight[2 * point], straight[2 * point + 1]].map(f64::from);
            let [mirrored_u, mirrored_v] =
                [1.0 - mirrored[2 * there], mirrored[2 * there + 1]].map(f64::from);
            doubt += f64::hypot(u - mirrored_u, v - mirrored_v) / DISTANCE / COUNT as f64;
            square.to_photo((u + mirrored_u) / 2.0, (v + mirrored_v) / 2.0)
        });
        (points.collect(), doubt)
    }

    /// x and y of the 68 points of each image of 112 x 112 pixels, in 0..1 of its sides.
    fn forward(&self, images: &[RgbImage]) -> Vec<f32> {
        let features = self.features.forward(images); // [batch, 256]
        let points = features.matmul(self.last.0.clone()) + self.last.1.clone().unsqueeze();
        points.into_data().convert::<f32>().try_to_vec().expect("the data was converted to f32")
    }
}

/// The centres of the left and the right eye: the means of the points around each.
pub(super) fn eye_centres(points: &[[f64; 2]]) -> [[f64; 2]; 2] {
    [LEFT_EYE, RIGHT_EYE].map(|eye| {
        let count = eye.len() as f64;
        [0, 1].map(|axis| points[eye.clone()].iter().map(|point| point[axis]).sum::<f64>() / count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn the_landmarks_are_what_onnxruntime_computes() {
        let file = include_bytes!("../../../../golden/face_networks.safetensors");
        let golden = SafeTensors::deserialize(file).unwrap();
        let pixels = golden.tensor("landmarks.input").unwrap().data().to_vec();
        let crop = RgbImage::from_raw(SIDE, SIDE, pixels).unwrap();
        // The second image of a batch must not disturb the first.
        let ours = Landmarks::new(&Device::flex()).forward(&[crop, RgbImage::new(SIDE, SIDE)]);
        let theirs = golden.tensor("landmarks.output").unwrap();
        let theirs = theirs.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let error = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-5, "{error}"); // a thousandth of a pixel
    }

    #[test]
    fn a_mirror_image_of_a_mirror_image_is_the_face() {
        for (point, &mirrored) in MIRROR.iter().enumerate() {
            assert_eq!(MIRROR[mirrored], point);
        }
        assert!(LEFT_EYE.map(|point| MIRROR[point]).all(|point| RIGHT_EYE.contains(&point)));
        assert!(MOUTH.map(|point| MIRROR[point]).all(|point| MOUTH.contains(&point)));
    }
}
