//! An image as Inception-v3 sees it: 299 x 299 numbers in -1..1 a channel, in one of two conventions that must not be
//! mixed: scores of the one say nothing beside scores of the other.

use std::fmt;

use image::RgbImage;

use super::inception::SIDE;

/// How images are brought to 299 x 299.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resize {
    /// As pytorch-fid does: bilinear, corners not aligned, without antialiasing; then 2 x / 255 - 1.
    #[default]
    PytorchFid,
    /// As clean-fid 0.1.35 does in its mode `clean`: Pillow's bicubic on floats, antialiased, cut to 0..255; then
    /// (x - 128) / 128. Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", arXiv
    /// 2104.11222.
    Clean,
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PytorchFid => "pytorch-fid",
            Self::Clean => "clean",
        })
    }
}

impl Resize {
    /// The network's input for an image, `[3, 299, 299]`, plane after plane.
    pub fn values(self, image: &RgbImage) -> Vec<f32> {
        let mut values = Vec::with_capacity(3 * SIDE * SIDE);
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (columns, rows) = (self.taps(width), self.taps(height));
        for channel in 0..3 {
            let plane: Vec<f32> = image.pixels().map(|pixel| f32::from(pixel.0[channel])).collect();
            let narrow: Vec<f32> = plane
                .chunks_exact(width)
                .flat_map(|line| columns.iter().map(|tap| tap.of(line, 0, 1)))
                .collect();
            for row in &rows {
                values.extend((0..SIDE).map(|column| self.scaled(row.of(&narrow, column, SIDE))));
            }
        }
        values
    }

    /// What each of 299 positions along a side of `length` pixels sees.
    fn taps(self, length: usize) -> Vec<Taps> {
        match self {
            Self::PytorchFid => (0..SIDE).map(|position| Taps::linear(position, length)).collect(),
            Self::Clean => (0..SIDE).map(|position| Taps::cubic(position, length)).collect(),
        }
    }

    /// A value in 0..255 as the network takes it.
    fn scaled(self, value: f32) -> f32 {
        match self {
            Self::PytorchFid => 2.0 * (value / 255.0) - 1.0,
            Self::Clean => (value.clamp(0.0, 255.0) - 128.0) / 128.0,
        }
    }
}

/// Some neighbours and their weights, which add up to 1.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

impl Taps {
    /// PyTorch's `interpolate(mode="bilinear", align_corners=False)`, which finds places in f32.
    fn linear(position: usize, length: usize) -> Self {
        let scale = length as f32 / SIDE as f32;
        let place = (scale * (position as f32 + 0.5) - 0.5).max(0.0);
        let first = (place as usize).min(length - 1);
        if first == length - 1 {
            return Self { first, weights: vec![1.0] };
        }
        let second = place - first as f32;
        Self { first, weights: vec![(1.0 - second).into(), second.into()] }
    }

    /// Pillow's `resize(resample=BICUBIC)`: the cubic with a = -0.5, as wide as the step where the image shrinks.
    fn cubic(position: usize, length: usize) -> Self {
        let scale = length as f64 / SIDE as f64;
        let width = scale.max(1.0);
        let (centre, support) = ((position as f64 + 0.5) * scale, 2.0 * width);
        let first = (centre - support + 0.5).max(0.0) as usize;
        let last = ((centre + support + 0.5) as usize).min(length);
        let weight = |n: usize| cubic((n as f64 - centre + 0.5) / width);
        let sum: f64 = (first..last).map(weight).sum();
        Self { first, weights: (first..last).map(|n| weight(n) / sum).collect() }
    }

    /// The weighted sum of `values[start]`, `values[start + step]`, …
    fn of(&self, values: &[f32], start: usize, step: usize) -> f32 {
        let seen = values[start + self.first * step..].iter().step_by(step);
        self.weights.iter().zip(seen).map(|(weight, value)| weight * f64::from(*value)).sum::<f64>() as f32
    }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}
