//! Networks that judge images.

pub mod inception;
mod inception_weights;
mod resize;

pub use inception_weights::INCEPTION;
pub use resize::Resize;
