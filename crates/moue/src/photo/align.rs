//! The square of a photo that shows a face as the networks know it, and its pixels.
//!
//! Coordinates are those of [`crate::photo`]: continuous, the first pixel's outer corner is (0, 0).

use std::ops::Range;

use image::RgbImage;
use moue_kernels::vectors::{Machine, Work, vectorised};
use rayon::prelude::*;

/// Where the line of the eyes lies in an aligned square, as a part of its height.
pub const EYE_LINE: f64 = 0.42;

/// How far apart the eyes are in an aligned square, as a part of its width.
pub const EYE_DISTANCE: f64 = 0.25;

/// A square of a photo: the point (u, v) of it, both in 0..1, lies at `origin + u across + v down`.
///
/// It may be rotated, and mirrored where the photo's pixels are stored so (EXIF orientation); across and down may
/// even differ in length or stand at another angle, for all methods take them as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceSquare {
    /// The corner (0, 0), in pixels.
    pub origin: [f64; 2],
    /// From the corner (0, 0) to the corner (1, 0), in pixels.
    pub across: [f64; 2],
    /// From the corner (0, 0) to the corner (0, 1), in pixels.
    pub down: [f64; 2],
}

impl FaceSquare {
    /// The square that frames a face as all data here is framed: level with the eyes, which lie at v = 0.42, a quarter
    /// of the width apart, with u = 0.5 between them. `left` and `right` are the centres of the eyes as seen in the
    /// image, in pixels; the square is empty when they coincide.
    pub fn from_eyes(left: [f64; 2], right: [f64; 2]) -> Self {
        Self::framing(left, right, EYE_DISTANCE, [0.5, EYE_LINE])
    }

    /// The square, level with two points of the photo, that has them `distance` of its width apart and the middle
    /// between them at `middle`, its (u, v).
    pub(super) fn framing(left: [f64; 2], right: [f64; 2], distance: f64, middle: [f64; 2]) -> Self {
        let across = [0, 1].map(|axis| (right[axis] - left[axis]) / distance);
        let down = [-across[1], across[0]];
        let [u, v] = middle;
        let origin = [0, 1].map(|axis| (left[axis] + right[axis]) / 2.0 - u * across[axis] - v * down[axis]);
        Self { origin, across, down }
    }

    /// The middle square of an image of this width and height: all of it, where it is itself a face square.
    pub fn middle_of((width, height): (u32, u32)) -> Self {
        let (width, height) = (f64::from(width), f64::from(height));
        let side = width.min(height);
        let origin = [(width - side) / 2.0, (height - side) / 2.0].map(f64::floor);
        Self { origin, across: [side, 0.0], down: [0.0, side] }
    }

    /// The point of the photo, in pixels, at (u, v) of the square.
    #[inline]
    pub fn to_photo(&self, u: f64, v: f64) -> [f64; 2] {
        let Self { origin, across, down } = self;
        [origin[0] + u * across[0] + v * down[0], origin[1] + u * across[1] + v * down[1]]
    }

    /// The (u, v) of a point of the photo, in pixels; inside of the square when both are in 0..1. Not finite when the
    /// square is empty.
    #[inline]
    pub fn to_square(&self, x: f64, y: f64) -> [f64; 2] {
        let [x, y] = [x - self.origin[0], y - self.origin[1]];
        let area = self.signed_area();
        [(x * self.down[1] - y * self.down[0]) / area, (y * self.across[0] - x * self.across[1]) / area]
    }

    /// The length of its sides in pixels (of a square of the same area, where they differ).
    pub fn side(&self) -> f64 {
        self.signed_area().abs().sqrt()
    }

