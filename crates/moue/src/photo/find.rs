//! The faces of a photo, found in steps: a detector looks at the whole, a second time at each face by itself, and the
//! landmarks and irises say exactly where the eyes are.

use burn::tensor::Device;
use image::RgbImage;

use super::align::{FaceSquare, reduced};
use super::detect::{Candidate, Detector, VIEW};
use super::iris;
use super::landmarks::{Landmarks, MOUTH, eye_centres};

/// A score from which on a part of a photo is looked at more closely.
const SUSPECTED: f64 = 0.35;
/// A score from which on that closer look has seen a face. The 96 rendered faces have 0.86 to 0.93 there, and so have the
/// photographs of people that were looked at.
const SEEN: f64 = 0.65;
/// The least distance of the eyes in pixels. 104 pictures without faces (diagrams, icons, screenshots, photographs of
/// circuit boards) had 15 false faces, all with less than 7.4; and of so few pixels no network makes a face.
const LEAST_DISTANCE: f64 = 8.0;
/// The side of the closer look's square, in sides of the face's box.
const CLOSER: f64 = 2.0;
/// Photos are reduced by an integer factor so long as they stay this long, in pixels, for all but the last steps.
const LONG: u32 = 2048;
/// The most squares of one size that a photo is divided into.
const MOST_TILES: usize = 80;

/// A face in a photo. All places are in pixels of the photo, see [`crate::photo`].
///
/// Left and right are as seen in the image of the face when it stands upright: the left eye of this is the person's right
/// eye, unless the photo is mirrored.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// Centre of the left eye: of its iris where that can be seen, else of its lids.
    pub left_eye: [f64; 2],
    /// Centre of the right eye.
    pub right_eye: [f64; 2],
    /// How sure the detector is, 0.65 to 1.
    pub score: f32,
    /// The 68 points of the iBUG 300-W annotations: 0-16 the jaw from left to right, 17-21 and 22-26 the brows, 27-35 the
    /// nose, 36-41 and 42-47 the eyes' lids, 48-59 the outer and 60-67 the inner lips. Where the photo's edge cuts the
    /// face off they are guessed and may lie outside.
    pub landmarks: Vec<[f64; 2]>,
    /// Left, top, right and bottom of the landmarks.
    pub bounds: [f64; 4],
}

impl Face {
    /// The square that frames this face for a network; see [`FaceSquare::from_eyes`].
    pub fn square(&self) -> FaceSquare {
        FaceSquare::from_eyes(self.left_eye, self.right_eye)
    }

    /// The same face in a photo of `factor` times the size.
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = |point: [f64; 2]| point.map(|value| value * factor);
        Self {
            left_eye: scaled(self.left_eye),
            right_eye: scaled(self.right_eye),
            score: self.score,
            landmarks: self.landmarks.into_iter().map(scaled).collect(),
            bounds: self.bounds.map(|value| value * factor),
        }
    }

    /// How far the line of the eyes is turned from the horizontal, in degrees from -180 to 180; positive is clockwise, so
    /// that the right eye is the lower one.
    pub fn roll_degrees(&self) -> f64 {
        let [dx, dy] = [0, 1].map(|axis| self.right_eye[axis] - self.left_eye[axis]);
        dy.atan2(dx).to_degrees()
    }

    /// Distance between the eyes in pixels.
    pub fn eye_distance(&self) -> f64 {
        let [dx, dy] = [0, 1].map(|axis| self.right_eye[axis] - self.left_eye[axis]);
        dx.hypot(dy)
    }

    /// Whether both eyes and the whole mouth lie inside of a photo of this size, a tenth of the eyes' distance from its edge.
    /// Where they do not, the edge cuts off what an expression is made of.
    pub fn is_whole(&self, width: u32, height: u32) -> bool {
        // The radius of an iris. A mouth that is cut off is guessed to lie at the very edge.
        let margin = 0.1 * self.eye_distance();
        let inside = |&[x, y]: &[f64; 2]| {
            (margin..=f64::from(width) - margin).contains(&x)
                && (margin..=f64::from(height) - margin).contains(&y)
        };
        [self.left_eye, self.right_eye].iter().chain(&self.landmarks[MOUTH]).all(inside)
    }
}

