//! The part of a face square that the networks want to see, at their sizes.
//!
//! They want a face from brow to chin, and not the whole square: asked about the whole, face-api reads .50 of the true
//! images of the 81 people of the Face Research Lab London Set, and of this box .69. The resampling is Pillow's, bit for
//! bit, so that figures can be compared with those of Python scripts around the same networks.

use std::ops::Range;

use image::{GrayImage, RgbImage};

/// A square box of a face square, in parts of its sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceBox {
    /// From the left edge.
    pub left: f64,
    /// From the top edge.
    pub top: f64,
    /// Width and height.
    pub side: f64,
}

/// The face in moue's framing, with the eyes at 0.42 of the height and 0.25 of the width apart: 0.168 from the left,
/// 0.227 from the top, 0.664 wide and high. One of several boxes that give, on true images, the figures known of them; no
/// synthesised image was looked at to choose it, and boxes a few pixels off read between .68 and .72.
pub const FACE: FaceBox = FaceBox { left: 43.0 / 256.0, top: 58.0 / 256.0, side: 170.0 / 256.0 };

/// How far the other four of [`FIVE`] are moved: 4 pixels of 256.
const MOVED: f64 = 4.0 / 256.0;

/// [`FACE`], and the same moved to the left, right, top and bottom. A classifier's figure over one box jumps by .02 to
/// .05 with its place; the mean over these five is steadier.
pub const FIVE: [FaceBox; 5] = [
    FACE,
    FaceBox { left: FACE.left - MOVED, ..FACE },
    FaceBox { left: FACE.left + MOVED, ..FACE },
    FaceBox { top: FACE.top - MOVED, ..FACE },
    FaceBox { top: FACE.top + MOVED, ..FACE },
];

/// Bits after the point of Pillow's weights.
const PRECISION: u32 = 32 - 8 - 2;

impl FaceBox {
    /// The box of a face square at `side` x `side` pixels, bilinear and antialiased.
    pub fn cut(&self, square: &RgbImage, side: u32) -> RgbImage {
        let bytes = self.resampled(square.as_raw(), square.dimensions(), 3, side);
        RgbImage::from_raw(side, side, bytes).expect("the buffer has the size of the image")
    }

    /// The same of the square's brightness, by ITU-R 601-2 as Pillow has it.
    pub fn cut_grey(&self, square: &RgbImage, side: u32) -> GrayImage {
        let brightness = |[r, g, b]: [u8; 3]| {
            ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
        };
        let grey: Vec<_> = square.pixels().map(|pixel| brightness(pixel.0)).collect();
        let bytes = self.resampled(&grey, square.dimensions(), 1, side);
        GrayImage::from_raw(side, side, bytes).expect("the buffer has the size of the image")
    }

    /// First along the rows, then along the columns, rounded to bytes in between.
    fn resampled(&self, pixels: &[u8], (width, height): (u32, u32), channels: usize, side: u32) -> Vec<u8> {
        if width == 0 || height == 0 {
            return vec![0; channels * (side * side) as usize];
        }
        let columns = taps(self.left * f64::from(width), self.side * f64::from(width), width, side);
        let rows = taps(self.top * f64::from(height), self.side * f64::from(height), height, side);
        let (width, side) = (width as usize, side as usize);
        let first = rows.first().map_or(0, |row| row.places.start);
        let last = rows.last().map_or(0, |row| row.places.end);
        let mut narrow = Vec::with_capacity(channels * side * (last - first));
        for line in pixels[first * width * channels..last * width * channels].chunks_exact(width * channels) {
            for taps in &columns {
                narrow
                    .extend((0..channels).map(|channel| taps.sum(|place| line[place * channels + channel])));
            }
        }
        let length = side * channels;
        let value = |taps: &Taps, at: usize| taps.sum(|place| narrow[(place - first) * length + at]);
        rows.iter().flat_map(|taps| (0..length).map(move |at| value(taps, at))).collect()
    }
}

/// What one pixel of the result is made of: where in a row or column, and with which weights.
struct Taps {
    places: Range<usize>,
    weights: Vec<i32>,
}

impl Taps {
    fn sum(&self, byte: impl Fn(usize) -> u8) -> u8 {
        let weighted =
            self.places.clone().zip(&self.weights).map(|(place, weight)| i32::from(byte(place)) * weight);
        let sum = (1 << (PRECISION - 1)) + weighted.sum::<i32>();
        (sum >> PRECISION).clamp(0, 255) as u8
    }
}

