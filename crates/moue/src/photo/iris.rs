//! The irises: where a face looks from, more exactly than its lids tell.
//!
//! The middle of six lid points misses the pupil by 1.9 % of the distance of the eyes in the mean, mostly to the side and
//! differently from person to person. So a circle is sought around that middle whose inside is darker than its outside,
//! left and right, where no lid covers it (Daugman 1993, the integro-differential operator). Irises have nearly the same
//! size in everybody, which the eyes' distance gives.
//!
//! Lengths are in distances of the eyes unless a comment says something else.

use image::RgbImage;

use super::align::FaceSquare;

/// Side of the square around an eye.
const PATCH: f64 = 0.6;
/// Its pixels.
const PIXELS: usize = 96;
/// Standard deviation of the smoothing before, and half the way over which brightness may rise at the circle.
const BLUR: f64 = 0.012;
const RISE: f64 = 0.014;
/// How far from the middle of the lids circles are tried, sideways and up, and from one to the next.
const REACH: [i32; 2] = [11, 7];
const STEP: f64 = 0.01;
/// Radii that are tried. The mean over people is 0.092.
const RADII: [f64; 6] = [0.072, 0.080, 0.088, 0.096, 0.104, 0.112];
const USUAL_RADIUS: f64 = 0.092;
/// Standard deviations of an iris from the middle of the lids, and of its radius.
const USUAL_DISTANCE: f64 = 0.03;
const RADIUS_SPREAD: f64 = 0.012;
/// Contrasts, in standard deviations of the patch: below the first there is no iris to be seen (a closed eye, dark
/// glasses, a face of few pixels), above the second it is believed wholly.
const DOUBTFUL: f64 = 0.45;
const SURE: f64 = 0.75;
/// How far both irises together may lie to one side of their lids. More is a glance to that side, which turns no head:
/// the face stays where it is.
const GLANCE: f64 = 0.03;

/// The centres of the eyes, given the middles of their lids, all in pixels of the photo: those of the irises where these
/// can be seen.
pub(super) fn refine(photo: &RgbImage, lids: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    let [left, right] = lids;
    let across = [right[0] - left[0], right[1] - left[1]];
    let down = [-across[1], across[0]];
    let shifts = lids.map(|middle| {
        let origin = [0, 1].map(|axis| middle[axis] - PATCH / 2.0 * (across[axis] + down[axis]));
        let square = FaceSquare { origin, across: across.map(|x| PATCH * x), down: down.map(|x| PATCH * x) };
        let (shift, contrast) = search(&Patch::new(&square.crop(photo, PIXELS as u32)));
        let trust = ((contrast - DOUBTFUL) / (SURE - DOUBTFUL)).clamp(0.0, 1.0);
        shift.map(|value| trust * value)
    });
    let together = (shifts[0][0] + shifts[1][0]) / 2.0;
    let excess = together - together.clamp(-GLANCE, GLANCE);
    [0, 1].map(|eye| {
        let [u, v] = [shifts[eye][0] - excess, shifts[eye][1]];
        [0, 1].map(|axis| lids[eye][axis] + u * across[axis] + v * down[axis])
    })
}

