//! Faces as other cameras and other hands would have taken them: turned, moved, lit and tinted a little otherwise, less
//! sharp and with noise.

use image::RgbImage;

use crate::base::rng::Rng;

/// Largest rotation either way, in radians: 6.9 degrees.
const ROTATION: f32 = 0.12;
/// Largest change of size, a factor.
const SCALE: f32 = 0.1;
/// Largest shift along each axis, in sides of the image.
const SHIFT: f32 = 0.03;
/// Largest logarithm of how much brighter the light is at an edge than in the middle.
const LIGHT: f32 = 0.4;
/// Largest logarithm of the gamma.
const GAMMA: f32 = 0.5;
/// Largest change of contrast about mid-grey, a factor.
const CONTRAST: f32 = 0.3;
/// Largest change of each colour, a factor.
const COLOUR: f32 = 0.18;
/// How many faces have lost their colour.
const GREY: f32 = 0.05;
/// How many faces are blurred, each more or less.
const BLURRED: f32 = 0.4;
/// Largest deviation of the noise on a source, of values in -1..1; half of the sources have none.
const NOISE: f32 = 0.06;

/// How many pixels an augmented image has along a pixel of what is made of it.
pub(super) const OVERSAMPLING: u32 = 2;

/// One way to take a face. Source and target of a pair are taken the same way, but for the noise: that of a target would
/// be another one, which nobody can foresee.
#[derive(Debug, Clone, Copy)]
pub(super) struct Augmentation {
    mirrored: bool,
    rotation: f32,
    scale: f32,
    shift: [f32; 2],
    /// Rightwards and downwards.
    light: [f32; 2],
    gamma: f32,
    contrast: f32,
    colour: [f32; 3],
    grey: bool,
    /// How far each pixel is mixed with those about it, 0..1.
    blur: f32,
    noise: f32,
}

impl Augmentation {
    pub(super) fn draw(mirrored: bool, rng: &mut Rng) -> Self {
        let mut within = |limit: f32| rng.between(-limit, limit);
        Self {
            mirrored,
            rotation: within(ROTATION),
            scale: 1.0 + within(SCALE),
            shift: [within(SHIFT), within(SHIFT)],
            light: [within(LIGHT), within(LIGHT)],
            gamma: within(GAMMA).exp(),
            contrast: 1.0 + within(CONTRAST),
            colour: [(); 3].map(|()| 1.0 + within(COLOUR)),
            grey: rng.uniform() < GREY,
            blur: if rng.uniform() < BLURRED { rng.uniform() } else { 0.0 },
            noise: rng.between(-NOISE, NOISE).max(0.0),
        }
    }

    /// Appends the values in -1..1 of `image`, taken so, at `side` pixels: `[3, side, side]`. The image is a square, best
    /// of [`OVERSAMPLING`] times that side: of a smaller one there is less to take the mean of. Where it ends, its border
    /// goes on.
    pub(super) fn append(&self, image: &RgbImage, side: usize, values: &mut Vec<f32>) {
        let tones = self.tones();
        let start = values.len();
        values.resize(start + 3 * side * side, 0.0);
        let planes = &mut values[start..];
        let size = image.width() as f32;
        let oversampling = (image.width() as usize / side).clamp(1, OVERSAMPLING as usize);
        let count = oversampling * side;
        let share = 1.0 / (oversampling * oversampling) as f32;
        let place = self.places(count);
        for y in 0..count {
            for x in 0..count {
                let sampled = sample(image, place(x, y).map(|at| at * size - 0.5));
                let pixel = y / oversampling * side + x / oversampling;
                for (channel, value) in sampled.into_iter().enumerate() {
                    planes[channel * side * side + pixel] += share * value;
                }
            }
        }
        let [across, down] = self.light.map(|light| brightness(light, side));
        for (plane, tones) in planes.chunks_exact_mut(side * side).zip(&tones) {
            for (row, down) in plane.chunks_exact_mut(side).zip(&down) {
                for (value, across) in row.iter_mut().zip(&across) {
                    *value = tone(tones, *value * down * across);
                }
            }
            if self.blur > 0.0 {
                blur(plane, side, self.blur);
            }
        }
        if self.grey {
            without_colour(planes);
        }
    }