/// Finds faces.
#[derive(Debug, Clone)]
pub struct Finder {
    detector: Detector,
    landmarks: Landmarks,
}

impl Finder {
    /// The finder with its embedded networks, which compute on `device`.
    pub fn new(device: &Device) -> Self {
        Self { detector: Detector::new(device), landmarks: Landmarks::new(device) }
    }

    /// The faces of a photo, the largest first; none is a result, not an error.
    ///
    /// The whole photo is looked at first: faces at any rotation are found there whose eyes are about 3 pixels apart or more
    /// when the photo is made 256 pixels long. Only where that finds nothing, parts are looked at, down to a quarter of
    /// the shorter side; so small faces beside large ones may be missed. Faces of less than 8 pixels between the eyes do not
    /// count. A photo of any size takes at most 50 MB beside itself.
    pub fn find(&self, photo: &RgbImage) -> Vec<Face> {
        let (width, height) = photo.dimensions();
        if width == 0 || height == 0 {
            return Vec::new();
        }
        let factor = (width.max(height) / LONG).max(1);
        let copy = (factor > 1).then(|| reduced(photo, factor));
        let small = copy.as_ref().unwrap_or(photo);
        for squares in looks(width.div_ceil(factor), height.div_ceil(factor)) {
            let candidates = self.detector.detect(small, &squares, SUSPECTED);
            let mut faces = Vec::<Face>::new();
            for candidate in candidates.iter().filter_map(|candidate| self.look_closer(small, candidate)) {
                let face = self.face(photo, f64::from(factor), &candidate);
                faces.extend(face.filter(|face| !faces.iter().any(|other| are_one(other, face))));
            }
            if !faces.is_empty() {
                let area = |face: &Face| {
                    let [left, top, right, bottom] = face.bounds;
                    (right - left) * (bottom - top)
                };
                faces.sort_by(|a, b| area(b).total_cmp(&area(a)));
                return faces;
            }
        }
        Vec::new()
    }

    /// The candidate as seen in a square around it alone, level with its eyes, if there is a face.
    fn look_closer(&self, photo: &RgbImage, candidate: &Candidate) -> Option<Candidate> {
        let [left, right, ..] = candidate.points;
        let [dx, dy] = [right[0] - left[0], right[1] - left[1]];
        let distance = dx.hypot(dy);
        if distance == 0.0 {
            return None;
        }
        let side = CLOSER * candidate.size;
        let across = [dx / distance * side, dy / distance * side];
        let down = [-across[1], across[0]];
        let origin = [0, 1].map(|axis| candidate.middle[axis] - (across[axis] + down[axis]) / 2.0);
        let seen = self.detector.detect(photo, &[FaceSquare { origin, across, down }], SEEN);
        let best = seen.into_iter().max_by(|a, b| a.overlap(candidate).total_cmp(&b.overlap(candidate)))?;
        (best.overlap(candidate) > 0.3).then_some(best)
    }

    /// The face of a candidate whose coordinates are `factor` times smaller than the photo's.
    fn face(&self, photo: &RgbImage, factor: f64, candidate: &Candidate) -> Option<Face> {
        let enlarged = |point: [f64; 2]| point.map(|value| value * factor);
        let [left, right, ..] = candidate.points.map(enlarged);
        let landmarks = self.landmarks.locate(photo, enlarged(candidate.middle), [left, right])?;
        let [left_eye, right_eye] = iris::refine(photo, eye_centres(&landmarks));
        let distance = f64::hypot(right_eye[0] - left_eye[0], right_eye[1] - left_eye[1]);
        if distance < LEAST_DISTANCE {
            return None;
        }
        let extreme = |axis: usize, pick: fn(f64, f64) -> f64| {
            landmarks.iter().map(|point| point[axis]).reduce(pick).unwrap_or_default()
        };
        let bounds = [extreme(0, f64::min), extreme(1, f64::min), extreme(0, f64::max), extreme(1, f64::max)];
        Some(Face { left_eye, right_eye, score: candidate.score as f32, landmarks, bounds })
    }
}