    /// The same square in another frame, such as that of the stored instead of the upright pixels. `to_frame` gives a
    /// point's place there and is affine.
    pub fn map(&self, to_frame: impl Fn([f64; 2]) -> [f64; 2]) -> Self {
        let [origin, right, bottom] =
            [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)].map(|(u, v)| to_frame(self.to_photo(u, v)));
        let from_origin = |end: [f64; 2]| [end[0] - origin[0], end[1] - origin[1]];
        Self { origin, across: from_origin(right), down: from_origin(bottom) }
    }

    /// Its corners in pixels: (0, 0), (1, 0), (1, 1) and (0, 1).
    pub fn corners(&self) -> [[f64; 2]; 4] {
        [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(u, v)| self.to_photo(u, v))
    }

    /// The pixels of the square, resampled to `side` x `side`: Catmull-Rom, as wide as the pixels of the result where
    /// these are larger than the photo's, so that nothing aliases. Beyond the photo its outermost pixels go on.
    /// The same bytes at any number of threads. Black where photo or square is empty.
    pub fn crop(&self, photo: &RgbImage, side: u32) -> RgbImage {
        let finite = self.corners().iter().flatten().all(|value| value.is_finite());
        if photo.is_empty() || side == 0 || !finite {
            return RgbImage::new(side, side);
        }
        let step = self.step(side);
        if step < 2.0 {
            return self.sample(photo, side);
        }
        // Means of whole blocks first, so that the kernel need not be wide, whatever the photo.
        let factor = step as u32;
        let (reduced, corner) = self.reduce(photo, factor, 4.0 * step);
        let into_reduced =
            |point: [f64; 2]| [0, 1].map(|axis| (point[axis] - corner[axis]) / f64::from(factor));
        self.map(into_reduced).sample(&reduced, side)
    }

    fn signed_area(&self) -> f64 {
        self.across[0] * self.down[1] - self.across[1] * self.down[0]
    }

    /// From one pixel of the result to the next, in pixels of the photo.
    fn step(&self, side: u32) -> f64 {
        let length = |vector: [f64; 2]| vector[0].hypot(vector[1]);
        length(self.across).max(length(self.down)) / f64::from(side)
    }

    /// Steps are below 2.
    fn sample(&self, photo: &RgbImage, side: u32) -> RgbImage {
        let (side, scale) = (side as usize, self.step(side).max(1.0));
        let mut resampled = Resampled { square: self, photo, side, scale, columns: None };
        // In a level square all rows have the same columns of the photo.
        if self.down[0] == 0.0 && self.across[1] == 0.0 {
            resampled.columns = Some((0..side).map(|column| resampled.columns(column, 0)).collect());
        }
        let mut bytes = vec![0; 3 * side * side];
        bytes
            .par_chunks_mut(3 * side)
            .enumerate()
            .for_each(|(row, line)| vectorised(Line { of: &resampled, row, line }));
        RgbImage::from_raw(side as u32, side as u32, bytes).expect("the buffer has the size of the image")
    }

    /// Means of `factor` x `factor` pixels of the part of the photo that holds the square and `margin` pixels around
    /// it, and where in the photo that part begins. Beyond the photo one block is enough: it goes on by itself.
    fn reduce(&self, photo: &RgbImage, factor: u32, margin: f64) -> (RgbImage, [f64; 2]) {
        let ranges = [(0, photo.width()), (1, photo.height())].map(|(axis, length)| {
            let places = self.corners().map(|corner| corner[axis]);
            let lowest = places.iter().copied().fold(f64::INFINITY, f64::min) - margin;
            let highest = places.iter().copied().fold(f64::NEG_INFINITY, f64::max) + margin;
            let (length, factor) = (i64::from(length), i64::from(factor));
            let begin = (lowest.floor() as i64).clamp(-factor, length);
            begin..(highest.ceil() as i64).clamp(begin + 1, length + factor)
        });
        let corner = [ranges[0].start as f64, ranges[1].start as f64];
        (block_means(photo, factor as usize, ranges), corner)
    }
}

/// The whole photo reduced by an integer factor, each pixel the mean of a block. The last ones go on past the edge.
pub(super) fn reduced(photo: &RgbImage, factor: u32) -> RgbImage {
    let [width, height] = [photo.width(), photo.height()].map(i64::from);
    block_means(photo, factor as usize, [0..width, 0..height])
}

