//! Photographs: files in and out with everything kept, and animations.

pub mod animation;
mod exif;
pub mod file;
mod jpeg;
mod kind;
pub mod pixels;
mod png;
mod resources;
mod tags;
#[cfg(test)]
mod tests;
mod tiff;
pub mod turn;
mod webp;
pub mod write;
mod xmp;
