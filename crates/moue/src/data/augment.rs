//! Faces as other cameras and other hands would have taken them: turned, moved, lit and tinted a little otherwise.

use image::RgbImage;

use crate::base::rng::Rng;

/// Largest rotation either way, in radians: 4.6 degrees.
const ROTATION: f32 = 0.08;
/// Largest change of size, a factor.
const SCALE: f32 = 0.08;
/// Largest shift along each axis, in sides of the image.
const SHIFT: f32 = 0.03;
/// Largest logarithm of the gamma.
const GAMMA: f32 = 0.4;
/// Largest change of contrast about mid-grey, a factor.
const CONTRAST: f32 = 0.25;
/// Largest change of each colour, a factor.
const COLOUR: f32 = 0.15;

/// How many pixels an augmented image has along a pixel of what is made of it.
pub(super) const OVERSAMPLING: u32 = 2;

/// One way to take a face. Source and target of a pair are taken the same way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Augmentation {
    mirrored: bool,
    rotation: f32,
    scale: f32,
    shift: [f32; 2],
    gamma: f32,
    contrast: f32,
    colour: [f32; 3],
}

impl Augmentation {
    pub(super) fn draw(mirrored: bool, rng: &mut Rng) -> Self {
        let mut within = |limit: f32| rng.between(-limit, limit);
        Self {
            mirrored,
            rotation: within(ROTATION),
            scale: 1.0 + within(SCALE),
            shift: [within(SHIFT), within(SHIFT)],
            gamma: within(GAMMA).exp(),
            contrast: 1.0 + within(CONTRAST),
            colour: [(); 3].map(|()| 1.0 + within(COLOUR)),
        }
    }

    /// Appends the values in -1..1 of `image`, taken so, at `side` pixels: `[3, side, side]`. The image is a square of
    /// [`OVERSAMPLING`] times that side; where it ends, its border goes on.
    pub(super) fn append(&self, image: &RgbImage, side: usize, values: &mut Vec<f32>) {
        let tones = self.tones();
        let start = values.len();
        values.resize(start + 3 * side * side, 0.0);
        let planes = &mut values[start..];
        let count = OVERSAMPLING as usize * side;
        let share = 1.0 / (OVERSAMPLING * OVERSAMPLING) as f32;
        for y in 0..count {
            for x in 0..count {
                let sampled = sample(image, self.place(x, y, count));
                let pixel = y / OVERSAMPLING as usize * side + x / OVERSAMPLING as usize;
                for (channel, value) in sampled.into_iter().enumerate() {
                    planes[channel * side * side + pixel] += share * value;
                }
            }
        }
        for (plane, tones) in planes.chunks_exact_mut(side * side).zip(&tones) {
            plane.iter_mut().for_each(|value| *value = tone(tones, *value));
        }
    }

    /// Where in the image of `count` pixels a side a place of the result lies, from its first pixel's centre on.
    fn place(&self, x: usize, y: usize, count: usize) -> [f32; 2] {
        let centred = |at: usize| (at as f32 + 0.5) / count as f32 - 0.5;
        let (mut x, y) = (centred(x), centred(y));
        if self.mirrored {
            x = -x;
        }
        let (sine, cosine) = (self.rotation.sin() / self.scale, self.rotation.cos() / self.scale);
        let turned = [cosine * x - sine * y, sine * x + cosine * y];
        [0, 1].map(|axis| (turned[axis] + self.shift[axis] + 0.5) * count as f32 - 0.5)
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

/// The tone of a value of 0..255, between those of its neighbours.
fn tone(tones: &[f32; 256], value: f32) -> f32 {
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
        gamma: 1.0,
        contrast: 1.0,
        colour: [1.0; 3],
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
