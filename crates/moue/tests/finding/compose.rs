//! Photos made of faces.

use image::{Rgb, RgbImage};
use moue::photo::{Face, FaceSquare};

/// A picture moved into another one: `place` is where the unit square of the picture (its whole width both ways) comes
/// to lie in a canvas of `side` pixels. Around it the picture's edge goes on.
pub(crate) fn spread(picture: &RgbImage, place: &FaceSquare, side: u32) -> RgbImage {
    let canvas = f64::from(side);
    let whole = FaceSquare { origin: [0.0, 0.0], across: [canvas, 0.0], down: [0.0, canvas] };
    let width = f64::from(picture.width());
    whole.map(|[x, y]| place.to_square(x, y).map(|value| value * width)).crop(picture, side)
}

/// As [`spread`], into an existing square canvas, and nothing around it.
pub(crate) fn paste(canvas: &mut RgbImage, picture: &RgbImage, place: &FaceSquare) {
    let spread = spread(picture, place, canvas.width());
    let bottom = f64::from(picture.height()) / f64::from(picture.width());
    for (x, y, pixel) in canvas.enumerate_pixels_mut() {
        let [u, v] = place.to_square(f64::from(x) + 0.5, f64::from(y) + 0.5);
        if (0.0..1.0).contains(&u) && (0.0..bottom).contains(&v) {
            *pixel = *spread.get_pixel(x, y);
        }
    }
}

/// A level square around a point.
pub(crate) fn level(middle: [f64; 2], side: f64) -> FaceSquare {
    turned(middle, side, 0.0)
}

/// A square around a point, turned clockwise.
pub(crate) fn turned(middle: [f64; 2], side: f64, degrees: f64) -> FaceSquare {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (across, down) = ([side * cosine, side * sine], [-side * sine, side * cosine]);
    let origin = [0, 1].map(|axis| middle[axis] - (across[axis] + down[axis]) / 2.0);
    FaceSquare { origin, across, down }
}

/// A plain canvas.
pub(crate) fn plain(side: u32) -> RgbImage {
    RgbImage::from_pixel(side, side, Rgb([176, 182, 188]))
}

/// The errors of the left and the right eye, in % of the distance of the true ones.
pub(crate) fn eye_errors(face: &Face, [left, right]: [[f64; 2]; 2]) -> [f64; 2] {
    let distance = |a: [f64; 2], b: [f64; 2]| f64::hypot(a[0] - b[0], a[1] - b[1]);
    let unit = distance(left, right) / 100.0;
    [distance(face.left_eye, left) / unit, distance(face.right_eye, right) / unit]
}
