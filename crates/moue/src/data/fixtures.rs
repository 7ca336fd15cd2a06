//! Small data sets that the tests make themselves.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use super::sources::{Dataset, Sample};
use crate::base::error::Error;
use crate::base::expression::Expression;
use crate::base::file::FileSystem;
use crate::base::image::write_png;

/// The faces that the repository holds.
pub(super) fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/faces")
}

/// A 16x16 image that no other `seed` below 256 gives and that differs from its mirror image.
pub(super) fn face(seed: u8) -> RgbImage {
    RgbImage::from_fn(16, 16, |x, y| Rgb([seed, x as u8 * 10, y as u8]))
}

/// Writes [`face`] and the folders above it.
pub(super) fn write_face(path: &Path, seed: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_png(&FileSystem, path, &face(seed)).unwrap();
}

/// Writes faces number 0 to `count` - 1 and returns them labelled with the expressions in turn.
pub(super) fn samples(folder: &Path, count: u8) -> Vec<Sample> {
    let sample = |number: u8| {
        let file = folder.join(format!("{number}.png"));
        write_face(&file, number);
        Sample { file, ..sample(Expression::ALL[usize::from(number) % Expression::COUNT]) }
    };
    (0..count).map(sample).collect()
}

/// A sample with nothing but its label.
pub(super) fn sample(expression: Expression) -> Sample {
    let file = PathBuf::new();
    Sample { file, expression, identity: None, gaze: None, extra: Default::default() }
}

/// Asserts that opening `path` fails with this problem and remedy.
pub(super) fn assert_data_error(path: &Path, problem: &str, hint: &str) {
    let error = Dataset::open(path).unwrap_err();
    assert!(matches!(error, Error::Data { .. }), "{error:?}");
    assert!(error.to_string().contains(problem), "{error}");
    assert!(error.hint().unwrap().contains(hint), "{error:?}");
}
