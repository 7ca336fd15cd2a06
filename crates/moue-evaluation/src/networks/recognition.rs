//! face-api's face recognition: `FaceRecognitionNet` of npm `@vladmandic/face-api` 1.7.15 (MIT,
//! `src/faceRecognitionNet`), by Vincent Mühler: a port of Davis King's `dlib_face_recognition_resnet_model_v1` (CC0), a
//! residual network of 29 convolutions. A face becomes 128 numbers; of one person's faces they lie within a Euclidean
//! distance of about 0.6.
//!
//! The weights are 6.4 MB, bytes with a scale and a minimum for each tensor, and are read from the package's own files,
//! or from an ONNX export of the same network.

use std::path::Path;

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use moue::base::error::Result;
use moue::run::exchange::Tensors;
use moue_kernels::{Pooling, max_pooling, mean_pooling};

use super::layers::{Scaled, damaged, take, values};
use super::{fingerprint, onnx, tfjs};

/// How many numbers a face becomes.
pub const LENGTH: usize = 128;
/// The colour that training took for the middle, RGB in 0..255.
const MEAN: [f32; 3] = [122.782, 117.001, 104.298];
/// The name of the first layer.
const STEM: &str = "conv32_down";
/// The blocks after it: name, channels in and out. Those named `down` halve the sides.
const BLOCKS: [(&str, usize, usize); 14] = [
    ("conv32_1", 32, 32),
    ("conv32_2", 32, 32),
    ("conv32_3", 32, 32),
    ("conv64_down", 32, 64),
    ("conv64_1", 64, 64),
    ("conv64_2", 64, 64),
    ("conv64_3", 64, 64),
    ("conv128_down", 64, 128),
    ("conv128_1", 128, 128),
    ("conv128_2", 128, 128),
    ("conv256_down", 128, 256),
    ("conv256_1", 256, 256),
    ("conv256_2", 256, 256),
    ("conv256_down_out", 256, 256),
];

/// The network.
#[derive(Debug, Clone)]
pub struct FaceRecognitionNet {
    stem: Scaled,
    blocks: Vec<Block>,
    /// `[256, 128]`.
    last: Tensor<2>,
    fingerprint: String,
}

#[derive(Debug, Clone)]
struct Block {
    first: Scaled,
    second: Scaled,
    down: bool,
}

impl FaceRecognitionNet {
    /// Width and height of the images that the network sees, in pixels.
    pub const SIDE: u32 = 150;

    /// The network of the package's `face_recognition_model-weights_manifest.json` and `face_recognition_model.bin`.
    ///
    /// # Errors
    /// [`moue::base::error::Error::Weights`] naming `path` when they do not hold this network whole.
    pub fn from_tfjs(manifest: &[u8], shard: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let tensors = tfjs::read(manifest, shard, path)?;
        Self::from_tensors(&tensors, fingerprint("face-api-recognition", &[manifest, shard]), path, device)
    }

    /// The network of an ONNX file that holds it with its layers in their order, each a convolution, a factor and a term.
    ///
    /// # Errors
    /// [`moue::base::error::Error::Weights`] naming `path` when it does not hold this network whole.
    pub fn from_onnx(file: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let tensors = named(&onnx::read(file, path)?, path)?;
        Self::from_tensors(&tensors, fingerprint("face-api-recognition", &[file]), path, device)
    }

    /// From tensors by the names of the package, with PyTorch's axes.
    fn from_tensors(tensors: &Tensors, fingerprint: String, path: &Path, device: &Device) -> Result<Self> {
        let layer = |name: String, [outputs, inputs, kernel]: [usize; 3]| {
            let part = |part: &str| take(tensors, &format!("{name}/{part}"), [outputs], path, device);
            let filters = format!("{name}/conv/filters");
            let weight = take(tensors, &filters, [outputs, inputs, kernel, kernel], path, device)?;
            let (bias, scale, shift) = (part("conv/bias")?, part("scale/weights")?, part("scale/biases")?);
            Ok(Scaled::new(weight, scale.clone(), bias * scale + shift))
        };
        let block = |(name, inputs, outputs): (&str, usize, usize)| {
            let first = layer(format!("{name}/conv1"), [outputs, inputs, 3])?;
            let second = layer(format!("{name}/conv2"), [outputs, outputs, 3])?;
            Ok(Block { first, second, down: name.contains("down") })
        };
        Ok(Self {
            stem: layer(STEM.to_string(), [32, 3, 7])?,
            blocks: BLOCKS.into_iter().map(block).collect::<Result<_>>()?,
            last: take(tensors, "fc", [256, LENGTH], path, device)?,
            fingerprint,
        })
    }

