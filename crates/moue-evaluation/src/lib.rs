//! How good synthesised expressions are, in numbers that say how far they can be trusted.
//!
//! | module | what it holds |
//! |---|---|
//! | [`judges`] | what is asked about face squares: expression, identity, perceptual distance, the mouth's tilt |
//! | [`accuracy`] | classifiers' answers, counted |
//! | [`contempt`] | moue's own figure for the one expression that no classifier knows |
//! | [`crops`] | the part of a square that networks want to see |
//! | [`networks`] | the networks, and where their weights are from |
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod accuracy;
pub mod contempt;
pub mod crops;
pub mod judges;
pub mod networks;
