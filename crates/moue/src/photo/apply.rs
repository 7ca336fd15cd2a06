//! An edit in a photo's own pixels.
//!
//! A method works on a small square. Its edit is brought to the photo's resolution, not the photo to the square's: flow,
//! mask and colour are interpolated (Catmull-Rom) at each of the photo's pixels, and the photo is looked up once where
//! the flow points. So hair and skin keep their detail, the square's rotation costs no second resampling, and a pixel
//! that nothing moves stays as it is to the bit.
//!
//! Towards the border of the square the edit fades to nothing, except where the border lies outside the photo: there it
//! runs to the photo's edge.

use image::RgbImage;
use moue_kernels::vectors::{Machine, Work, vectorised};
use rayon::prelude::*;

use super::align::FaceSquare;
use super::feather::Feather;
use super::pixels::{Pixels, Sample, Samples};
pub use super::square_edit::SquareEdit;
use super::square_edit::{taps, unmasked};

/// The pixels about a face after an edit. [`Patch::swap`] puts them into the photo and takes the photo's own; a second
/// swap restores it to the bit.
pub struct Patch {
    left: usize,
    top: usize,
    width: usize,
    samples: Samples,
}

impl Patch {
    /// The photo's pixels within `square`, in its stored coordinates, after an edit at a strength: 0 leaves them, 1 is
    /// the method's own, above 1 exaggerates.
    pub fn new(photo: &Pixels, square: &FaceSquare, edit: &SquareEdit, strength: f32) -> Self {
        let corners = square.corners();
        let range = |axis: usize, size: u32| {
            let places = corners.map(|corner| corner[axis].clamp(0.0, f64::from(size)));
            let (low, high) = places.iter().fold((f64::MAX, 0.0f64), |(l, h), &p| (l.min(p), h.max(p)));
            (low.floor() as usize, high.ceil() as usize)
        };
        let ((left, right), (top, bottom)) = (range(0, photo.width()), range(1, photo.height()));
        let placed = PlacedEdit {
            square,
            edit,
            strength,
            feather: Feather::of(square, photo.width(), photo.height()),
            left,
            top,
            size: [right - left, bottom - top],
            photo_size: [photo.width() as usize, photo.height() as usize],
            channels: photo.channels(),
        };
        let samples = match photo.samples() {
            Samples::Eight(samples) => Samples::Eight(placed.patch(samples)),
            Samples::Sixteen(samples) => Samples::Sixteen(placed.patch(samples)),
        };
        Self { left, top, width: right - left, samples }
    }

    /// Exchanges the patch's pixels with the photo's.
    pub fn swap(&mut self, photo: &mut Pixels) {
        let (channels, row) = (photo.channels(), photo.width() as usize);
        let start = (self.top * row + self.left) * channels;
        let (line, row) = (self.width * channels, row * channels);
        if line == 0 {
            return;
        }
        match (&mut self.samples, photo.samples_mut()) {
            (Samples::Eight(patch), Samples::Eight(photo)) => swap_lines(patch, photo, start, line, row),
            (Samples::Sixteen(patch), Samples::Sixteen(photo)) => swap_lines(patch, photo, start, line, row),
            _ => unreachable!("a patch has the depth of its photo"),
        }
    }
}

fn swap_lines<T>(patch: &mut [T], photo: &mut [T], start: usize, line: usize, row: usize) {
    for (n, patch) in patch.chunks_exact_mut(line).enumerate() {
        patch.swap_with_slice(&mut photo[start + n * row..][..line]);
    }
}

/// An edit in its place in a photo, as strongly as it is applied.
struct PlacedEdit<'a> {
    square: &'a FaceSquare,
    edit: &'a SquareEdit,
    strength: f32,
    feather: Feather,
    left: usize,
    top: usize,
    size: [usize; 2],
    photo_size: [usize; 2],
    channels: usize,
}

