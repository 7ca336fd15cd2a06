//! Photographs: files in and out with everything kept, where the faces are, and an edit in a photo's own pixels.
//!
//! Coordinates are continuous everywhere, in pixels: (0, 0) is the outer corner of the first pixel, x runs to the
//! right and y down, and the centre of the pixel in column i and row j is (i + 0.5, j + 0.5).

pub mod align;
pub mod animation;
pub mod apply;
mod detect;
mod exif;
mod feather;
pub mod features;
pub mod file;
pub mod find;
mod iris;
mod jpeg;
mod kind;
pub mod landmarks;
pub mod pixels;
mod png;
mod resources;
mod square_edit;
mod tags;
#[cfg(test)]
mod tests;
mod tiff;
pub mod turn;
mod webp;
pub mod weights;
pub mod write;
mod xmp;

pub use self::align::FaceSquare;
pub use self::find::{Face, Finder};
