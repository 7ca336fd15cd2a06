//! What people look at beside the results: cells of a sheet, the edit as pictures, the frames of a loop.

use image::{Rgb, RgbImage};

use crate::base::image as images;
use crate::photo::align::FaceSquare;
use crate::photo::apply::{SquareEdit, edited};
use crate::photo::file::Photo;

/// Longer side of a loop's frames, in pixels.
const FRAME: u32 = 640;

/// Frames from the input to an expression and back.
const FRAMES: u32 = 28;

/// Milliseconds that a frame is shown, and that the input and the expression stay.
const MOVING: u32 = 40;
const RESTING: u32 = 500;

/// The flow that is shown in full colour, in -1..1 coordinates: a twentieth of the square's side.
const FULL_COLOUR: f32 = 0.1;

/// A face square after an edit.
pub(super) fn cell(square: &RgbImage, edit: &SquareEdit, strength: f32) -> RgbImage {
    edited(square, &[FaceSquare::middle_of(square.dimensions())], &[edit], strength)
}

/// Brings the cells of a sheet to the size of its first.
pub(super) fn same_size(rows: Vec<Vec<RgbImage>>) -> Vec<Vec<RgbImage>> {
    let side = rows.iter().flatten().next().map_or(1, |image| image.width().min(image.height()));
    rows.into_iter().map(|row| row.into_iter().map(|image| images::square(image, side)).collect()).collect()
}

/// The parts of an edit as pictures of `side` pixels: for a painted square the change about mid-grey; else the flow
/// (hue is where a pixel comes from, saturation how far), the mask (white is painted over) and the colour.
pub(super) fn edit_pictures(edit: &SquareEdit, side: u32) -> Vec<(&'static str, RgbImage)> {
    let count = edit.side() as u32;
    let picture = |pixel: &dyn Fn([f32; 2], f32, [f32; 3]) -> [f32; 3]| {
        let image = RgbImage::from_fn(count, count, |x, y| {
            let (flow, mask, colour) = edit.at(x as usize, y as usize);
            Rgb(pixel(flow, mask, colour).map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8))
        });
        images::square(image, side)
    };
    let to_unit = |colour: [f32; 3]| colour.map(|value| (value + 1.0) / 2.0);
    if edit.is_painted() {
        return vec![("change", picture(&|_, _, change| change.map(|value| 0.5 + value / 4.0)))];
    }
    vec![
        ("flow", picture(&|flow, _, _| flow_colour(flow))),
        ("mask", picture(&|_, mask, _| [mask; 3])),
        ("colour", picture(&|_, _, colour| to_unit(colour))),
    ]
}

/// White where nothing moves; the hue is the direction.
fn flow_colour([x, y]: [f32; 2]) -> [f32; 3] {
    let saturation = (x.hypot(y) / FULL_COLOUR).min(1.0);
    let hue = y.atan2(x) / std::f32::consts::TAU * 6.0 + 6.0;
    // Red, green and blue are a third of the circle apart.
    [0.0, 4.0, 2.0].map(|phase| {
        let share = (((hue + phase) % 6.0 - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        1.0 - saturation * (1.0 - share)
    })
}

/// The frames of a loop from the photo to each expression and back, upright and at most 640 pixels long, and how long
/// each is shown. `edits` are those of each face to all expressions.
pub(super) fn animation(
    photo: &Photo,
    squares: &[FaceSquare],
    edits: &[Vec<SquareEdit>],
    strength: f32,
) -> (Vec<RgbImage>, Vec<u32>) {
    let (image, scale) = photo.upright(FRAME);
    let to_frame = |point: [f64; 2]| photo.upright_from_stored(point).map(|value| value / scale);
    let squares: Vec<FaceSquare> = squares.iter().map(|square| square.map(to_frame)).collect();
    let (mut frames, mut milliseconds) = (Vec::new(), Vec::new());
    for target in 0..edits.first().map_or(0, Vec::len) {
        let edits: Vec<&SquareEdit> = edits.iter().map(|edits| &edits[target]).collect();
        for frame in 0..FRAMES {
            let turn = frame as f32 / FRAMES as f32 * std::f32::consts::TAU;
            let strength = strength * (1.0 - turn.cos()) / 2.0;
            frames.push(edited(&image, &squares, &edits, strength));
            milliseconds.push(if frame % (FRAMES / 2) == 0 { RESTING } else { MOVING });
        }
    }
    (frames, milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_s_colours_go_round() {
        assert_eq!(flow_colour([0.0, 0.0]), [1.0; 3]);
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        assert!(close(flow_colour([1.0, 0.0]), [1.0, 0.0, 0.0]));
        assert!(close(flow_colour([-0.5, 3f32.sqrt() / 2.0]), [0.0, 1.0, 0.0]));
        assert!(close(flow_colour([-0.5, -(3f32.sqrt()) / 2.0]), [0.0, 0.0, 1.0]));
    }
}