/// Pillow's `precompute_coeffs` for the bilinear filter: a triangle as wide as a pixel of the result or of the source,
/// whichever is larger, cut off where the box ends.
fn taps(start: f64, length: f64, pixels: u32, side: u32) -> Vec<Taps> {
    let limit = f64::from(pixels);
    // A part of a pixel counts as the whole, and a box may not leave the image.
    let low = (start + 1e-9).floor().clamp(0.0, limit - 1.0);
    let high = (start + length - 1e-9).ceil().clamp(low + 1.0, limit);
    let (count, scale) = (high - low, length / f64::from(side));
    let support = scale.max(1.0);
    let one = |index: u32| {
        let middle = start - low + (f64::from(index) + 0.5) * scale;
        let begin = (middle - support + 0.5).trunc().clamp(0.0, count - 1.0);
        let end = (middle + support + 0.5).trunc().clamp(begin + 1.0, count);
        let place = |tap: usize| (tap as f64 + begin - middle + 0.5) / support;
        let weights: Vec<_> =
            (0..(end - begin) as usize).map(|tap| (1.0 - place(tap).abs()).max(0.0)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (0.5 + weight / sum * f64::from(1 << PRECISION)).trunc() as i32;
        // Outside of the image there is no weight at all; its edge goes on.
        let weights = if sum > 0.0 { weights.iter().map(fixed).collect() } else { vec![1 << PRECISION] };
        let begin = (low + begin) as usize;
        Taps { places: begin..begin + weights.len(), weights }
    };
    (0..side).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use safetensors::SafeTensors;

    #[test]
    fn boxes_are_what_pillow_cuts() {
        let file = include_bytes!("../../../golden/judges.safetensors");
        let golden = SafeTensors::deserialize(file).unwrap();
        let bytes = |name: &str| golden.tensor(name).unwrap().data().to_vec();
        let face = RgbImage::from_raw(96, 96, bytes("box.input")).unwrap();
        for index in 0..3 {
            let stated = bytes(&format!("box.{index}.box"));
            let stated: Vec<_> =
                stated.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect();
            let [left, top, right, _, side] = stated[..] else { panic!("five numbers") };
            let part = FaceBox { left: left / 96.0, top: top / 96.0, side: (right - left) / 96.0 };
            assert!(part.cut(&face, side as u32).into_raw() == bytes(&format!("box.{index}.rgb")), "{index}");
            assert!(
                part.cut_grey(&face, side as u32).into_raw() == bytes(&format!("box.{index}.grey")),
                "{index}"
            );
        }
    }

    #[test]
    fn the_box_is_the_same_part_of_a_square_of_any_size() {
        // Brightness is the place itself, in parts of the side: the box must begin and end where it says.
        for size in [64u32, 100, 256, 501] {
            let ramp = RgbImage::from_fn(size, size, |x, y| {
                let part = |place: u32| ((f64::from(place) + 0.5) / f64::from(size) * 255.0).round() as u8;
                Rgb([part(x), part(y), 7])
            });
            let cut = FACE.cut(&ramp, 112);
            for (x, y, pixel) in cut.enumerate_pixels() {
                let expected =
                    |start: f64, place: u32| (start + (f64::from(place) + 0.5) / 112.0 * FACE.side) * 255.0;
                // Two roundings, and near the edge the kernel is cut off by up to a pixel.
                let tolerance = if (2..110).contains(&x) && (2..110).contains(&y) { 1.6 } else { 3.0 };
                assert!(
                    (f64::from(pixel.0[0]) - expected(FACE.left, x)).abs() < tolerance,
                    "{size} {x} {pixel:?}"
                );
                assert!(
                    (f64::from(pixel.0[1]) - expected(FACE.top, y)).abs() < tolerance,
                    "{size} {y} {pixel:?}"
                );
                assert_eq!(pixel.0[2], 7);
            }
        }
    }

    #[test]
    fn no_image_is_too_small() {
        for (width, height) in [(1, 1), (2, 3), (5, 1), (40, 1)] {
            let image = RgbImage::from_pixel(width, height, Rgb([90, 90, 90]));
            for part in FIVE {
                assert!(part.cut(&image, 64).pixels().all(|pixel| pixel.0 == [90; 3]), "{width} x {height}");
            }
        }
        assert_eq!(FACE.cut(&RgbImage::new(0, 0), 4), RgbImage::new(4, 4));
    }
}
