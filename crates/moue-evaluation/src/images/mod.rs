//! The two sides of a comparison: which images they are, and features of them.

mod cache;
mod extract;
mod side;

pub use cache::Cache;
pub(crate) use cache::Shelf;
pub use extract::{Extracted, Extractor, extract};
pub use side::{ImageSet, Side, format_warning};