    /// 128 numbers for each image of 150 x 150 pixels that shows a face from brow to chin.
    pub fn forward(&self, images: &[RgbImage]) -> Vec<[f32; LENGTH]> {
        let side = Self::SIDE as usize;
        let mut pixels = Vec::with_capacity(images.len() * 3 * side * side);
        for image in images {
            for (channel, mean) in MEAN.into_iter().enumerate() {
                pixels.extend(image.pixels().map(|pixel| (f32::from(pixel.0[channel]) - mean) / 255.0));
            }
        }
        let data = TensorData::new(pixels, [images.len(), 3, side, side]);
        let x = Tensor::<4>::from_data(data, &self.last.device());
        let x = relu(self.stem.forward(x, 2, 0)); // [batch, 32, 72, 72]
        let mut x = max_pooling(x, Pooling::new(3, 2)); // [batch, 32, 35, 35]
        for block in &self.blocks {
            x = block.forward(x); // down: [batch, 64, 17, 17], [batch, 128, 8, 8], [batch, 256, 4, 4], [batch, 256, 2, 2]
        }
        let means = x.reshape([images.len() as i32, 256, -1]).mean_dim(2).reshape([images.len(), 256]);
        let rows = values(means.matmul(self.last.clone())); // [batch, 128]
        rows.chunks_exact(LENGTH).map(|row| std::array::from_fn(|index| row[index])).collect()
    }

    /// Its name and the sum of the files that it is from.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl Block {
    /// `[batch, in, n, n] -> [batch, out, n, n]`, or to half of the sides.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (stride, padding) = if self.down { (2, 0) } else { (1, 1) };
        let y = relu(self.first.forward(x.clone(), stride, padding));
        let y = self.second.forward(y, 1, 1);
        if !self.down {
            return relu(y + x);
        }
        // dlib adds what differs in size: channels that the mean lacks are 0, and so is the last row and column of the
        // convolution where the mean, which needs one pixel less, has one more.
        let mean = mean_pooling(x, Pooling::new(2, 2));
        let [_, channels, ..] = y.dims();
        let [_, _, height, width] = mean.dims();
        relu(extended(extended(y, 2, height), 3, width) + extended(mean, 1, channels))
    }
}

/// Zeros after a tensor's values so that it has this length in a dimension.
fn extended(x: Tensor<4>, dimension: usize, length: usize) -> Tensor<4> {
    let mut shape = x.dims();
    if shape[dimension] == length {
        return x;
    }
    shape[dimension] = length - shape[dimension];
    let zeros = Tensor::zeros(shape, &x.device());
    Tensor::cat(vec![x, zeros], dimension)
}

/// A graph's constants under the package's names: they come in the order of the layers.
fn named(graph: &onnx::Graph, path: &Path) -> Result<Tensors> {
    let blocks = BLOCKS.iter().flat_map(|(name, ..)| [format!("{name}/conv1"), format!("{name}/conv2")]);
    let mut names = std::iter::once(STEM.to_string()).chain(blocks);
    let mut tensors = Tensors::default();
    let mut layer = String::new();
    for node in &graph.nodes {
        let mut constants = node.inputs.iter().filter_map(|input| graph.constants.get(input));
        let mut keep = |name: String, flat: bool| {
            if let Some((shape, values)) = constants.next() {
                let shape = if flat { vec![values.len()] } else { shape.clone() };
                tensors.values.insert(name, (shape, values.clone()));
            }
        };
        match node.operation.as_str() {
            "Conv" => {
                let surplus = || damaged(path, "this network has more layers than face recognition");
                layer = names.next().ok_or_else(surplus)?;
                keep(format!("{layer}/conv/filters"), false);
                keep(format!("{layer}/conv/bias"), true);
            }
            "Mul" if !layer.is_empty() => keep(format!("{layer}/scale/weights"), true),
            "Add" if !layer.is_empty() => keep(format!("{layer}/scale/biases"), true),
            "MatMul" => keep("fc".to_string(), false),
            _ => {}
        }
    }
    Ok(tensors)
}

/// The Euclidean distance of two faces, from 0: alike.
pub fn distance(first: &[f32; LENGTH], second: &[f32; LENGTH]) -> f32 {
    let squares = first.iter().zip(second).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt() as f32
}
