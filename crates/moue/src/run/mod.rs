//! What the library does from beginning to end: runs and their checkpoints, training, translation, weights in and out.
//! It knows files, data and methods, but no method by name.

pub mod checkpoint;
pub mod config;
pub mod events;
pub mod exchange;
pub mod folder;
pub mod model;
pub mod outputs;
mod pictures;
mod samples;
pub mod train;
pub mod translate;
