//! face-api's classifier of expressions: `FaceExpressionNet` of npm `@vladmandic/face-api` 1.7.15 (MIT,
//! `src/faceExpressionNet`), by Vincent Mühler. Seven classes, no contempt.
//!
//! [`FaceFeatures`], which it shares with the landmarks of [`moue::photo`], then one matrix. The weights are embedded as
//! published, bytes with a scale and a minimum for each tensor; `assets/README.md` of this crate says where from,
//! `golden/convert_judges.py` how they came here and what onnxruntime computes with them.

use burn::tensor::{Device, Tensor};
use image::RgbImage;
use moue::base::expression::Expression;
use moue::photo::features::{FaceFeatures, SIDE};
use moue::photo::weights::Weights;

use super::layers::values;
use super::{fingerprint, probabilities};

/// The embedded weights.
const FILE: &[u8] = include_bytes!("../../assets/expression.safetensors");

/// The network's own order of its classes.
const ORDER: [Expression; 7] = [
    Expression::Neutral,
    Expression::Happy,
    Expression::Sad,
    Expression::Angry,
    Expression::Fearful,
    Expression::Disgusted,
    Expression::Surprised,
];

/// The network.
#[derive(Debug, Clone)]
pub struct FaceExpressionNet {
    features: FaceFeatures,
    /// `[256, 7]` and `[7]`.
    last: (Tensor<2>, Tensor<1>),
}

impl FaceExpressionNet {
    /// Width and height of the images that the network sees, in pixels.
    pub const SIDE: u32 = SIDE;

    /// The network with its embedded weights.
    pub fn new(device: &Device) -> Self {
        let weights = Weights::new(FILE, device);
        let last = (weights.tensor("fc.weights"), weights.tensor("fc.bias"));
        Self { features: FaceFeatures::new(&weights), last }
    }

    /// The probabilities of [`super::CLASSES`] for images of 112 x 112 pixels that show a face from brow to chin.
    pub fn forward(&self, images: &[RgbImage]) -> Vec<[f32; 7]> {
        let features = self.features.forward(images); // [batch, 256]
        let logits = features.matmul(self.last.0.clone()) + self.last.1.clone().unsqueeze(); // [batch, 7]
        probabilities(&values(logits), ORDER)
    }

    /// Its name and the sum of its weights.
    pub fn fingerprint() -> String {
        fingerprint("face-api-expression", &[FILE])
    }
}
