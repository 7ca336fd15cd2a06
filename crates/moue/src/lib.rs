//! Facial-expression synthesis with GANs: give it a face and one of eight expressions, it shows the same person with
//! that expression.
//!
//! | module | what it holds |
//! |---|---|
//! | [`base`] | expressions, faces, image files, the device, randomness, the error |
//! | [`nn`] | the blocks that networks are built of, losses, the optimiser |
//! | [`methods`] | the methods, each a file shaped like its paper |
//! | [`photo`] | photographs: files with everything kept, the faces in them, an edit in their own pixels |
//! | [`data`] | data sets, their split by identity, the loader |
//! | [`run`] | training, checkpoints, translation, weights in and out |
//!
//! Imports go down only: `base` knows nobody, `nn` knows `base`, `methods` and `photo` know `nn` and `base`, `data` knows
//! `base`, `run` knows them all.
//!
//! On the CPU the operations share the threads of rayon's pool. Call what runs networks from one of those, as by
//! `rayon::scope(|_| …)`: from any other thread each operation wakes one of them and waits for it, by which a small network
//! takes up to half as long again.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod base;
pub mod data;
pub mod methods;
pub mod nn;
pub mod photo;
pub mod run;
