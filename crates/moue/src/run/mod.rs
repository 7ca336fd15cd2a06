//! What the library does from beginning to end: photographs made a data set, runs and their checkpoints, training,
//! translation, weights in and out.
//! It knows files, data and methods, but no method by name.

pub mod checkpoint;
pub mod config;
pub mod events;
pub mod exchange;
pub mod folder;
mod journal;
pub mod model;
pub mod outputs;
mod pictures;
pub mod prepare;
mod samples;
pub mod set;
pub mod summary;
pub mod train;
pub mod translate;
