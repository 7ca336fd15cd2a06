//! Features of image files, from the cache where they are known.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use moue::base::error::{Error, Result};
use moue::base::image::read;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::cache::Cache;
use crate::metrics::Features;
use crate::weights::hex;

/// Something that makes a vector of each image.
pub trait Extractor {
    /// Everything that decides the numbers: network, weights, preprocessing, kind of device.
    fn identity(&self) -> String;

    /// Length of a vector.
    fn dimensions(&self) -> usize;

    /// The vectors of some images, one after the other. An image's vector does not depend on the others.
    ///
    /// # Errors
    /// What the extractor says.
    fn extract(&self, images: &[RgbImage]) -> Result<Vec<f32>>;
}

/// Features of image files, and how they were got.
#[derive(Debug)]
pub struct Extracted {
    /// A vector for each file, in their order.
    pub features: Features,
    /// How many images went through the network; the others were known, or copies of one that did.
    pub computed: usize,
    /// Why nothing more was kept, where the cache could not be written. The features are complete all the same.
    pub unkept: Option<Error>,
}

/// The features of some image files; `batch` of them go through the extractor together. `progress` hears how many are
/// done of how many.
///
/// # Errors
/// [`Error::Read`] or [`Error::Image`] naming the first file that cannot be used; [`Error::Config`] for a vector that
/// is not finite.
pub fn extract(
    extractor: &dyn Extractor,
    files: &[PathBuf],
    cache: &Cache,
    batch: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Extracted> {
    let shelf = cache.shelf(&extractor.identity(), extractor.dimensions());
    let keys = first_error(files.par_iter().map(|file| key(file)).collect())?;
    let mut known: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        if known.contains_key(key.as_str()) || missing.contains_key(key.as_str()) {
            continue;
        }
        match shelf.get(key) {
            Some(features) => drop(known.insert(key, features)),
            None => drop(missing.insert(key, index)),
        }
    }
    let mut missing: Vec<(&str, usize)> = missing.into_iter().collect();
    missing.sort_unstable_by_key(|(_, index)| *index);
    let (computed, mut unkept) = (missing.len(), None);
    progress(files.len() - computed, files.len());
    for (number, group) in missing.chunks(batch.max(1)).enumerate() {
        let images = first_error(group.par_iter().map(|(_, index)| read(&files[*index])).collect())?;
        let features = extractor.extract(&images)?;
        for ((key, index), features) in group.iter().zip(features.chunks_exact(extractor.dimensions())) {
            if features.iter().any(|value| !value.is_finite()) {
                return Err(Error::image(&files[*index], "its features are not finite"));
            }
            if unkept.is_none() {
                unkept = shelf.put(key, features).err();
            }
            known.insert(key, features.to_vec());
        }
        progress(files.len() - computed + number * batch.max(1) + group.len(), files.len());
    }
    let values = keys.iter().flat_map(|key| known[key.as_str()].iter().copied()).collect();
    Ok(Extracted { features: Features::new(extractor.dimensions(), values)?, computed, unkept })
}

/// SHA-256 of a file's bytes.
fn key(file: &Path) -> Result<String> {
    Ok(hex(&Sha256::digest(fs::read(file).map_err(Error::read(file))?)))
}

/// All values, or the first error in the order of the files.
fn first_error<T>(results: Vec<Result<T>>) -> Result<Vec<T>> {
    results.into_iter().collect()
}
