//! What stands on a side of a comparison.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use moue::base::error::{Error, Result};
use moue::base::image::has_image_extension;
use moue::data::sources::{Layout, Listing};

use crate::metrics::Statistics;

/// One side of a comparison.
#[derive(Debug, Clone)]
pub enum Side {
    /// Images, two at least.
    Images(ImageSet),
    /// Statistics of images that were measured before.
    Statistics(Statistics),
}

/// Some image files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// The folder or manifest, as it was given.
    pub path: PathBuf,
    /// The files: a manifest's in the order of its rows, a folder's and those below it in the order of their paths.
    pub files: Vec<PathBuf>,
}

impl Side {
    /// Opens a folder, with all images in it and below; a manifest, with the images that it names; or saved statistics,
    /// `.safetensors` or pytorch-fid's `.npz`.
    ///
    /// # Errors
    /// [`Error::Read`] when it does not exist or cannot be read; [`Error::Data`] when it holds no image or only one, or
    /// is a file of another kind.
    pub fn open(path: &Path) -> Result<Self> {
        if fs::metadata(path).map_err(Error::read(path))?.is_dir() {
            return ImageSet::new(path, below(path)?).map(Self::Images);
        }
        let head = head(path, 9)?;
        if head.starts_with(b"PK") || head.get(8) == Some(&b'{') {
            return Statistics::load(path).map(Self::Statistics);
        }
        if has_image_extension(path) {
            let hint = "name the folder that it lies in: the distance is one of sets";
            return Err(Error::data(path, "this is one image", hint));
        }
        let listing = Listing::open(path, Some(Layout::Table))?;
        let files = listing.samples.into_iter().map(|sample| sample.file).collect();
        ImageSet::new(path, files).map(Self::Images)
    }
}

impl ImageSet {
    /// A set of two files at least.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer.
    pub fn new(path: &Path, files: Vec<PathBuf>) -> Result<Self> {
        let problem = match files.len() {
            0 => "it holds no image",
            1 => "it holds one image only",
            _ => return Ok(Self { path: path.to_path_buf(), files }),
        };
        let hint =
            "name a folder of images (PNG, JPEG, WebP, TIFF, BMP), two at least, or a manifest of them";
        Err(Error::data(path, problem, hint))
    }

    /// How many of the files are JPEGs, by their content.
    fn jpegs(&self) -> Result<usize> {
        let mut count = 0;
        for file in &self.files {
            count += usize::from(head(file, 2)? == [0xFF, 0xD8]);
        }
        Ok(count)
    }
}

/// A sentence where one side has JPEGs and the other has files without loss: JPEG's artefacts alone are a distance.
///
/// # Errors
/// [`Error::Read`] for a file that cannot be read.
pub fn format_warning(left: &ImageSet, right: &ImageSet) -> Result<Option<String>> {
    let counts = [(left, left.jpegs()?), (right, right.jpegs()?)];
    if counts.iter().all(|(_, jpegs)| *jpegs == 0)
        || counts.iter().all(|(set, jpegs)| *jpegs == set.files.len())
    {
        return Ok(None);
    }
    let [first, second] = counts.map(|(set, jpegs)| {
        format!("{jpegs} of {} images in {} are JPEG", set.files.len(), set.path.display())
    });
    Ok(Some(format!("{first}, and {second}: JPEG's artefacts alone move the distance")))
}

/// All images in a folder and below, sorted; hidden files are passed over.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut images, mut seen) = (Vec::new(), HashSet::new());
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        // A link to a folder above would lead round in a circle.
        if !seen.insert(folder.canonicalize().map_err(Error::read(&folder))?) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(Error::read(&folder))? {
            let entry = entry.map_err(Error::read(&folder))?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if has_image_extension(&path) {
                images.push(path);
            }
        }
    }
    images.sort_unstable();
    Ok(images)
}

/// A file's first bytes, as many as there are up to `length`.
fn head(path: &Path, length: u64) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(Error::read(path))?;
    file.take(length).read_to_end(&mut head).map_err(Error::read(path))?;
    Ok(head)
}