impl PlacedEdit<'_> {
    /// The photo's pixels about the square after the edit, row by row.
    fn patch<T: Sample>(&self, photo: &[T]) -> Vec<T> {
        let ([width, height], channels) = (self.size, self.channels);
        let mut patch = vec![T::default(); width * height * channels];
        if patch.is_empty() {
            return patch;
        }
        patch.par_chunks_exact_mut(width * channels).enumerate().for_each(|(row, line)| {
            let row = self.top + row;
            let start = (row * self.photo_size[0] + self.left) * channels;
            line.copy_from_slice(&photo[start..][..line.len()]);
            vectorised(Line { edit: self, photo, row, line });
        });
        patch
    }

    /// The pixels of a row, from the patch's left on, which have the photo's samples so far.
    ///
    /// Nothing here goes by iterators or arrays' `map`: calls that hand arrays over stay calls in code for one kind of machine,
    /// and took two thirds of the time.
    #[inline(always)]
    fn edit_row<T: Sample, const CHANNELS: usize, const SAMPLES: usize>(
        &self,
        photo: &[T],
        row: usize,
        line: &mut [T],
    ) {
        let mut x = self.left as f64 + 0.5;
        let y = row as f64 + 0.5;
        for pixel in line.chunks_exact_mut(CHANNELS) {
            self.edit_pixel::<T, CHANNELS, SAMPLES>(photo, [x, y], pixel);
            x += 1.0;
        }
    }

    #[inline(always)]
    fn edit_pixel<T: Sample, const CHANNELS: usize, const SAMPLES: usize>(
        &self,
        photo: &[T],
        [x, y]: [f64; 2],
        pixel: &mut [T],
    ) {
        let [u, v] = self.square.to_square(x, y);
        if !((0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v)) {
            return;
        }
        let strength = self.strength * self.feather.weight(u, v);
        if strength == 0.0 {
            return;
        }
        let [flow_x, flow_y, mask, red, green, blue, ..] = self.edit.sample(u, v);
        let colours = const { if CHANNELS < 3 { 1 } else { 3 } };
        if self.edit.painted {
            let change = seen_by::<CHANNELS>([red, green, blue]);
            for n in 0..colours {
                pixel[n] = T::nearest(pixel[n].number() + strength * change[n] * T::LARGEST / 2.0);
            }
            return;
        }
        let colour = seen_by::<CHANNELS>(unmasked([red, green, blue], mask));
        let mask = (mask.clamp(0.0, 1.0) * strength).min(1.0);
        let (along, down) = (f64::from(flow_x * strength) / 2.0, f64::from(flow_y * strength) / 2.0);
        let FaceSquare { across: [ax, ay], down: [dx, dy], .. } = *self.square;
        let place = [x + along * ax + down * dx - 0.5, y + along * ay + down * dy - 0.5];
        let found = self.look_up::<T, CHANNELS, SAMPLES>(photo, place);
        for n in 0..colours {
            let found = found[n].clamp(0.0, T::LARGEST);
            let painted = (colour[n] + 1.0) * (T::LARGEST / 2.0);
            pixel[n] = T::nearest(found + mask * (painted - found));
        }
    }

    /// The photo's colours at a place, in pixels from the first one's centre. A row's four pixels are so many samples, which
    /// lie side by side.
    #[inline(always)]
    fn look_up<T: Sample, const CHANNELS: usize, const SAMPLES: usize>(
        &self,
        photo: &[T],
        place: [f64; 2],
    ) -> [f32; 3] {
        let [width, height] = self.photo_size;
        let ((columns, along), (rows, down)) = (taps(place[0], width), taps(place[1], height));
        let mut sums = [0.0; SAMPLES];
        for row in 0..4 {
            let line = &photo[rows[row] * width * CHANNELS..][..width * CHANNELS];
            if columns[3] == columns[0] + 3 {
                let samples = &line[columns[0] * CHANNELS..][..SAMPLES];
                for n in 0..SAMPLES {
                    sums[n] += down[row] * samples[n].number();
                }
            } else {
                // At the border its pixel goes on.
                for column in 0..4 {
                    let samples = &line[columns[column] * CHANNELS..][..CHANNELS];
                    for n in 0..CHANNELS {
                        sums[column * CHANNELS + n] += down[row] * samples[n].number();
                    }
                }
            }
        }
        let mut found = [0.0; 3];
        for column in 0..4 {
            for n in 0..const { if CHANNELS < 3 { 1 } else { 3 } } {
                found[n] += along[column] * sums[column * CHANNELS + n];
            }
        }
        found
    }
}

/// A colour as photos of so many channels have it: grey ones take its luminance (Rec. 709).
#[inline(always)]
fn seen_by<const CHANNELS: usize>(colour: [f32; 3]) -> [f32; 3] {
    if CHANNELS < 3 {
        return [0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]; 3];
    }
    colour
}

/// A row of the patch, which has the photo's pixels so far.
struct Line<'a, T> {
    edit: &'a PlacedEdit<'a>,
    photo: &'a [T],
    row: usize,
    line: &'a mut [T],
}

impl<T: Sample> Work for Line<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { edit, photo, row, line } = self;
        match edit.channels {
            1 => edit.edit_row::<T, 1, 4>(photo, row, line),
            2 => edit.edit_row::<T, 2, 8>(photo, row, line),
            3 => edit.edit_row::<T, 3, 12>(photo, row, line),
            _ => edit.edit_row::<T, 4, 16>(photo, row, line),
        }
    }
}