/// Means of the blocks of `factor` x `factor` pixels that begin in the ranges of columns and rows. A pixel beyond the
/// photo is the nearest one inside.
fn block_means(photo: &RgbImage, factor: usize, ranges: [Range<i64>; 2]) -> RgbImage {
    let lengths = [photo.width(), photo.height()].map(i64::from);
    let [columns, rows] = [0, 1].map(|axis| {
        let range = ranges[axis].clone();
        let blocks = ((range.end - range.start) as usize).div_ceil(factor);
        let places = range.start..range.start + (blocks * factor) as i64;
        places.map(|place| place.clamp(0, lengths[axis] - 1) as usize).collect::<Vec<_>>()
    });
    let (pixels, row_length) = (photo.as_raw().as_slice(), 3 * photo.width() as usize);
    let count = (factor * factor) as u64;
    let [width, height] = [&columns, &rows].map(|places| places.len() / factor);
    let mut bytes = vec![0; 3 * width * height];
    let (first, end) = (3 * columns[0], 3 * (columns[columns.len() - 1] + 1));
    bytes.par_chunks_mut(3 * width).zip(rows.par_chunks(factor)).for_each(|(line, rows)| {
        // Of each column first, which the compiler does for many side by side.
        let mut of_columns = vec![0u32; end - first];
        for &row in rows {
            let line = &pixels[row * row_length..][first..end];
            of_columns.iter_mut().zip(line).for_each(|(sum, &byte)| *sum += u32::from(byte));
        }
        for (pixel, block) in line.chunks_exact_mut(3).zip(columns.chunks(factor)) {
            let mut sums = [0u64; 3];
            for &x in block {
                let column = &of_columns[3 * x - first..][..3];
                sums.iter_mut().zip(column).for_each(|(sum, &column)| *sum += u64::from(column));
            }
            pixel.iter_mut().zip(sums).for_each(|(byte, sum)| *byte = ((sum + count / 2) / count) as u8);
        }
    });
    RgbImage::from_raw(width as u32, height as u32, bytes).expect("the buffer has the size of the image")
}

/// A square that is being resampled.
struct Resampled<'a> {
    square: &'a FaceSquare,
    photo: &'a RgbImage,
    /// Pixels a row of the result.
    side: usize,
    /// By how much the kernel is stretched.
    scale: f64,
    /// The columns of every row, where they are the same for all.
    columns: Option<Vec<Taps>>,
}

impl Resampled<'_> {
    #[inline(always)]
    fn place(&self, column: usize, row: usize) -> [f64; 2] {
        let side = self.side as f64;
        self.square.to_photo((column as f64 + 0.5) / side, (row as f64 + 0.5) / side)
    }

    #[inline(always)]
    fn columns(&self, column: usize, row: usize) -> Taps {
        Taps::new(self.place(column, row)[0], self.scale, self.photo.width())
    }

    #[inline(always)]
    fn rows(&self, column: usize, row: usize) -> Taps {
        Taps::new(self.place(column, row)[1], self.scale, self.photo.height())
    }

    #[inline(always)]
    fn pixel(&self, columns: &Taps, rows: &Taps) -> [f32; 3] {
        let (bytes, length) = (self.photo.as_raw().as_slice(), 3 * self.photo.width() as usize);
        let mut sums = [0.0; 3];
        for row in 0..rows.count {
            let line = &bytes[rows.indices[row] as usize * length..][..length];
            let mut across = [0.0; 3];
            for column in 0..columns.count {
                let pixel = &line[3 * columns.indices[column] as usize..][..3];
                for channel in 0..3 {
                    across[channel] += columns.weights[column] * f32::from(pixel[channel]);
                }
            }
            for channel in 0..3 {
                sums[channel] += rows.weights[row] * across[channel];
            }
        }
        sums
    }
}

/// A row of a square that is being resampled.
struct Line<'a> {
    of: &'a Resampled<'a>,
    row: usize,
    line: &'a mut [u8],
}

