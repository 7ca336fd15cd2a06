//! What everything stands on: expressions, faces, images, the device, randomness, the error.

pub mod device;
pub mod error;
pub mod expression;
pub mod faces;
pub mod file;
pub mod image;
pub mod rng;