/// An image after the edits of some of its squares.
pub fn edited(image: &RgbImage, squares: &[FaceSquare], edits: &[&SquareEdit], strength: f32) -> RgbImage {
    let (width, height) = image.dimensions();
    let mut pixels = Pixels::new(width, height, 3, Samples::Eight(image.as_raw().clone()));
    for (square, edit) in squares.iter().zip(edits) {
        Patch::new(&pixels, square, edit, strength).swap(&mut pixels);
    }
    match pixels.samples_mut() {
        Samples::Eight(samples) => RgbImage::from_raw(width, height, std::mem::take(samples)),
        Samples::Sixteen(_) => None,
    }
    .expect("the samples are still the image's")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A photo of smooth colours, with so many channels.
    fn photo(width: u32, height: u32, channels: u8) -> Pixels {
        let sample = |n: usize| {
            let (pixel, channel) = (n / usize::from(channels), n % usize::from(channels));
            let (x, y) = ((pixel as u32 % width) as f32, (pixel as u32 / width) as f32);
            (128.0 + 90.0 * (x * 0.07 + channel as f32).sin() * (y * 0.05).cos()) as u8
        };
        let count = width as usize * height as usize * usize::from(channels);
        Pixels::new(width, height, channels, Samples::Eight((0..count).map(sample).collect()))
    }

    fn edit(side: usize, value: impl Fn(f32, f32) -> ([f32; 2], f32, [f32; 3])) -> SquareEdit {
        let place = |n: usize| (n as f32 + 0.5) / side as f32;
        let values = (0..side * side).map(|n| {
            let ([x, y], mask, [r, g, b]) = value(place(n % side), place(n / side));
            [x, y, mask, mask * r, mask * g, mask * b, 0.0, 0.0]
        });
        SquareEdit { side, painted: false, values: values.collect() }
    }

    fn square() -> FaceSquare {
        FaceSquare::from_eyes([80.0, 70.0], [100.0, 75.0])
    }

    fn after(photo: &Pixels, square: &FaceSquare, edit: &SquareEdit, strength: f32) -> Pixels {
        let mut result = photo.clone();
        Patch::new(photo, square, edit, strength).swap(&mut result);
        result
    }

    fn bytes(pixels: &Pixels) -> &[u8] {
        let Samples::Eight(samples) = pixels.samples() else { unreachable!("the tests' photos have 8 bits") };
        samples
    }

    fn strong() -> SquareEdit {
        edit(16, |u, v| ([0.1 * (9.0 * v).sin(), 0.1 * (7.0 * u).cos()], 0.5 * u, [0.9, -0.2, 0.3]))
    }

    #[test]
    fn no_strength_changes_nothing() {
        for channels in 1..=4 {
            let photo = photo(180, 150, channels);
            assert_eq!(after(&photo, &square(), &strong(), 0.0), photo);
            let nothing = edit(16, |_, _| ([0.0; 2], 0.0, [1.0; 3]));
            assert_eq!(after(&photo, &square(), &nothing, 1.0), photo, "nor does an edit that does nothing");
        }
    }

    #[test]
    fn the_change_rises_with_the_strength() {
        let photo = photo(180, 150, 3);
        let mut painted = strong();
        painted.painted = true;
        for edit in [strong(), painted] {
            let change = |tenths: u8| -> u64 {
                let result = after(&photo, &square(), &edit, f32::from(tenths) / 10.0);
                bytes(&photo).iter().zip(bytes(&result)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
            };
            let changes: Vec<u64> = (0..=15).map(change).collect();
            assert_eq!(changes[0], 0);
            assert!(changes.is_sorted_by(|a, b| a < b), "{changes:?}");
        }
    }

    #[test]
    fn outside_the_square_and_in_alpha_every_sample_stays() {
        for channels in 1..=4 {
            let (photo, square) = (photo(180, 150, channels), square());
            let result = after(&photo, &square, &strong(), 1.5);
            assert_ne!(result, photo);
            let channels = usize::from(channels);
            for (n, (a, b)) in bytes(&photo).iter().zip(bytes(&result)).enumerate() {
                let (pixel, channel) = (n / channels, n % channels);
                let (x, y) = ((pixel % 180) as f64 + 0.5, (pixel / 180) as f64 + 0.5);
                let inside = square.to_square(x, y).iter().all(|t| (0.0..=1.0).contains(t));
                assert!(a == b || inside && channel < photo.colours(), "channel {channel} at ({x}, {y})");
            }
        }
    }

    #[test]
    fn colours_that_nobody_sees_do_not_fringe_those_that_are_seen() {
        // Black is painted over the left half; behind the mask's other half the colours are wild.
        let photo = Pixels::new(200, 200, 3, Samples::Eight(vec![128; 120_000]));
        let square = FaceSquare { origin: [0.0, 0.0], across: [200.0, 0.0], down: [0.0, 200.0] };
        let edit =
            edit(
                10,
                |u, _| if u < 0.5 { ([0.0; 2], 1.0, [-1.0; 3]) } else { ([0.0; 2], 0.0, [1.0, 1.0, -1.0]) },
            );
        for pixel in bytes(&after(&photo, &square, &edit, 1.0)).chunks(3) {
            assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2], "{pixel:?} is grey");
            assert!(pixel[0] <= 128, "{pixel:?} is no brighter than black and the photo");
        }
    }

    #[test]
    fn a_second_swap_restores_the_photo() {
        let original = photo(180, 150, 3);
        let mut photo = original.clone();
        let mut patch = Patch::new(&photo, &square(), &strong(), 1.0);
        patch.swap(&mut photo);
        patch.swap(&mut photo);
        assert_eq!(photo, original);
    }

    #[test]
    fn a_shift_of_whole_pixels_is_exact() {
        // A level square of 80 pixels; a twentieth of its half side is 2 pixels.
        let photo = photo(200, 200, 3);
        let square = FaceSquare { origin: [60.0, 60.0], across: [80.0, 0.0], down: [0.0, 80.0] };
        let result = after(&photo, &square, &edit(16, |_, _| ([0.05, -0.1], 0.0, [0.0; 3])), 1.0);
        let pixel = |pixels: &Pixels, x: usize, y: usize| bytes(pixels)[(y * 200 + x) * 3..][..3].to_vec();
        for (x, y) in [(100, 100), (80, 90), (120, 125)] {
            assert_eq!(pixel(&result, x, y), pixel(&photo, x + 2, y - 4));
        }
    }

    #[test]
    fn the_edit_fades_to_nothing_at_the_border() {
        let photo = photo(200, 200, 3);
        let square = FaceSquare { origin: [40.0, 40.0], across: [100.0, 0.0], down: [0.0, 100.0] };
        let white = after(&photo, &square, &edit(8, |_, _| ([0.0; 2], 1.0, [1.0; 3])), 1.0);
        let at = |x: usize, y: usize| bytes(&white)[(y * 200 + x) * 3];
        assert_eq!(at(90, 90), 255);
        assert_eq!(at(90, 49), 255, "eight pixels inside it has its full strength");
        let (before, border) = (bytes(&photo)[(90 * 200 + 40) * 3], at(40, 90));
        assert!(border.abs_diff(before) <= 2, "{before} -> {border}");
    }

    #[test]
    fn where_the_square_reaches_past_the_photo_the_edit_runs_to_its_edge() {
        let photo = photo(200, 200, 3);
        let edit = edit(8, |_, _| ([0.0; 2], 1.0, [1.0; 3]));
        // Past the left edge, and along the lower edge itself.
        let square = FaceSquare { origin: [-30.0, 100.0], across: [100.0, 0.0], down: [0.0, 100.0] };
        let white = after(&photo, &square, &edit, 1.0);
        let at = |x: usize, y: usize| bytes(&white)[(y * 200 + x) * 3];
        assert_eq!([at(0, 150), at(30, 199), at(0, 199)], [255; 3]);
        // The other sides fade.
        let before = |x: usize, y: usize| bytes(&photo)[(y * 200 + x) * 3];
        assert!(at(69, 150).abs_diff(before(69, 150)) <= 2 && at(0, 100).abs_diff(before(0, 100)) <= 2);
        // An aligned square is the whole photo: nothing fades.
        let whole = after(&photo, &FaceSquare::middle_of((200, 200)), &edit, 1.0);
        assert!(bytes(&whole).iter().all(|&byte| byte == 255));
    }

    #[test]
    fn sixteen_bits_are_edited_as_finely() {
        let samples = (0..90_000).map(|n| (n % 300 * 200) as u16).collect();
        let photo = Pixels::new(300, 300, 1, Samples::Sixteen(samples));
        let square = FaceSquare { origin: [50.0, 50.0], across: [200.0, 0.0], down: [0.0, 200.0] };
        // An eighth of a pixel to the right: the ramp rises by 25.
        let result = after(&photo, &square, &edit(8, |_, _| ([0.00125, 0.0], 0.0, [0.0; 3])), 1.0);
        let Samples::Sixteen(samples) = result.samples() else { unreachable!("it has 16 bits") };
        assert_eq!(samples[150 * 300 + 150], 150 * 200 + 25);
    }
}
