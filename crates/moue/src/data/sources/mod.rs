//! Data sets as they lie on the disk, one layout a file.

mod folders;
mod listing;
mod manifest;
mod rafd;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub use self::listing::{Layout, Listing};
pub use self::rafd::PaperSubset;
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;

/// The manifest's name in a data set's folder.
const MANIFEST: &str = "manifest.csv";

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The image file: absolute, or relative to the working directory.
    pub file: PathBuf,
    /// What the face shows.
    pub expression: Expression,
    /// Who it is, where the data set says so: then it says so of every image.
    pub identity: Option<String>,
    /// Where the eyes look, as the data set spells it.
    pub gaze: Option<String>,
    /// The manifest's other columns.
    pub extra: BTreeMap<String, String>,
}

/// The manifest's column that says how often an image becomes a target.
const TARGET_WEIGHT: &str = "target_weight";

impl Sample {
    /// How many of the times that the image is drawn as the target of a pair it becomes one, 1 unless the manifest says
    /// otherwise; NaN for what is no number.
    pub fn target_weight(&self) -> f32 {
        let written = self.extra.get(TARGET_WEIGHT).map(|weight| weight.trim()).unwrap_or_default();
        if written.is_empty() { 1.0 } else { written.parse().unwrap_or(f32::NAN) }
    }
}

/// A set of labelled images of at least two expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The folder's name.
    pub name: String,
    /// The folder, as it was given.
    pub root: PathBuf,
    /// The images: a manifest's in the order of its rows, class folders' in the order of their paths.
    pub samples: Vec<Sample>,
}

impl Dataset {
    /// Opens a manifest, a folder with a `manifest.csv`, or a folder with a sub-folder for each expression.
    ///
    /// # Errors
    /// [`Error::Read`] when the path does not exist or cannot be read; [`Error::Data`] when there is no image, the
    /// folder is a level too high or too low, a class folder is empty or has an unknown name, the manifest is wrong,
    /// or all images show one expression.
    pub fn open(path: &Path) -> Result<Self> {
        let is_folder = fs::metadata(path).map_err(Error::read(path))?.is_dir();
        let (root, manifest) =
            if is_folder { (path, path.join(MANIFEST)) } else { (folder_of(path), path.into()) };
        let samples = if !is_folder || manifest.is_file() {
            manifest::read(&manifest, root)?
        } else {
            folders::read(root)?
        };
        let dataset = Self { name: name_of(root)?, root: root.to_path_buf(), samples };
        dataset.check_variety(path)?;
        Ok(dataset)
    }

    /// How many images show each expression, in the order of [`Expression::ALL`].
    pub fn counts(&self) -> [usize; Expression::COUNT] {
        let mut counts = [0; Expression::COUNT];
        for sample in &self.samples {
            counts[sample.expression.index()] += 1;
        }
        counts
    }

    /// What the samples of some indices show, in the order of [`Expression::ALL`].
    ///
    /// # Panics
    /// When an index lies outside.
    pub fn shown(&self, indices: &[usize]) -> Vec<Expression> {
        let shows = |expression: &Expression| {
            indices.iter().any(|&index| self.samples[index].expression == *expression)
        };
        Expression::ALL.into_iter().filter(shows).collect()
    }

    /// The samples of some indices.
    ///
    /// # Panics
    /// When an index lies outside.
    pub fn select(&self, indices: &[usize]) -> Vec<Sample> {
        indices.iter().map(|&index| self.samples[index].clone()).collect()
    }

    /// A set of one expression teaches nothing: every label and every target would be equal.
    fn check_variety(&self, path: &Path) -> Result<()> {
        let counts = self.counts();
        if counts.iter().filter(|&&count| count > 0).count() > 1 {
            return Ok(());
        }
        let shown = self.samples.first().map_or("nothing", |sample| sample.expression.name());
        Err(Error::data(
            path,
            format!("all of its images ({}) show one expression, {shown}", self.samples.len()),
            "pass the folder that holds a folder for each expression, or add images of another expression",
        ))
    }
}

/// The folder that a file lies in; `.` for a bare file name.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A folder's own name, also that of `.` and `..`.
fn name_of(folder: &Path) -> Result<String> {
    if let Some(name) = folder.file_name() {
        return Ok(name.to_string_lossy().into_owned());
    }
    let absolute = folder.canonicalize().map_err(Error::read(folder))?;
    Ok(absolute.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// The names of all expressions, for a hint.
fn known_names() -> String {
    Expression::ALL.map(Expression::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::{assert_data_error, assets, write_face};

    #[test]
    fn the_faces_of_the_repository_are_complete() {
        let faces = Dataset::open(&assets()).unwrap();
        assert_eq!((faces.name.as_str(), faces.samples.len()), ("faces", 96));
        assert_eq!(faces.counts(), [12; 8]);
        let identities: std::collections::BTreeSet<_> = faces.samples.iter().map(|s| &s.identity).collect();
        assert_eq!(identities.len(), 12);
        assert_eq!(faces.samples[0].gaze.as_deref(), Some("frontal"));
        assert!(faces.samples[0].extra["coefficients"].starts_with("{\"browDownLeft\": "));
        assert_eq!(faces, Dataset { root: assets(), ..Dataset::open(&assets().join(MANIFEST)).unwrap() });
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Dataset::open(Path::new("no/such/folder")).unwrap_err();
        assert!(matches!(error, Error::Read { .. }));
        assert!(error.to_string().contains("no/such/folder"));
    }

    #[test]
    fn one_expression_is_not_enough() {
        let folder = tempfile::tempdir().unwrap();
        write_face(&folder.path().join("happy/a.png"), 1);
        write_face(&folder.path().join("happy/b.png"), 2);
        assert_data_error(folder.path(), "show one expression, happy", "another expression");
    }

    #[test]
    fn the_name_is_the_folder_s() {
        assert_eq!(name_of(Path::new("a/london/")).unwrap(), "london");
        assert_eq!(name_of(Path::new("src/..")).unwrap(), "moue");
        assert_eq!(folder_of(Path::new("manifest.csv")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/manifest.csv")), Path::new("a"));
    }
}
