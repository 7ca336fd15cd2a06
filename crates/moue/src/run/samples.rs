//! The sheet that shows how training goes: some fixed faces, each with all expressions that are learned.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::image::RgbImage;
use burn::tensor::Device;

use crate::base::error::Result;
use crate::base::expression::Expression;
use crate::base::file::Disk;
use crate::base::image;
use crate::data::{Dataset, Sample, Split};
use crate::methods::Translator;

/// How many faces a sheet shows.
const FACES: usize = 6;

/// The faces of a run's sheets.
pub(super) struct Samples {
    faces: Vec<RgbImage>,
    /// What can be learned.
    expressions: Vec<Expression>,
    device: Device,
}

impl Samples {
    /// Neutral frontal faces of people of the test part; where nobody is held out, of those trained on.
    ///
    /// # Errors
    /// Those of reading an image.
    pub(super) fn choose(dataset: &Dataset, split: &Split, side: usize, device: &Device) -> Result<Self> {
        let part = if split.test.is_empty() { &split.train } else { &split.test };
        let mut samples: Vec<&Sample> = part.iter().map(|&index| &dataset.samples[index]).collect();
        let frontal = |s: &Sample| s.gaze.as_deref().is_none_or(|gaze| gaze == "frontal");
        // Sorting is stable: among equals the order of the data set stays.
        samples.sort_by_key(|s| (s.expression != Expression::Neutral, !frontal(s)));
        let mut seen = BTreeSet::new();
        samples.retain(|s| s.identity.as_ref().is_none_or(|identity| seen.insert(identity.clone())));
        let faces = samples.iter().take(FACES).map(|s| Ok(image::square(image::read(&s.file)?, side as u32)));
        let faces = faces.collect::<Result<_>>()?;
        Ok(Self { faces, expressions: split.expressions.clone(), device: device.clone() })
    }

    /// Paints `step-001000.png` into a folder: a row a face, the face itself and then angry to surprised, as
    /// far as they are learned.
    ///
    /// # Errors
    /// [`crate::base::error::Error::Write`].
    pub(super) fn paint(
        &self,
        translator: &dyn Translator,
        folder: &Path,
        iteration: u64,
        disk: &dyn Disk,
    ) -> Result<PathBuf> {
        let mut targets = translator.targets();
        targets.retain(|target| self.expressions.contains(target));
        let rows: Vec<_> =
            self.faces.iter().map(|face| row(translator, face, &targets, &self.device)).collect();
        let path = folder.join(format!("step-{iteration:06}.png"));
        image::write_png(disk, &path, &image::sheet(&rows))?;
        Ok(path)
    }
}

/// A face and its translations.
fn row(
    translator: &dyn Translator,
    face: &RgbImage,
    targets: &[Expression],
    device: &Device,
) -> Vec<RgbImage> {
    let copies = vec![face.clone(); targets.len()];
    let copies = image::to_tensor(&copies, device);
    let edit = translator.edit(copies.clone(), targets);
    std::iter::once(face.clone()).chain(image::from_tensor(edit.on_square(copies))).collect()
}