    /// Adds the noise to a face `[3, side, side]` that was taken so.
    pub(super) fn add_noise(&self, face: &mut [f32], rng: &mut Rng) {
        if self.noise > 0.0 {
            face.iter_mut().for_each(|value| *value = (*value + self.noise * rng.normal()).clamp(-1.0, 1.0));
        }
    }

    /// Where in the image a place of the result, of `count` a side, lies, in sides of the image from its corner.
    fn places(&self, count: usize) -> impl Fn(usize, usize) -> [f32; 2] {
        let (sine, cosine) = (self.rotation.sin() / self.scale, self.rotation.cos() / self.scale);
        let (across, shift) = (if self.mirrored { -1.0 } else { 1.0 }, self.shift);
        move |x, y| {
            let [x, y] = [x, y].map(|at| (at as f32 + 0.5) / count as f32 - 0.5);
            let x = across * x;
            let turned = [cosine * x - sine * y, sine * x + cosine * y];
            [0, 1].map(|axis| turned[axis] + shift[axis] + 0.5)
        }
    }

    /// What becomes of each of the 256 values of each colour, in -1..1.
    fn tones(&self) -> [[f32; 256]; 3] {
        self.colour.map(|colour| {
            std::array::from_fn(|value| {
                let lit = (value as f32 / 255.0).powf(self.gamma);
                let tone = ((lit - 0.5) * self.contrast + 0.5) * colour;
                tone.clamp(0.0, 1.0) * 2.0 - 1.0
            })
        })
    }
}

/// How much brighter than in the middle it is at each of `side` pixels along an axis, a factor.
fn brightness(light: f32, side: usize) -> Vec<f32> {
    (0..side).map(|at| (light * ((2 * at + 1) as f32 / side as f32 - 1.0)).exp()).collect()
}

/// Mixes each pixel by `share` with the mean, weighted 1 2 1 along both axes, of the nine about it.
fn blur(plane: &mut [f32], side: usize, share: f32) {
    let mean = |values: &[f32], at: usize, step: usize, place: usize| {
        let before = if place == 0 { values[at] } else { values[at - step] };
        let after = if place + 1 == side { values[at] } else { values[at + step] };
        (before + 2.0 * values[at] + after) / 4.0
    };
    let rows: Vec<f32> = (0..side * side).map(|at| mean(plane, at, 1, at % side)).collect();
    for (at, value) in plane.iter_mut().enumerate() {
        *value += share * (mean(&rows, at, side, at / side) - *value);
    }
}

/// Gives the three planes of a face their mean, weighted as Rec. 601 has it.
fn without_colour(planes: &mut [f32]) {
    let size = planes.len() / 3;
    for at in 0..size {
        let grey = 0.299 * planes[at] + 0.587 * planes[size + at] + 0.114 * planes[2 * size + at];
        for channel in 0..3 {
            planes[channel * size + at] = grey;
        }
    }
}

/// The tone of a value from 0 on, between those of its neighbours; that of 255 for whatever is brighter.
fn tone(tones: &[f32; 256], value: f32) -> f32 {
    let value = value.min(255.0);
    let low = (value as usize).min(254);
    tones[low] + (tones[low + 1] - tones[low]) * (value - low as f32)
}

