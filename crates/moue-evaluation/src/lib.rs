//! How good synthesised expressions are, in numbers that say how far they can be trusted.
//!
//! | module | what it holds |
//! |---|---|
//! | [`weights`] | where the networks that judge images come from: a folder, the cache, a public package |
//! | [`networks`] | those networks |
//! | [`images`] | the two sides of a comparison, and features of their images, kept by content |
//! | [`metrics`] | distances between two sets of features: Fréchet, kernel, precision and recall |
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod images;
pub mod metrics;
pub mod networks;
pub mod weights;
