//! Distances between two sets of features. All are in f64, need no randomness, and give the same bits at any number
//! of threads.
//!
//! | module | what it holds |
//! |---|---|
//! | [`features`] | a set of feature vectors |
//! | [`pairs`] | the products of all pairs of vectors, of which the distances below are made |
//! | [`statistics`] | mean and scatter, which merge and can be saved |
//! | [`frechet`] | the Fréchet distance (FID) |
//! | [`kernel`] | the kernel distance (KID) with its standard error |
//! | [`precision_recall`] | precision, recall, density and coverage |

pub mod features;
pub mod frechet;
pub mod kernel;
mod linear;
mod npz;
pub mod pairs;
pub mod precision_recall;
pub mod statistics;

pub use features::Features;
pub use pairs::{Draw, Gram, Pairs, Streamed};
pub use statistics::Statistics;
