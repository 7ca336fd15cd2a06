//! How good synthesised expressions are, in numbers that say how far they can be trusted.
//!
//! | module | what it holds |
//! |---|---|
//! | [`protocol`] | who is asked to show what, and what the results are held against |
//! | [`judges`] | what is asked about face squares: expression, identity, perceptual distance, the mouth's tilt |
//! | [`accuracy`] | classifiers' answers, counted |
//! | [`contempt`] | moue's own figure for the one expression that no classifier knows |
//! | [`crops`] | the part of a square that networks want to see |
//! | [`networks`] | the networks, and where their weights are from |
//! | [`bootstrap`] | intervals over draws of people |
//! | [`scores`] | what an evaluation finds |
//! | [`table`] | the same for terminals, Markdown, CSV, LaTeX |
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod accuracy;
pub mod bootstrap;
pub mod contempt;
pub mod crops;
pub mod judges;
pub mod networks;
pub mod protocol;
pub mod scores;
pub mod table;