impl Work for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { of, row, line } = self;
        let level = of.rows(0, row);
        for (column, pixel) in line.chunks_exact_mut(3).enumerate() {
            let sums = match &of.columns {
                Some(columns) => of.pixel(&columns[column], &level),
                None => of.pixel(&of.columns(column, row), &of.rows(column, row)),
            };
            for channel in 0..3 {
                let value = sums[channel].clamp(0.0, 255.0);
                let whole = value as u8;
                // Rounded without a call, which `round` is.
                pixel[channel] = whole + u8::from(value - f32::from(whole) >= 0.5);
            }
        }
    }
}

/// The pixels of a row that count at a place of it, with their weights, which sum to 1.
#[derive(Debug, Clone, Copy)]
struct Taps {
    indices: [u32; Taps::MOST],
    weights: [f32; Taps::MOST],
    count: usize,
}

impl Taps {
    /// The kernel reaches as far as 4 pixels to both sides.
    const MOST: usize = 9;

    /// The row has `length` pixels; one beyond it is the last one inside. The kernel is stretched by `scale`, from 1 to 2.
    #[inline(always)]
    fn new(place: f64, scale: f64, length: u32) -> Self {
        // Far outside every tap is the same pixel, and the numbers would not fit.
        let place = place.clamp(-4.0 * scale, f64::from(length) + 4.0 * scale);
        let first = (place - 0.5 - 2.0 * scale).ceil() as i64;
        let last = (place - 0.5 + 2.0 * scale).floor() as i64;
        let count = Self::MOST.min((last - first + 1) as usize);
        let mut taps = Self { indices: [0; Self::MOST], weights: [0.0; Self::MOST], count };
        let mut sum = 0.0;
        for tap in 0..count {
            let index = first + tap as i64;
            let weight = catmull_rom((index as f64 + 0.5 - place) / scale) as f32;
            taps.indices[tap] = index.clamp(0, i64::from(length) - 1) as u32;
            taps.weights[tap] = weight;
            sum += weight;
        }
        for tap in 0..count {
            taps.weights[tap] /= sum;
        }
        taps
    }
}

