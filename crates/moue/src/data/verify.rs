//! Every image is decoded once before training: a damaged file is found now, not after an hour.

use rayon::prelude::*;

use super::sources::Dataset;
use crate::base::error::{Error, Result};
use crate::base::image;

/// The least width and height of a face that is of any use, in pixels.
const SMALLEST: u32 = 16;

impl Dataset {
    /// Decodes the images of some indices, on all threads of rayon's pool. A whole decode is needed: a file that was
    /// cut off has a sound header.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Image`] when one image is missing, damaged or smaller than 16 pixels;
    /// [`Error::Data`] with the first and the number of them when there are more.
    ///
    /// # Panics
    /// When an index lies outside.
    pub fn verify(&self, indices: &[usize]) -> Result<()> {
        let mut errors: Vec<Error> =
            indices.par_iter().filter_map(|&index| self.check(index).err()).collect();
        if errors.len() < 2 {
            return errors.pop().map_or(Ok(()), Err);
        }
        let problem = format!(
            "{} of {} images cannot be used, the first: {}",
            errors.len(),
            indices.len(),
            reason(&errors[0])
        );
        Err(Error::data(
            &self.root,
            problem,
            format!("replace or remove the files; the second: {}", reason(&errors[1])),
        ))
    }

    fn check(&self, index: usize) -> Result<()> {
        let file = &self.samples[index].file;
        let (width, height) = image::read(file)?.dimensions();
        if width.min(height) < SMALLEST {
            let problem =
                format!("the image has {width} x {height} pixels, and a face needs {SMALLEST} each way");
            return Err(Error::image(file, problem));
        }
        Ok(())
    }
}

/// An error with what the system said, in one line.
fn reason(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ::image::RgbImage;

    use super::*;
    use crate::base::file::FileSystem;
    use crate::data::fixtures::samples;

    #[test]
    fn unusable_images_are_named_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let dataset =
            Dataset { name: "test".into(), root: folder.path().into(), samples: samples(folder.path(), 6) };
        let all: Vec<_> = (0..6).collect();
        dataset.verify(&all).unwrap();

        image::write_png(&FileSystem, &dataset.samples[4].file, &RgbImage::new(40, 15)).unwrap();
        let error = dataset.verify(&all).unwrap_err();
        assert!(error.to_string().contains("4.png: the image has 40 x 15 pixels"), "{error}");

        let bytes = fs::read(&dataset.samples[2].file).unwrap();
        fs::write(&dataset.samples[2].file, &bytes[..bytes.len() / 2]).unwrap();
        fs::remove_file(&dataset.samples[3].file).unwrap();
        let error = dataset.verify(&all).unwrap_err();
        assert!(error.to_string().contains("3 of 6 images cannot be used"), "{error}");
        assert!(error.to_string().contains("2.png: the image is damaged"), "{error}");
        assert!(error.hint().unwrap().contains("3.png (No such file"), "{error:?}");
        dataset.verify(&[0, 1, 5]).unwrap();
    }
}
