//! Photographs: where the faces are in them, and the squares that the networks see.
//!
//! Coordinates are continuous everywhere, in pixels: (0, 0) is the outer corner of the first pixel, x runs to the
//! right and y down, and the centre of the pixel in column i and row j is (i + 0.5, j + 0.5).

pub mod align;
mod detect;
pub mod find;
mod iris;
mod landmarks;
mod weights;

pub use self::align::FaceSquare;
pub use self::find::{Face, Finder};
