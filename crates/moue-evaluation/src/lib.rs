//! How good synthesised expressions are, in numbers that say how far they can be trusted.
//!
//! | module | what it holds |
//! |---|---|
//! | [`protocol`] | who is asked to show what, and what the results are held against |
//! | [`weights`] | where the networks that judge images come from: a folder, the cache, a public package |
//! | [`networks`] | those networks |
//! | [`images`] | the two sides of a comparison, and features of their images, kept by content |
//! | [`judges`] | what is asked about face squares: expression, identity, perceptual distance, the mouth's tilt |
//! | [`accuracy`] | classifiers' answers, counted |
//! | [`contempt`] | moue's own figure for the one expression that no classifier knows |
//! | [`crops`] | the part of a square that networks want to see |
//! | [`metrics`] | distances between two sets of features: Fréchet, kernel, precision and recall |
//! | [`bootstrap`] | intervals over draws of people |
//! | [`mod@evaluate`] | models judged by one protocol on the same images |
//! | [`page`] | a comparison as one page, with its figures |
//! | [`plan`] | several runs that are trained to be compared |
//! | [`scores`] | what an evaluation finds |
//! | [`seen`] | whether a model was trained on those who are judged |
//! | [`table`] | the same for terminals, Markdown, CSV, LaTeX |
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod accuracy;
mod ask;
pub mod bootstrap;
pub mod contempt;
pub mod crops;
pub mod evaluate;
pub mod images;
pub mod judges;
mod looks;
mod material;
pub mod metrics;
pub mod networks;
pub mod page;
pub mod plan;
pub mod protocol;
mod rows;
pub mod scores;
pub mod seen;
pub mod table;
pub mod weights;