/// Where the iris lies, seen from the patch's middle, and the contrast of its rim. The best circle is the darkest inside
/// against outside, less what its place and radius lack in likelihood; nearly as good ones pull it a little.
fn search(patch: &Patch) -> ([f64; 2], f64) {
    let mut places = Vec::new();
    for row in -REACH[1]..=REACH[1] {
        for column in -REACH[0]..=REACH[0] {
            let [x, y] = [column, row].map(|index| f64::from(index) * STEP);
            let distance = (x * x + 1.5 * y * y) / (2.0 * USUAL_DISTANCE * USUAL_DISTANCE);
            let (contrast, value) = RADII
                .map(|radius| {
                    let contrast = patch.contrast([x, y], radius);
                    let deviation = (radius - USUAL_RADIUS) / RADIUS_SPREAD;
                    (contrast, contrast - 0.1 * distance - 0.05 * deviation * deviation)
                })
                .into_iter()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .expect("there are radii");
            places.push(([x, y], contrast, value));
        }
    }
    let best = places.iter().max_by(|a, b| a.2.total_cmp(&b.2)).expect("there are places");
    let weights: Vec<_> = places.iter().map(|place| ((place.2 - best.2) / 0.03).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mean =
        |axis: usize| places.iter().zip(&weights).map(|(place, weight)| weight * place.0[axis]).sum::<f64>();
    ([mean(0) / total, mean(1) / total], best.1)
}

/// The smoothed brightness around an eye.
struct Patch {
    /// `PIXELS` rows of as many, 0 to 255.
    values: Vec<f64>,
    /// Standard deviation of the middle quarter.
    spread: f64,
    /// Cosines and sines from 36 degrees above the horizontal, where the upper lid is, to 48 below.
    directions: [[f64; 2]; 15],
}

impl Patch {
    fn new(image: &RgbImage) -> Self {
        // Red and green: brown irises, blue ones and skin differ most there.
        let brightness = |pixel: &image::Rgb<u8>| {
            let [red, green, blue] = pixel.0.map(f64::from);
            0.5 * red + 0.4 * green + 0.1 * blue
        };
        let values: Vec<f64> = image.pixels().map(brightness).collect();
        let values = blur(&transposed(&blur(&transposed(&values))));
        let middle = || {
            let rows = values.chunks(PIXELS).skip(PIXELS / 4).take(PIXELS / 2);
            rows.flat_map(|row| &row[PIXELS / 4..PIXELS * 3 / 4])
        };
        let count = (PIXELS * PIXELS / 4) as f64;
        let mean = middle().sum::<f64>() / count;
        let variance = middle().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
        // Four levels more, so that noise in an even patch is no contrast.
        let directions = std::array::from_fn(|index| {
            let angle = (6.0 * index as f64 - 36.0).to_radians();
            [angle.cos(), angle.sin()]
        });
        Self { spread: variance.sqrt() + 4.0, values, directions }
    }

    /// How much brighter it gets across the left and right of a circle, in spreads. A circle counts as its weaker side
    /// and its mean do.
    fn contrast(&self, centre: [f64; 2], radius: f64) -> f64 {
        let side = |sign: f64| {
            let (mut sum, mut count) = (0.0, 0.0);
            for [cosine, sine] in self.directions {
                let at = |radius: f64| self.at(centre[0] + sign * radius * cosine, centre[1] + radius * sine);
                // A glint or the edge of a lid does not count for more than a good iris.
                sum += ((at(radius + RISE) - at(radius - RISE)) / self.spread).min(1.5);
                count += 1.0;
            }
            sum / count
        };
        let (left, right) = (side(-1.0), side(1.0));
        0.5 * left.min(right) + 0.25 * (left + right)
    }

    /// The brightness at a place seen from the middle, between pixels linearly.
    fn at(&self, x: f64, y: f64) -> f64 {
        let pixels = PIXELS as f64;
        let inside = |value: f64| (pixels / 2.0 + value * pixels / PATCH - 0.5).clamp(0.0, pixels - 1.001);
        let [x, y] = [inside(x), inside(y)];
        let corner = y as usize * PIXELS + x as usize;
        let (x, y) = (x.fract(), y.fract());
        let row = |start: usize| self.values[start] * (1.0 - x) + self.values[start + 1] * x;
        row(corner) * (1.0 - y) + row(corner + PIXELS) * y
    }
}

/// Each row smoothed by a Gaussian; beyond its ends it goes on as it is there.
fn blur(values: &[f64]) -> Vec<f64> {
    let deviation = BLUR * PIXELS as f64 / PATCH;
    let reach = (4.0 * deviation).ceil() as i64;
    let kernel: Vec<f64> = (-reach..=reach).map(|x| (-0.5 * (x as f64 / deviation).powi(2)).exp()).collect();
    let total: f64 = kernel.iter().sum();
    let smoothed = |row: &[f64], at: i64| {
        let pixel = |offset: i64| row[(at + offset).clamp(0, PIXELS as i64 - 1) as usize];
        (-reach..=reach).zip(&kernel).map(|(offset, weight)| weight * pixel(offset)).sum::<f64>() / total
    };
    values
        .chunks(PIXELS)
        .flat_map(|row| (0..PIXELS as i64).map(|at| smoothed(row, at)).collect::<Vec<_>>())
        .collect()
}

fn transposed(values: &[f64]) -> Vec<f64> {
    (0..PIXELS * PIXELS).map(|at| values[at % PIXELS * PIXELS + at / PIXELS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Two drawn eyes of 100 pixels' distance: skin, a white almond, a brown disc at `shift` from the almond's middle.
    fn eyes(shift: [[f64; 2]; 2], lids: [[f64; 2]; 2], open: f64) -> RgbImage {
        RgbImage::from_fn(220, 120, |x, y| {
            let colour = |x: f64, y: f64| {
                for eye in 0..2 {
                    let [dx, dy] = [x - lids[eye][0], y - lids[eye][1]];
                    if dy.abs() > open * 8.0 * (1.0 - (dx / 20.0).powi(2)) {
                        continue;
                    }
                    let inside = f64::hypot(dx - shift[eye][0], dy - shift[eye][1]) < 9.2;
                    return if inside { [70.0, 45.0, 30.0] } else { [225.0, 220.0, 215.0] };
                }
                [190.0, 150.0, 130.0]
            };
            let corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
            let samples = corners.map(|(dx, dy)| colour(f64::from(x) + dx, f64::from(y) + dy));
            Rgb([0, 1, 2].map(|channel| (samples.iter().map(|s| s[channel]).sum::<f64>() / 4.0) as u8))
        })
    }

    const LIDS: [[f64; 2]; 2] = [[60.0, 60.0], [160.0, 60.0]];

    #[track_caller]
    fn near(found: [[f64; 2]; 2], expected: [[f64; 2]; 2], tolerance: f64) {
        for (a, b) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((a - b).abs() < tolerance, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn irises_are_found_beside_the_middle_of_the_lids() {
        let photo = eyes([[4.0, -1.0], [-3.0, -1.0]], LIDS, 1.0);
        near(refine(&photo, LIDS), [[64.0, 59.0], [157.0, 59.0]], 1.0);
    }

    #[test]
    fn a_glance_moves_the_face_little() {
        let photo = eyes([[7.0, 0.0], [7.0, 0.0]], LIDS, 1.0);
        near(refine(&photo, LIDS), [[63.0, 60.0], [163.0, 60.0]], 1.0);
    }

    #[test]
    fn closed_eyes_stay_where_their_lids_are() {
        near(refine(&eyes([[0.0; 2]; 2], LIDS, 0.0), LIDS), LIDS, 0.1);
        let lashes = eyes([[0.0; 2]; 2], LIDS, 0.12);
        near(refine(&lashes, LIDS), LIDS, 2.0);
    }
}
