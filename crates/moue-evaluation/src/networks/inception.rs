//! Inception-v3 as the Fréchet inception distance uses it: TensorFlow's network of 2015-12-05, up to its last pooling.
//!
//! Paper: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567; its use for FID:
//! Heusel et al., arXiv 1706.08500. Reference implementation: pytorch-fid 0.3.0, `inception.py`, whose names the tensors
//! have. It differs from torchvision's Inception-v3: average pools leave the padding out, `Mixed_7c` pools by maximum,
//! batch norm has eps 1e-3.
//!
//! Deviations: batch norm is folded into the convolutions, in f64, when the weights are loaded; where a mean is followed
//! by a 1 x 1 convolution, the convolution comes first.

use std::path::Path;

use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, TensorData, activation::relu};
use image::RgbImage;
use moue::base::device::describe;
use moue::base::error::{Error, Result};
use moue::run::exchange::Tensors;
use moue_kernels::{Pooling, convolution, max_pooling, mean_pooling};
use rayon::prelude::*;

use super::inception_weights::EPSILON;
use super::resize::Resize;
use crate::images::Extractor;
use crate::weights::Weights;

/// Length of a feature vector.
pub const DIMENSIONS: usize = 2048;

/// Width and height of the images that the network sees.
pub const SIDE: usize = 299;

/// The network, with batch norm folded in.
#[derive(Debug, Clone)]
pub struct Inception {
    stem: [Unit; 5],
    small: [BlockA; 3],
    halve: BlockB,
    middle: [BlockC; 4],
    quarter: BlockD,
    large: [BlockE; 2],
    device: Device,
    sha256: String,
}

impl Inception {
    /// The network with these weights.
    ///
    /// # Errors
    /// [`Error::Weights`] naming the first tensor that is missing or of another shape.
    pub fn new(weights: &Weights, device: &Device) -> Result<Self> {
        let loader = Loader { tensors: &weights.tensors, source: &weights.source, device };
        let a = |name, inputs, pooled| BlockA::load(&loader, name, inputs, pooled);
        let c = |name, width| BlockC::load(&loader, name, width);
        Ok(Self {
            stem: [
                loader.unit("Conv2d_1a_3x3", [32, 3, 3, 3], 2, [0, 0])?,
                loader.unit("Conv2d_2a_3x3", [32, 32, 3, 3], 1, [0, 0])?,
                loader.unit("Conv2d_2b_3x3", [64, 32, 3, 3], 1, [1, 1])?,
                loader.unit("Conv2d_3b_1x1", [80, 64, 1, 1], 1, [0, 0])?,
                loader.unit("Conv2d_4a_3x3", [192, 80, 3, 3], 1, [0, 0])?,
            ],
            small: [a("Mixed_5b", 192, 32)?, a("Mixed_5c", 256, 64)?, a("Mixed_5d", 288, 64)?],
            halve: BlockB::load(&loader)?,
            middle: [c("Mixed_6b", 128)?, c("Mixed_6c", 160)?, c("Mixed_6d", 160)?, c("Mixed_6e", 192)?],
            quarter: BlockD::load(&loader)?,
            large: [
                BlockE::load(&loader, "Mixed_7b", 1280, Pool::Average)?,
                BlockE::load(&loader, "Mixed_7c", 2048, Pool::Maximum)?,
            ],
            device: device.clone(),
            sha256: weights.sha256.clone(),
        })
    }

    /// Digest of the weights.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The device that the network is on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Features of images `[n, 3, 299, 299]` in -1..1: `[n, 2048]`, none below 0.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let [first, second, third, fourth, fifth] = &self.stem;
        let x = third.forward(second.forward(first.forward(images))); // [n, 64, 147, 147]
        let x = fourth.forward(halved(x)); //                            [n, 80, 73, 73]
        let x = halved(fifth.forward(x)); //                             [n, 192, 35, 35]
        let x = self.small.iter().fold(x, |x, block| block.forward(x)); // [n, 288, 35, 35]
        let x = self.halve.forward(x); //                                [n, 768, 17, 17]
        let x = self.middle.iter().fold(x, |x, block| block.forward(x)); // [n, 768, 17, 17]
        let x = self.quarter.forward(x); //                              [n, 1280, 8, 8]
        let x = self.large.iter().fold(x, |x, block| block.forward(x)); // [n, 2048, 8, 8]
        let [n, channels, height, width] = x.dims();
        x.reshape([n, channels, height * width]).mean_dim(2).reshape([n, channels])
    }
}