/// The Catmull-Rom kernel (Keys 1981, a = -1/2), 0 from distance 2 on.
#[inline(always)]
fn catmull_rom(distance: f64) -> f64 {
    let x = distance.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((2.5 - 0.5 * x) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, imageops};

    fn texture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 37 + y * 11) as u8, (x * y) as u8, ((x ^ y) * 5) as u8])
        })
    }

    fn upright(x: f64, y: f64, side: f64) -> FaceSquare {
        FaceSquare { origin: [x, y], across: [side, 0.0], down: [0.0, side] }
    }

    #[track_caller]
    fn close(a: [f64; 2], b: [f64; 2]) {
        assert!((a[0] - b[0]).abs() < 1e-9 && (a[1] - b[1]).abs() < 1e-9, "{a:?} is not {b:?}");
    }

    #[test]
    fn eyes_lie_where_all_data_has_them() {
        for (left, right) in [([10.0, 20.0], [50.0, 20.0]), ([70.0, 30.0], [40.0, 75.0])] {
            let square = FaceSquare::from_eyes(left, right);
            close(square.to_photo(0.375, 0.42), left);
            close(square.to_photo(0.625, 0.42), right);
            assert!((square.side() - 4.0 * f64::hypot(right[0] - left[0], right[1] - left[1])).abs() < 1e-9);
        }
        // A level face's chin is below its eyes.
        assert_eq!(FaceSquare::from_eyes([10.0, 20.0], [50.0, 20.0]).down, [0.0, 160.0]);
    }

    #[test]
    fn a_point_comes_back_from_rotated_and_mirrored_squares() {
        let rotated = FaceSquare::from_eyes([70.0, 30.0], [40.0, 75.0]);
        let stored = rotated.map(|[x, y]| [100.0 - y, x]);
        let mirrored = rotated.map(|[x, y]| [100.0 - x, y]);
        for square in [rotated, stored, mirrored] {
            for (u, v) in [(0.0, 0.0), (0.3, 0.9), (-1.0, 2.0)] {
                let [x, y] = square.to_photo(u, v);
                close(square.to_square(x, y), [u, v]);
            }
            assert!((square.side() - rotated.side()).abs() < 1e-9);
        }
        let [x, y] = rotated.to_photo(0.2, 0.7);
        close(stored.to_photo(0.2, 0.7), [100.0 - y, x]);
        assert_eq!(rotated.corners()[2], rotated.to_photo(1.0, 1.0));
    }

    #[test]
    fn a_square_of_whole_pixels_is_copied_to_the_bit() {
        let photo = texture(300, 280);
        for side in [256u32, 97, 1] {
            let expected = imageops::crop_imm(&photo, 11, 7, side, side).to_image();
            assert_eq!(upright(11.0, 7.0, f64::from(side)).crop(&photo, side), expected);
        }
    }

    #[test]
    fn a_linear_ramp_is_what_its_equation_says() {
        // Brightness 20 + x / 4 in continuous coordinates: whatever the scale, a pixel is the ramp at its centre.
        let photo =
            RgbImage::from_fn(800, 600, |x, _| Rgb([(20.0 + (f64::from(x) + 0.5) / 4.0).round() as u8; 3]));
        let rotated = FaceSquare { origin: [300.0, 120.0], across: [200.0, 120.0], down: [-120.0, 200.0] };
        for square in [upright(100.3, 50.6, 400.0), upright(260.1, 300.0, 20.0), rotated] {
            for side in [256u32, 100, 32, 8] {
                for (x, y, pixel) in square.crop(&photo, side).enumerate_pixels() {
                    let place = |index: u32| (f64::from(index) + 0.5) / f64::from(side);
                    let [x, _] = square.to_photo(place(x), place(y));
                    // Half a level from the photo's own rounding, a third more by the kernel's overshoot, half at the end.
                    assert!(
                        (f64::from(pixel.0[0]) - (20.0 + x / 4.0)).abs() < 1.3,
                        "{square:?} {side} {x} {pixel:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn fine_stripes_shrink_to_grey() {
        let stripes = RgbImage::from_fn(1024, 1024, |x, _| Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        for side in [300, 200, 100, 33] {
            // Away from the edge, which goes on as one broad stripe.
            let small = upright(100.0, 100.0, 800.0).crop(&stripes, side);
            // At worst 1.6 levels of the finest pattern pass the kernel at steps from 2 on, and one is for rounding.
            assert!(small.pixels().all(|pixel| pixel.0[0].abs_diff(128) <= 3), "{side}");
        }
    }

    #[test]
    fn beyond_the_photo_its_edge_goes_on() {
        let photo = RgbImage::from_fn(40, 40, |x, y| Rgb([x as u8 * 5, y as u8 * 5, 90]));
        for side in [100, 25, 10] {
            let crop = upright(-100.0, 0.0, 100.0).crop(&photo, side);
            let at = |x: u32, y: u32| crop.get_pixel(x, y).0;
            assert_eq!(at(0, side - 1), [0, 195, 90], "{side}");
            assert_eq!(at(side / 2, 0)[0], 0);
        }
        let far = upright(-1e7, -1e7, 1e6).crop(&photo, 16);
        assert!(far.pixels().all(|pixel| pixel.0 == [0, 0, 90]));
        assert_eq!(upright(0.0, 0.0, f64::NAN).crop(&photo, 2), RgbImage::new(2, 2));
        assert_eq!(upright(0.0, 0.0, 4.0).crop(&RgbImage::new(0, 0), 2), RgbImage::new(2, 2));
    }

    #[test]
    fn a_mirrored_square_mirrors() {
        let photo = texture(64, 64);
        let mirrored = FaceSquare { origin: [64.0, 0.0], across: [-64.0, 0.0], down: [0.0, 64.0] };
        assert_eq!(mirrored.crop(&photo, 64), imageops::flip_horizontal(&photo));
        let turned = FaceSquare { origin: [0.0, 64.0], across: [0.0, -64.0], down: [64.0, 0.0] };
        assert_eq!(turned.crop(&photo, 64), imageops::rotate90(&photo));
    }
}
