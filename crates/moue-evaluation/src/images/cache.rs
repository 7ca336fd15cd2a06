//! Features that were computed before, by the content of the image: a second evaluation computes only what changed.
//!
//! An entry is a file of its own, named after the SHA-256 of the image file, in a folder named after what computed it.
//! It ends with the SHA-256 of its numbers: what is damaged or half-written is computed again. Whoever wants the space
//! back may remove all of it at any time.

use std::fs;
use std::path::{Path, PathBuf};

use moue::base::error::{Error, Result};
use sha2::{Digest, Sha256};

use crate::weights::{cache_folder, hex};

/// Part of the folder's name. Another number when the same network would give other numbers for the same file.
const VERSION: u32 = 2;

/// A folder of features, or none.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Keeps features in this folder, which is made when the first come.
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_path_buf()) }
    }

    /// Keeps features in the user's cache for this program, if there is one.
    pub fn of_user() -> Self {
        Self { folder: cache_folder().map(|cache| cache.join("features")) }
    }

    /// Where the answers to one question are: `identity` is all that decides them beside the image, `length` how many
    /// numbers each has.
    pub(crate) fn shelf(&self, identity: &str, length: usize) -> Shelf {
        let name = format!("{VERSION} {length} {identity}");
        let name = hex(&Sha256::digest(name.as_bytes())[..8]);
        Shelf { folder: self.folder.as_ref().map(|folder| folder.join(name)), length }
    }
}

/// The answers to one question.
pub(crate) struct Shelf {
    folder: Option<PathBuf>,
    length: usize,
}

impl Shelf {
    fn path(&self, key: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(&key[..2]).join(&key[2..]))
    }

    /// How many numbers an answer has.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// A whole entry, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<f32>> {
        let bytes = fs::read(self.path(key)?).ok()?;
        let (numbers, hash) = bytes.split_at_checked(4 * self.length)?;
        if Sha256::digest(numbers)[..] != *hash {
            return None;
        }
        Some(numbers.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// Keeps an entry. It is not synced: one that a power failure cut off is told by its hash.
    ///
    /// # Errors
    /// [`Error::Write`] with the path.
    pub(crate) fn put(&self, key: &str, features: &[f32]) -> Result<()> {
        let Some(path) = self.path(key) else { return Ok(()) };
        let mut bytes: Vec<u8> = features.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        // Two programs may compute the same image at a time; both write the same, each under a name of its own.
        let temporary = path.with_extension(format!("{}.partial", std::process::id()));
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&temporary, &bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            Error::write(&path)(error)
        })
    }
}