/// Convolution, batch norm folded in, and ReLU.
#[derive(Debug, Clone)]
struct Unit {
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    padding: [usize; 2],
}

impl Unit {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.linear(x))
    }

    /// A pooling and then this unit, which is 1 x 1. A mean and a 1 x 1 convolution may change places, and there are
    /// far fewer maps to take the mean of after it.
    fn forward_pooled(&self, x: Tensor<4>, pool: Pool) -> Tensor<4> {
        match pool {
            Pool::Average => relu(pool.forward(self.linear(x))),
            Pool::Maximum => self.forward(pool.forward(x)),
        }
    }

    fn linear(&self, x: Tensor<4>) -> Tensor<4> {
        let [vertical, horizontal] = self.padding;
        let (x, padding) = if vertical == horizontal {
            (x, vertical)
        } else {
            let borders = (horizontal, horizontal, vertical, vertical);
            (x.pad(borders, PadMode::Constant(0.0)), 0)
        };
        convolution(x, self.weight.clone(), Some(self.bias.clone()), self.stride, padding)
    }
}

fn chain(x: Tensor<4>, units: &[Unit]) -> Tensor<4> {
    units.iter().fold(x, |x, unit| unit.forward(x))
}

/// Figure 5 of the paper, as TensorFlow's network has it: 35 x 35 positions.
#[derive(Debug, Clone)]
struct BlockA {
    single: Unit,
    five: [Unit; 2],
    three: [Unit; 3],
    pool: Unit,
}