/// Whether two findings are of the same face: their middles are nearer than the eyes of the larger one.
fn are_one(a: &Face, b: &Face) -> bool {
    let middle = |face: &Face, axis: usize| (face.left_eye[axis] + face.right_eye[axis]) / 2.0;
    let distance = f64::hypot(middle(a, 0) - middle(b, 0), middle(a, 1) - middle(b, 1));
    distance < a.eye_distance().max(b.eye_distance())
}

/// The squares that are looked at, one after the other until some of them show a face.
fn looks(width: u32, height: u32) -> Vec<Vec<FaceSquare>> {
    let (long, short) = (f64::from(width.max(height)), f64::from(width.min(height)));
    let middle = [f64::from(width) / 2.0, f64::from(height) / 2.0];
    let around = |side: f64, degrees: f64| {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let (across, down) = ([side * cosine, side * sine], [-side * sine, side * cosine]);
        let origin = [0, 1].map(|axis| middle[axis] - (across[axis] + down[axis]) / 2.0);
        FaceSquare { origin, across, down }
    };
    let mut looks = vec![
        vec![around(long, 0.0)],
        // A face that fills the photo, and one on its head that does not look like an upright one.
        vec![around(1.6 * long, 0.0), around(long, 180.0)],
    ];
    let mut side = if long > 1.25 * short { short } else { short / 2.0 };
    // A tile smaller than a view would show faces of too few pixels.
    while side >= short / 4.0 && side >= f64::from(VIEW) {
        let tiles = tiles(f64::from(width), f64::from(height), side);
        if tiles.len() <= MOST_TILES {
            looks.push(tiles);
        }
        side /= 2.0;
    }
    looks
}

/// Squares that cover a photo and overlap by a third or more, so that a face of that size is whole in one of them.
fn tiles(width: f64, height: f64, side: f64) -> Vec<FaceSquare> {
    let starts = |length: f64| {
        let gaps = ((length - side).max(0.0) / (side * 2.0 / 3.0)).ceil();
        let step = if gaps > 0.0 { (length - side) / gaps } else { 0.0 };
        (0..=gaps as usize).map(move |index| step * index as f64)
    };
    let tile = |x: f64, y: f64| FaceSquare { origin: [x, y], across: [side, 0.0], down: [0.0, side] };
    starts(height).flat_map(|y| starts(width).map(move |x| tile(x, y))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_photo_and_overlap_by_a_third() {
        let squares = tiles(1000.0, 400.0, 400.0);
        let starts: Vec<_> = squares.iter().map(|square| square.origin).collect();
        assert_eq!(starts, [[0.0, 0.0], [200.0, 0.0], [400.0, 0.0], [600.0, 0.0]]);
        assert_eq!(tiles(300.0, 300.0, 300.0).len(), 1);
    }

    #[test]
    fn the_number_of_looks_is_bounded() {
        for (width, height) in [(1, 1), (4095, 4095), (4000, 3000), (4095, 10), (4095, 300), (10, 4095)] {
            let total: usize = looks(width, height).iter().map(Vec::len).sum();
            assert!(total <= 3 + 3 * MOST_TILES, "{width} x {height}: {total}");
        }
    }

    #[test]
    fn a_face_without_its_mouth_or_an_eye_is_not_whole() {
        let mut face = Face {
            left_eye: [40.0, 40.0],
            right_eye: [80.0, 40.0],
            score: 1.0,
            landmarks: vec![[60.0, 90.0]; 68],
            bounds: [30.0, 30.0, 90.0, 100.0],
        };
        assert!(face.is_whole(120, 100));
        assert!(!face.is_whole(120, 93));
        assert!(!face.is_whole(83, 100));
        assert_eq!((face.roll_degrees(), face.square().side()), (0.0, 160.0));
        face.right_eye = [40.0, 80.0];
        assert_eq!(face.roll_degrees(), 90.0);
        face.left_eye = [3.0, 40.0];
        assert!(!face.is_whole(120, 100));
    }
}
