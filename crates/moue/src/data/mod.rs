//! Folders of labelled faces, from the disk to the batch on the host.
//!
//! - [`sources`]: what lies in a folder or manifest, one layout a file: [`Dataset`] and its [`Sample`]s, and the
//!   [`sources::Listing`] of photographs that faces are still to be cut from;
//! - [`verify`]: every image is decoded once, so that a long run does not die of a damaged file;
//! - [`split`]: who is trained on and who is held out;
//! - [`pairing`]: one person's faces with two expressions; `domains`: those of one way;
//! - [`loader`]: batch number n, prepared in the background, the same at any number of workers.

mod augment;
mod domains;
#[cfg(test)]
mod fixtures;
pub mod loader;
pub mod pairing;
pub mod sources;
pub mod split;
pub mod verify;

pub use loader::{HostBatch, Loader, LoaderConfig};
pub use sources::{Dataset, Sample};
pub use split::{Identities, Part, Split, SplitBy};
