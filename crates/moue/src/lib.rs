//! Facial-expression synthesis with GANs.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod base;
pub mod data;