/// Bilinear, 0..255.
fn sample(image: &RgbImage, place: [f32; 2]) -> [f32; 3] {
    let (width, height) = image.dimensions();
    let axis = |at: f32, size: u32| {
        let at = at.clamp(0.0, (size - 1) as f32);
        let low = (at as u32).min(size.saturating_sub(2));
        (low, (low + 1).min(size - 1), at - low as f32)
    };
    let ((left, right, u), (top, bottom, v)) = (axis(place[0], width), axis(place[1], height));
    let [a, b] = [image.get_pixel(left, top).0, image.get_pixel(right, top).0];
    let [c, d] = [image.get_pixel(left, bottom).0, image.get_pixel(right, bottom).0];
    std::array::from_fn(|channel| {
        let [a, b, c, d] = [a, b, c, d].map(|pixel| f32::from(pixel[channel]));
        let (upper, lower) = (a + (b - a) * u, c + (d - c) * u);
        upper + (lower - upper) * v
    })
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    const NOTHING: Augmentation = Augmentation {
        mirrored: false,
        rotation: 0.0,
        scale: 1.0,
        shift: [0.0; 2],
        light: [0.0; 2],
        gamma: 1.0,
        contrast: 1.0,
        colour: [1.0; 3],
        grey: false,
        blur: 0.0,
        noise: 0.0,
    };

    fn ramp(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| Rgb([4 * x as u8, 4 * y as u8, 100]))
    }

    fn taken(augmentation: Augmentation) -> Vec<f32> {
        let mut values = Vec::new();
        augmentation.append(&ramp(32), 16, &mut values);
        values
    }

    #[test]
    fn nothing_changes_nothing() {
        let values = taken(NOTHING);
        for y in 0..16 {
            for x in 0..16 {
                // The mean of the four pixels that one is made of.
                let expected = [8 * x + 2, 8 * y + 2, 100].map(|value| value as f32 / 127.5 - 1.0);
                for (channel, expected) in expected.into_iter().enumerate() {
                    assert!((values[channel * 256 + y * 16 + x] - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn an_image_of_the_results_size_is_taken_pixel_by_pixel() {
        let mut values = Vec::new();
        NOTHING.append(&ramp(16), 16, &mut values);
        for (n, value) in values[..256].iter().enumerate() {
            assert!((value - ((4 * (n % 16)) as f32 / 127.5 - 1.0)).abs() < 1e-5);
        }
    }

    #[test]
    fn a_turned_ramp_is_a_turned_ramp() {
        let rotation: f32 = 0.08;
        let values = taken(Augmentation { rotation, ..NOTHING });
        // In the middle, away from the border: red rises along the turned axis, 8 levels a pixel.
        let slope = |from: usize, to: usize| (values[to] - values[from]) * 127.5 / 4.0;
        assert!((slope(16 * 8 + 6, 16 * 8 + 10) - 8.0 * rotation.cos()).abs() < 1e-2);
        assert!((slope(16 * 6 + 8, 16 * 10 + 8) + 8.0 * rotation.sin()).abs() < 1e-2);
    }

    #[test]
    fn a_mirrored_face_is_its_mirror_image() {
        let (plain, mirrored) = (taken(NOTHING), taken(Augmentation { mirrored: true, ..NOTHING }));
        for (row, other) in plain.chunks_exact(16).zip(mirrored.chunks_exact(16)) {
            assert!(row.iter().rev().zip(other).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn light_from_a_side_is_brighter_there() {
        let plain = taken(NOTHING);
        let lit = taken(Augmentation { light: [0.3, 0.0], ..NOTHING });
        // Blue is 100 everywhere: its place tells the light alone.
        for x in 0..16 {
            let ratio = (lit[512 + x] + 1.0) / (plain[512 + x] + 1.0);
            let expected = (0.3 * ((2 * x + 1) as f32 / 16.0 - 1.0)).exp();
            assert!((ratio - expected).abs() < 1e-3, "{x}: {ratio}, not {expected}");
        }
    }

    #[test]
    fn blur_keeps_a_ramp_and_takes_a_peak_down() {
        let (plain, blurred) = (taken(NOTHING), taken(Augmentation { blur: 1.0, ..NOTHING }));
        let inside = (1..15).flat_map(|y| (1..15).map(move |x| 16 * y + x));
        assert!(inside.into_iter().all(|at| (plain[at] - blurred[at]).abs() < 1e-5));
        let mut peak = vec![0.0; 9];
        peak[4] = 16.0;
        blur(&mut peak, 3, 1.0);
        assert_eq!(peak, [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0]);
    }

    #[test]
    fn noise_has_the_deviation_that_was_drawn() {
        let mut face = vec![0.0; 3 * 64 * 64];
        Augmentation { noise: 0.05, ..NOTHING }.add_noise(&mut face, &mut Rng::stream(1, "noise", 0));
        let deviation = (face.iter().map(|v| v * v).sum::<f32>() / face.len() as f32).sqrt();
        assert!((deviation - 0.05).abs() < 0.002, "{deviation}");
        let grey = taken(Augmentation { grey: true, ..NOTHING });
        assert_eq!(grey[..256], grey[512..]);
    }

    #[test]
    fn tones_stay_in_range_and_order() {
        let mut rng = Rng::stream(5, "tones", 0);
        for _ in 0..100 {
            for tones in Augmentation::draw(false, &mut rng).tones() {
                assert!(tones.iter().all(|tone| (-1.0..=1.0).contains(tone)));
                assert!(tones.is_sorted());
            }
        }
    }
}
