//! How good synthesised expressions are, in numbers that say how far they can be trusted.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod bootstrap;
pub mod protocol;
pub mod scores;
pub mod table;
