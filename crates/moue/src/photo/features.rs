//! What face-api's small networks see in a face: its `FaceFeatureExtractor` (MIT, `src/faceFeatureExtractor`), four dense
//! blocks of depthwise separable convolutions. The landmarks stand on it, and so does the expression classifier that
//! evaluation asks; each has weights of its own.

use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

use super::weights::{Separable, Weights, same_padded};

/// Width and height of the images that the network sees, in pixels.
pub const SIDE: u32 = 112;
/// The colour that training took for the middle, RGB in 0..255.
const MEAN: [f32; 3] = [122.782, 117.001, 104.298];

/// The network.
#[derive(Debug, Clone)]
pub struct FaceFeatures {
    /// `[32, 3, 3, 3]` and `[32]`.
    stem: (Tensor<4>, Tensor<1>),
    /// 0: conv1 to conv3 of the first block; 1 to 3: conv0 to conv3.
    blocks: [Vec<Separable>; 4],
}

impl FaceFeatures {
    /// The network of an embedded file's tensors `dense0.conv0.weight` to `dense3.conv3.bias`.
    pub fn new(weights: &Weights<'_>) -> Self {
        let block = |block: usize| {
            let layers = usize::from(block == 0)..4;
            let stride = |layer: usize| if layer == 0 { 2 } else { 1 };
            layers
                .map(|layer| weights.separable(&format!("dense{block}.conv{layer}"), stride(layer)))
                .collect()
        };
        Self {
            stem: (weights.tensor("dense0.conv0.weight"), weights.tensor("dense0.conv0.bias")),
            blocks: [0, 1, 2, 3].map(block),
        }
    }

    /// The features `[batch, 256]` of images of [`SIDE`] x [`SIDE`] pixels.
    pub fn forward(&self, images: &[RgbImage]) -> Tensor<2> {
        let plane = (SIDE * SIDE) as usize;
        let mut values = Vec::with_capacity(images.len() * 3 * plane);
        for image in images {
            for (channel, mean) in MEAN.into_iter().enumerate() {
                values.extend(image.pixels().map(|pixel| (f32::from(pixel.0[channel]) - mean) / 255.0));
            }
        }
        let shape = [images.len(), 3, SIDE as usize, SIDE as usize];
        let mut x = Tensor::<4>::from_data(TensorData::new(values, shape), &self.stem.1.device());
        for (index, layers) in self.blocks.iter().enumerate() {
            let (first, layers) = match index {
                0 => (same_padded(x, self.stem.0.clone(), self.stem.1.clone(), 2), &layers[..]),
                _ => (layers[0].forward(x), &layers[1..]),
            };
            // Each layer sees the ReLU of the sum of all before it; the first is a ReLU already.
            x = relu(first);
            for layer in layers {
                let sum = x.clone() + layer.forward(relu(x));
                x = sum;
            }
            x = relu(x); // [batch, 32, 56, 56], [batch, 64, 28, 28], [batch, 128, 14, 14], [batch, 256, 7, 7]
        }
        let [batch, channels, ..] = x.dims();
        x.reshape([batch, channels, 49]).mean_dim(2).reshape([batch, channels])
    }
}