impl BlockA {
    fn load(loader: &Loader<'_>, name: &str, inputs: usize, pooled: usize) -> Result<Self> {
        let unit = |layer: &str, shape, padding| loader.unit(&format!("{name}.{layer}"), shape, 1, padding);
        Ok(Self {
            single: unit("branch1x1", [64, inputs, 1, 1], [0, 0])?,
            five: [
                unit("branch5x5_1", [48, inputs, 1, 1], [0, 0])?,
                unit("branch5x5_2", [64, 48, 5, 5], [2, 2])?,
            ],
            three: [
                unit("branch3x3dbl_1", [64, inputs, 1, 1], [0, 0])?,
                unit("branch3x3dbl_2", [96, 64, 3, 3], [1, 1])?,
                unit("branch3x3dbl_3", [96, 96, 3, 3], [1, 1])?,
            ],
            pool: unit("branch_pool", [pooled, inputs, 1, 1], [0, 0])?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let pooled = self.pool.forward_pooled(x.clone(), Pool::Average);
        let branches = [chain(x.clone(), &self.five), chain(x.clone(), &self.three), pooled];
        Tensor::cat([vec![self.single.forward(x)], branches.into()].concat(), 1)
    }
}

/// From 35 x 35 to 17 x 17 positions, `Mixed_6a`.
#[derive(Debug, Clone)]
struct BlockB {
    three: Unit,
    double: [Unit; 3],
}

impl BlockB {
    fn load(loader: &Loader<'_>) -> Result<Self> {
        let unit = |layer: &str, shape, stride, padding| {
            loader.unit(&format!("Mixed_6a.{layer}"), shape, stride, [padding; 2])
        };
        Ok(Self {
            three: unit("branch3x3", [384, 288, 3, 3], 2, 0)?,
            double: [
                unit("branch3x3dbl_1", [64, 288, 1, 1], 1, 0)?,
                unit("branch3x3dbl_2", [96, 64, 3, 3], 1, 1)?,
                unit("branch3x3dbl_3", [96, 96, 3, 3], 2, 0)?,
            ],
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let branches = vec![self.three.forward(x.clone()), chain(x.clone(), &self.double), halved(x)];
        Tensor::cat(branches, 1)
    }
}

/// Figure 6 of the paper with n = 7: 17 x 17 positions.
#[derive(Debug, Clone)]
struct BlockC {
    single: Unit,
    seven: [Unit; 3],
    double: [Unit; 5],
    pool: Unit,
}

impl BlockC {
    fn load(loader: &Loader<'_>, name: &str, width: usize) -> Result<Self> {
        let point =
            |layer: &str, outputs| loader.unit(&format!("{name}.{layer}"), [outputs, 768, 1, 1], 1, [0, 0]);
        let row =
            |layer: &str, outputs| loader.unit(&format!("{name}.{layer}"), [outputs, width, 1, 7], 1, [0, 3]);
        let column =
            |layer: &str, outputs| loader.unit(&format!("{name}.{layer}"), [outputs, width, 7, 1], 1, [3, 0]);
        Ok(Self {
            single: point("branch1x1", 192)?,
            seven: [point("branch7x7_1", width)?, row("branch7x7_2", width)?, column("branch7x7_3", 192)?],
            double: [
                point("branch7x7dbl_1", width)?,
                column("branch7x7dbl_2", width)?,
                row("branch7x7dbl_3", width)?,
                column("branch7x7dbl_4", width)?,
                row("branch7x7dbl_5", 192)?,
            ],
            pool: point("branch_pool", 192)?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let pooled = self.pool.forward_pooled(x.clone(), Pool::Average);
        let branches = [chain(x.clone(), &self.seven), chain(x.clone(), &self.double), pooled];
        Tensor::cat([vec![self.single.forward(x)], branches.into()].concat(), 1)
    }
}

/// From 17 x 17 to 8 x 8 positions, `Mixed_7a`.
#[derive(Debug, Clone)]
struct BlockD {
    three: [Unit; 2],
    seven: [Unit; 4],
}

impl BlockD {
    fn load(loader: &Loader<'_>) -> Result<Self> {
        let unit = |layer: &str, shape, stride, padding| {
            loader.unit(&format!("Mixed_7a.{layer}"), shape, stride, padding)
        };
        Ok(Self {
            three: [
                unit("branch3x3_1", [192, 768, 1, 1], 1, [0, 0])?,
                unit("branch3x3_2", [320, 192, 3, 3], 2, [0, 0])?,
            ],
            seven: [
                unit("branch7x7x3_1", [192, 768, 1, 1], 1, [0, 0])?,
                unit("branch7x7x3_2", [192, 192, 1, 7], 1, [0, 3])?,
                unit("branch7x7x3_3", [192, 192, 7, 1], 1, [3, 0])?,
                unit("branch7x7x3_4", [192, 192, 3, 3], 2, [0, 0])?,
            ],
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![chain(x.clone(), &self.three), chain(x.clone(), &self.seven), halved(x)], 1)
    }
}

/// Figure 7 of the paper: 8 x 8 positions.
#[derive(Debug, Clone)]
struct BlockE {
    single: Unit,
    three: Unit,
    three_ends: [Unit; 2],
    double: [Unit; 2],
    double_ends: [Unit; 2],
    kind: Pool,
    pool: Unit,
}

impl BlockE {
    fn load(loader: &Loader<'_>, name: &str, inputs: usize, kind: Pool) -> Result<Self> {
        let unit = |layer: &str, shape, padding| loader.unit(&format!("{name}.{layer}"), shape, 1, padding);
        let ends = |row: &str, column: &str| -> Result<[Unit; 2]> {
            Ok([unit(row, [384, 384, 1, 3], [0, 1])?, unit(column, [384, 384, 3, 1], [1, 0])?])
        };
        Ok(Self {
            single: unit("branch1x1", [320, inputs, 1, 1], [0, 0])?,
            three: unit("branch3x3_1", [384, inputs, 1, 1], [0, 0])?,
            three_ends: ends("branch3x3_2a", "branch3x3_2b")?,
            double: [
                unit("branch3x3dbl_1", [448, inputs, 1, 1], [0, 0])?,
                unit("branch3x3dbl_2", [384, 448, 3, 3], [1, 1])?,
            ],
            double_ends: ends("branch3x3dbl_3a", "branch3x3dbl_3b")?,
            kind,
            pool: unit("branch_pool", [192, inputs, 1, 1], [0, 0])?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let three = self.three.forward(x.clone());
        let double = chain(x.clone(), &self.double);
        let mut branches = vec![self.single.forward(x.clone())];
        branches.extend(self.three_ends.iter().map(|unit| unit.forward(three.clone())));
        branches.extend(self.double_ends.iter().map(|unit| unit.forward(double.clone())));
        branches.push(self.pool.forward_pooled(x, self.kind));
        Tensor::cat(branches, 1)
    }
}

/// How a block pools 3 x 3 positions at stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pool {
    /// The mean of those that lie in the image.
    Average,
    /// The largest.
    Maximum,
}

impl Pool {
    fn forward(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Average => mean_pooling(x, Pooling::around(3)),
            Self::Maximum => max_pooling(x, Pooling::around(3)),
        }
    }
}

/// The largest of 3 x 3 positions at stride 2.
fn halved(x: Tensor<4>) -> Tensor<4> {
    max_pooling(x, Pooling::new(3, 2))
}

/// Takes tensors out of a file.
struct Loader<'a> {
    tensors: &'a Tensors,
    source: &'a Path,
    device: &'a Device,
}

impl Loader<'_> {
    /// The convolution `name` of shape `[out, in, height, width]` with its batch norm folded in.
    fn unit(&self, name: &str, shape: [usize; 4], stride: usize, padding: [usize; 2]) -> Result<Unit> {
        let norm = |part: &str| self.take(&format!("{name}.bn.{part}"), &shape[..1]);
        let weight = self.take(&format!("{name}.conv.weight"), &shape)?;
        let (scale, shift) = (norm("weight")?, norm("bias")?);
        let (mean, variance) = (norm("running_mean")?, norm("running_var")?);
        let factor: Vec<f64> = scale
            .iter()
            .zip(variance)
            .map(|(scale, variance)| f64::from(*scale) / (f64::from(*variance) + EPSILON).sqrt())
            .collect();
        let taps = weight.len() / shape[0];
        let folded: Vec<f32> = weight
            .chunks_exact(taps)
            .zip(&factor)
            .flat_map(|(taps, factor)| taps.iter().map(move |tap| (f64::from(*tap) * factor) as f32))
            .collect();
        let bias: Vec<f32> =
            (0..shape[0]).map(|n| (f64::from(shift[n]) - f64::from(mean[n]) * factor[n]) as f32).collect();
        Ok(Unit {
            weight: Tensor::from_data(TensorData::new(folded, shape), self.device),
            bias: Tensor::from_data(TensorData::new(bias, [shape[0]]), self.device),
            stride,
            padding,
        })
    }

    fn take(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let problem = match self.tensors.values.get(name) {
            Some((stored, values)) if stored == shape => return Ok(values),
            Some((stored, _)) => format!("{name} is {stored:?} in the file, and {shape:?} in Inception-v3"),
            None => format!("{name} is missing"),
        };
        let hint = "use the weights that pytorch-fid uses: TensorFlow's of 2015-12-05 under its names";
        Err(Error::weights(self.source, problem, hint))
    }
}

/// Inception-v3 behind one way of resizing: features of images of any size.
#[derive(Debug, Clone)]
pub struct InceptionFeatures {
    /// The network.
    pub network: Inception,
    /// How images are brought to its size.
    pub resize: Resize,
}

impl InceptionFeatures {
    /// What features and statistics of them may be compared by: digest of the weights and resize.
    pub fn origin(&self) -> String {
        format!("Inception-v3 {}, resize {}", &self.network.sha256, self.resize)
    }
}

impl Extractor for InceptionFeatures {
    fn identity(&self) -> String {
        format!("{} on {}", self.origin(), describe(&self.network.device))
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn extract(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        let inputs: Vec<Vec<f32>> = images.par_iter().map(|image| self.resize.values(image)).collect();
        let data = TensorData::new(inputs.concat(), [images.len(), 3, SIDE, SIDE]);
        let features = self.network.features(Tensor::from_data(data, &self.network.device));
        let unread =
            |error| Error::device(format!("the features cannot be read ({error:?})"), "use --device cpu");
        features.into_data().convert::<f32>().try_into_vec().map_err(unread)
    }
}
