//! A photo's pixels exactly as its file stores them: 8 or 16 bits, grey or colour, with or without alpha.

use std::borrow::Cow;
use std::ops::Range;

use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

/// Samples of an image, row after row, the channels of a pixel side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// 0..=255.
    Eight(Vec<u8>),
    /// 0..=65535, in the machine's byte order.
    Sixteen(Vec<u16>),
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Samples::Eight(samples) => samples.len(),
            Samples::Sixteen(samples) => samples.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pixels of one image. Channels are grey, grey and alpha, RGB, or RGBA; alpha is not multiplied into the colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    channels: u8,
    samples: Samples,
}

impl Pixels {
    /// Pixels from their samples.
    ///
    /// # Panics
    /// When a side is 0, `channels` is not in 1..=4, or the samples are not `width * height * channels`.
    pub fn new(width: u32, height: u32, channels: u8, samples: Samples) -> Self {
        assert!(width > 0 && height > 0, "an image has pixels");
        assert!((1..=4).contains(&channels), "an image has one to four channels");
        let expected = u64::from(width) * u64::from(height) * u64::from(channels);
        assert_eq!(samples.len() as u64, expected, "samples of {width} x {height} pixels");
        Self { width, height, channels, samples }
    }

    /// The pixels of a decoded image; 32-bit floating point becomes 16 bits.
    pub(super) fn from_decoded(image: DynamicImage) -> Self {
        use Samples::{Eight, Sixteen};
        let (width, height) = (image.width(), image.height());
        let (channels, samples) = match image {
            DynamicImage::ImageLuma8(image) => (1, Eight(image.into_raw())),
            DynamicImage::ImageLumaA8(image) => (2, Eight(image.into_raw())),
            DynamicImage::ImageRgb8(image) => (3, Eight(image.into_raw())),
            DynamicImage::ImageRgba8(image) => (4, Eight(image.into_raw())),
            DynamicImage::ImageLuma16(image) => (1, Sixteen(image.into_raw())),
            DynamicImage::ImageLumaA16(image) => (2, Sixteen(image.into_raw())),
            DynamicImage::ImageRgb16(image) => (3, Sixteen(image.into_raw())),
            DynamicImage::ImageRgba16(image) => (4, Sixteen(image.into_raw())),
            other if other.color().has_alpha() => (4, Sixteen(other.into_rgba16().into_raw())),
            other => (3, Sixteen(other.into_rgb16().into_raw())),
        };
        Self::new(width, height, channels, samples)
    }

    /// Pixels a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Samples a pixel: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
    pub fn channels(&self) -> usize {
        usize::from(self.channels)
    }

    /// How many of a pixel's first samples are its colour: 1 or 3. What follows is alpha.
    pub fn colours(&self) -> usize {
        if self.channels < 3 { 1 } else { 3 }
    }

    /// Whether the last sample of a pixel is its alpha.
    pub fn has_alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// Bits a sample: 8 or 16.
    pub fn bits(&self) -> u32 {
        match self.samples {
            Samples::Eight(_) => 8,
            Samples::Sixteen(_) => 16,
        }
    }

    /// The samples, row after row.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The samples, to be changed in place. Their number must stay.
    pub fn samples_mut(&mut self) -> &mut Samples {
        &mut self.samples
    }

    /// Memory of the samples, in bytes.
    pub fn bytes(&self) -> u64 {
        self.samples.len() as u64 * u64::from(self.bits() / 8)
    }

    /// Where the samples of these rows are.
    fn range(&self, rows: Range<u32>) -> Range<usize> {
        let row = self.width as usize * self.channels();
        rows.start as usize * row..rows.end as usize * row
    }

    /// The samples of some rows as 8 bits, rounded to the nearest.
    pub(super) fn eight(&self, rows: Range<u32>) -> Cow<'_, [u8]> {
        match &self.samples {
            Samples::Eight(samples) => Cow::Borrowed(&samples[self.range(rows)]),
            Samples::Sixteen(samples) => {
                let mut eight = vec![0; self.range(rows.clone()).len()];
                let wide = &samples[self.range(rows)];
                eight.par_chunks_mut(1 << 16).zip(wide.par_chunks(1 << 16)).for_each(|(eight, wide)| {
                    for (eight, wide) in eight.iter_mut().zip(wide) {
                        *eight = nearest(*wide);
                    }
                });
                Cow::Owned(eight)
            }
        }
    }

    /// The samples of some rows as 8 bits without alpha: pixels are laid over white by their alpha.
    pub(super) fn opaque_eight(&self, rows: Range<u32>) -> Cow<'_, [u8]> {
        let eight = self.eight(rows);
        if !self.has_alpha() {
            return eight;
        }
        let (channels, colours) = (self.channels(), self.colours());
        let mut opaque = Vec::with_capacity(eight.len() / channels * colours);
        for pixel in eight.chunks_exact(channels) {
            let alpha = u32::from(pixel[colours]);
            let over_white =
                |value: &u8| ((u32::from(*value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
            opaque.extend(pixel[..colours].iter().map(over_white));
        }
        Cow::Owned(opaque)
    }

    /// All samples as bytes, 16 bits in the byte order asked for, as files keep them.
    pub(super) fn file_bytes(&self, big_endian: bool) -> Cow<'_, [u8]> {
        match &self.samples {
            Samples::Eight(samples) => Cow::Borrowed(samples),
            Samples::Sixteen(samples) => {
                let mut bytes = vec![0; samples.len() * 2];
                bytes.par_chunks_mut(1 << 16).zip(samples.par_chunks(1 << 15)).for_each(
                    |(bytes, samples)| {
                        for (bytes, sample) in bytes.chunks_exact_mut(2).zip(samples) {
                            let pair = if big_endian { sample.to_be_bytes() } else { sample.to_le_bytes() };
                            bytes.copy_from_slice(&pair);
                        }
                    },
                );
                Cow::Owned(bytes)
            }
        }
    }
}

impl From<RgbImage> for Pixels {
    fn from(image: RgbImage) -> Self {
        Self::new(image.width(), image.height(), 3, Samples::Eight(image.into_raw()))
    }
}

/// 16 bits as the nearest 8: 65535 = 255 * 257.
fn nearest(sample: u16) -> u8 {
    ((u32::from(sample) + 128) / 257) as u8
}

/// A sample of 8 or 16 bits.
pub(super) trait Sample: Copy + Default + Send + Sync {
    /// The largest.
    const LARGEST: f32;
    /// As a number, 0 to [`Self::LARGEST`].
    fn number(self) -> f32;
    /// The nearest one.
    fn nearest(number: f32) -> Self;
}

impl Sample for u8 {
    const LARGEST: f32 = 255.0;

    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn nearest(number: f32) -> Self {
        (number + 0.5).clamp(0.0, Self::LARGEST) as u8
    }
}

impl Sample for u16 {
    const LARGEST: f32 = 65_535.0;

    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn nearest(number: f32) -> Self {
        (number + 0.5).clamp(0.0, Self::LARGEST) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_become_the_nearest_eight() {
        for sample in 0..=u16::MAX {
            assert_eq!(nearest(sample), (f64::from(sample) / 257.0).round() as u8);
        }
    }

    #[test]
    fn alpha_is_laid_over_white() {
        let pixels = Pixels::new(3, 1, 2, Samples::Eight(vec![0, 255, 0, 0, 100, 128]));
        assert_eq!(&*pixels.opaque_eight(0..1), [0, 255, 177]);
        assert_eq!((pixels.colours(), pixels.has_alpha()), (1, true));
    }
}
