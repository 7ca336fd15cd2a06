//! Faces in, faces out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use image::{ImageBuffer, Rgb, RgbImage, imageops};
use rayon::prelude::*;

use super::model::Model;
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::file::{Disk, create_folder};
use crate::base::image as images;

/// What to translate, to what, and where to put it.
pub struct Job<'a> {
    /// Face squares.
    pub inputs: Vec<PathBuf>,
    /// The expressions to give each of them.
    pub targets: Vec<Expression>,
    /// Folder of the results, if they are wanted.
    pub folder: Option<PathBuf>,
    /// A sheet of all of them: a row a face, the face itself first.
    pub sheet: Option<PathBuf>,
    /// Faces that go through the network together, at least 1.
    pub batch_size: usize,
    /// Where files are created.
    pub disk: &'a dyn Disk,
}

/// The image files that the arguments name: files as they are, folders with all images in them and below, in order.
///
/// # Errors
/// [`Error::Read`] for a path that is not there, [`Error::Data`] for a folder without any image.
pub fn inputs(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in arguments {
        if fs::metadata(path).map_err(Error::read(path))?.is_dir() {
            let before = files.len();
            images_below(path, &mut files)?;
            if files.len() == before {
                return Err(Error::data(path, "the folder holds no image", "name a folder of face images"));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Translates every input to every target and tells `done` of each input that is finished, with its results' paths.
///
/// # Errors
/// [`Error::Read`], [`Error::Image`], [`Error::Write`]; [`Error::Config`] when a result would overwrite an input. What
/// was written before stays.
pub fn translate(
    model: &Model,
    job: &Job<'_>,
    device: &Device,
    mut done: impl FnMut(&Path, &[PathBuf]) -> Result<()>,
) -> Result<()> {
    // A damaged input is named before anything is written.
    if let Some(error) = job.inputs.par_iter().find_map_first(|input| images::read(input).err()) {
        return Err(error);
    }
    let names = result_names(&job.inputs);
    let path =
        |n: usize, target: Expression, folder: &Path| folder.join(format!("{}_{target}.png", names[n]));
    let results = job.folder.iter().flat_map(|folder| {
        (0..job.inputs.len()).flat_map(move |n| job.targets.iter().map(move |&target| (n, target, folder)))
    });
    let results = results.map(|(n, target, folder)| path(n, target, folder));
    refuse_overwriting(&job.inputs, results.chain(job.sheet.clone()))?;
    for folder in job.folder.as_deref().into_iter().chain(job.sheet.as_deref().and_then(Path::parent)) {
        create_folder(folder)?;
    }
    let mut rows = Vec::new();
    let together = (job.batch_size / job.targets.len().max(1)).max(1);
    let numbered: Vec<(usize, &PathBuf)> = job.inputs.iter().enumerate().collect();
    for inputs in numbered.chunks(together) {
        let faces = inputs.iter().map(|(_, input)| images::read(input)).collect::<Result<Vec<_>>>()?;
        let results = translate_faces(model, &faces, &job.targets, job.batch_size, device);
        for ((&(n, input), face), results) in inputs.iter().zip(faces).zip(results) {
            let mut written = Vec::new();
            if let Some(folder) = &job.folder {
                for (&target, result) in job.targets.iter().zip(&results) {
                    let path = path(n, target, folder);
                    create_folder(path.parent().unwrap_or(folder))?;
                    images::write_png(job.disk, &path, result)?;
                    written.push(path);
                }
            }
            if job.sheet.is_some() {
                rows.push(std::iter::once(face).chain(results).collect());
            }
            done(input, &written)?;
        }
    }
    if let Some(path) = &job.sheet {
        images::write_png(job.disk, path, &images::sheet(&same_size(rows)))?;
    }
    Ok(())
}

/// Each face with each of the target expressions, in the face's own size: where the network works at another size, what
/// it changes is resampled and added to the face, so that the face's own detail stays. At most `batch_size` go through
/// the network together.
pub fn translate_faces(
    model: &Model,
    faces: &[RgbImage],
    targets: &[Expression],
    batch_size: usize,
    device: &Device,
) -> Vec<Vec<RgbImage>> {
    let side = model.card.method.image_size() as u32;
    let squares: Vec<_> = faces.iter().map(|face| images::square(face.clone(), side)).collect();
    let pairs: Vec<(usize, Expression)> =
        (0..faces.len()).flat_map(|n| targets.iter().map(move |&target| (n, target))).collect();
    let mut results = vec![Vec::new(); faces.len()];
    for pairs in pairs.chunks(batch_size.max(1)) {
        let (numbers, targets): (Vec<usize>, Vec<Expression>) = pairs.iter().copied().unzip();
        let batch: Vec<_> = numbers.iter().map(|&n| squares[n].clone()).collect();
        let batch = images::to_tensor(&batch, device);
        let edited = model.translator.edit(batch.clone(), &targets).on_square(batch.clone());
        let whole = images::from_tensor(edited.clone());
        for ((n, whole), change) in numbers.into_iter().zip(whole).zip(changes(edited - batch)) {
            let own_size = faces[n].dimensions() == (side, side);
            results[n].push(if own_size { whole } else { add_change(&faces[n], &change) });
        }
    }
    results
}

/// A change of -2..2 at each pixel, as a number of 0..1: resampling clamps to that range.
type Change = ImageBuffer<Rgb<f32>, Vec<f32>>;

fn changes(difference: Tensor<4>) -> Vec<Change> {
    let [count, channels, height, width] = difference.dims();
    let data = (difference / 4.0 + 0.5).permute([0, 2, 3, 1]).into_data().convert::<f32>();
    let values: &[f32] = data.as_slice().expect("the data was converted to f32");
    let images = values.chunks(channels * height * width).map(|image| {
        ImageBuffer::from_raw(width as u32, height as u32, image.to_vec()).expect("the buffer has this size")
    });
    images.take(count).collect()
}

/// Adds a change to the middle square of a face.
fn add_change(face: &RgbImage, change: &Change) -> RgbImage {
    let (width, height) = face.dimensions();
    let edge = width.min(height);
    let change = imageops::resize(change, edge, edge, imageops::FilterType::CatmullRom);
    let mut result = face.clone();
    for (x, y, Rgb(change)) in change.enumerate_pixels() {
        let pixel = result.get_pixel_mut(x + (width - edge) / 2, y + (height - edge) / 2);
        for (value, change) in pixel.0.iter_mut().zip(change) {
            let added = f32::from(*value) + (change - 0.5) * 4.0 * 127.5;
            *value = added.round().clamp(0.0, 255.0) as u8;
        }
    }
    result
}

/// The name of each input's results: its stem, or where stems repeat the path below the inputs' common folder.
fn result_names(inputs: &[PathBuf]) -> Vec<String> {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for input in inputs {
        *count.entry(stem(input)).or_default() += 1;
    }
    let common = common_folder(inputs);
    let name = |input: &PathBuf| {
        let stem = stem(input);
        let folder = input.parent().and_then(|folder| folder.strip_prefix(&common).ok());
        match folder {
            Some(folder) if count[&stem] > 1 => folder.join(&stem).to_string_lossy().into_owned(),
            _ => stem,
        }
    };
    inputs.iter().map(name).collect()
}

fn common_folder(inputs: &[PathBuf]) -> PathBuf {
    let mut folders = inputs.iter().map(|input| input.parent().unwrap_or(Path::new("")).to_path_buf());
    let first = folders.next().unwrap_or_default();
    folders.fold(first, |common, folder| {
        let pairs = common.components().zip(folder.components());
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

fn refuse_overwriting(inputs: &[PathBuf], results: impl Iterator<Item = PathBuf>) -> Result<()> {
    let inputs: BTreeSet<_> = inputs.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut seen = BTreeSet::new();
    for result in results {
        let overwrites = fs::canonicalize(&result).is_ok_and(|path| inputs.contains(&path));
        if overwrites || !seen.insert(result.clone()) {
            let whom = if overwrites { "an input" } else { "another result" };
            return Err(Error::config(
                format!("{} would overwrite {whom}", result.display()),
                "name another folder with --out, and each input once",
            ));
        }
    }
    Ok(())
}

fn images_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(Error::read(folder))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(Error::read(folder))?;
    paths.sort_unstable();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            images_below(&path, files)?;
        } else if images::has_image_extension(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Brings the cells of a sheet to the size of its first.
fn same_size(rows: Vec<Vec<RgbImage>>) -> Vec<Vec<RgbImage>> {
    let side = rows.iter().flatten().next().map_or(1, |image| image.width().min(image.height()));
    rows.into_iter().map(|row| row.into_iter().map(|image| images::square(image, side)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stems_keep_their_folders() {
        let inputs = ["in/a/x.jpg", "in/b/x.jpg", "in/b/y.png"].map(PathBuf::from);
        assert_eq!(result_names(&inputs), ["a/x", "b/x", "y"]);
        assert_eq!(result_names(&["x.jpg".into()]), ["x"]);
    }

    #[test]
    fn no_change_leaves_the_face() {
        let face = RgbImage::from_fn(30, 20, |x, y| Rgb([(x * 8) as u8, (y * 12) as u8, 255]));
        let nothing = changes(Tensor::zeros([1, 3, 8, 8], &Device::flex()));
        assert_eq!(add_change(&face, &nothing[0]), face);
        let brighter = changes(Tensor::ones([1, 3, 8, 8], &Device::flex()) * (10.0 / 127.5));
        let result = add_change(&face, &brighter[0]);
        assert_eq!(result.get_pixel(3, 10), face.get_pixel(3, 10));
        assert_eq!(result.get_pixel(10, 10).0, [90, 130, 255]);
    }

    #[test]
    fn overwriting_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("x.png");
        fs::write(&input, "").unwrap();
        let error =
            refuse_overwriting(std::slice::from_ref(&input), std::iter::once(input.clone())).unwrap_err();
        assert!(error.hint().unwrap().contains("--out"));
        let twice = [folder.path().join("y.png"), folder.path().join("y.png")];
        assert!(refuse_overwriting(&[input], twice.into_iter()).is_err());
    }
}
