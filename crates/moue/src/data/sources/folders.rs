//! A folder with a sub-folder for each expression; images may lie at any depth inside those.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Layout, Listing, MANIFEST, Sample, known_names};
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::image::has_image_extension;

/// Reads class folders. Hidden files, files that are no images, images beside the class folders and other folders
/// without images are passed over.
///
/// # Errors
/// [`Error::Read`] for a folder that cannot be read; [`Error::Data`] when there are no class folders, one of them is
/// empty, or images lie in a folder whose name is no expression.
pub(super) fn read(root: &Path) -> Result<Vec<Sample>> {
    let level = list(root)?;
    if !level.has_classes() {
        return Err(no_classes(root, &level));
    }
    let (mut samples, mut unknown) = (Vec::new(), Vec::new());
    for folder in &level.folders {
        let images = below(folder)?.images;
        match class(folder) {
            Some(_) if images.is_empty() => return Err(empty_class(folder)),
            Some(expression) => samples.extend(images.into_iter().map(|file| sample(file, expression))),
            None if images.is_empty() => {}
            None => unknown.push(folder.as_path()),
        }
    }
    if unknown.is_empty() { Ok(samples) } else { Err(unknown_classes(root, &unknown)) }
}

/// Lists class folders. Where every image lies in a folder below its class's, that folder is taken for the person;
/// where only some do, it says nothing.
///
/// # Errors
/// As [`read`].
pub(super) fn listing(root: &Path) -> Result<Listing> {
    let mut listing = Listing::of(Layout::Folders, root, read(root)?);
    let person = |sample: &Sample| {
        let mut parts = sample.file.strip_prefix(root).ok()?.components().skip(1);
        let person = parts.next()?.as_os_str().to_string_lossy().into_owned();
        parts.next().map(|_| person)
    };
    if let Some(people) = listing.samples.iter().map(person).collect::<Option<Vec<String>>>() {
        let pairs = listing.samples.iter_mut().zip(people);
        pairs.for_each(|(sample, person)| sample.identity = Some(person));
    }
    Ok(listing)
}

/// Whether a folder of this folder is named after an expression.
pub(super) fn has_classes(folder: &Path) -> bool {
    list(folder).is_ok_and(|level| level.has_classes())
}

fn sample(file: PathBuf, expression: Expression) -> Sample {
    Sample { file, expression, identity: None, gaze: None, extra: BTreeMap::new() }
}

/// What lies in one folder, or in it and below, sorted.
#[derive(Default)]
pub(super) struct Level {
    folders: Vec<PathBuf>,
    pub(super) images: Vec<PathBuf>,
    /// How many files are neither images nor hidden.
    pub(super) others: usize,
}

impl Level {
    fn has_classes(&self) -> bool {
        self.folders.iter().any(|folder| class(folder).is_some())
    }
}

fn list(folder: &Path) -> Result<Level> {
    let mut level = Level::default();
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        if name(&path).starts_with('.') {
            continue;
        }
        // Links are followed: data sets are often linked together from elsewhere.
        if path.is_dir() {
            level.folders.push(path);
        } else if has_image_extension(&path) {
            level.images.push(path);
        } else {
            level.others += 1;
        }
    }
    level.folders.sort_unstable();
    level.images.sort_unstable();
    Ok(level)
}

/// All images in a folder and below, sorted.
pub(super) fn below(folder: &Path) -> Result<Level> {
    let (mut all, mut seen) = (Level::default(), HashSet::new());
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        // A link to a folder above would lead round in a circle.
        if seen.insert(folder.canonicalize().map_err(Error::read(&folder))?) {
            let level = list(&folder)?;
            all.images.extend(level.images);
            all.others += level.others;
            open.extend(level.folders);
        }
    }
    all.images.sort_unstable();
    Ok(all)
}

/// The expression that a folder is named after.
fn class(folder: &Path) -> Option<Expression> {
    name(folder).parse().ok()
}

fn name(path: &Path) -> String {
    super::name_of(path).unwrap_or_default()
}

fn names(paths: &[&Path]) -> String {
    paths.iter().map(|path| format!("{}/", name(path))).collect::<Vec<_>>().join(", ")
}

/// Why a folder has no class folders: most often it is a level too high or too low.
fn no_classes(root: &Path, level: &Level) -> Error {
    let below: Vec<&Path> = level.folders.iter().map(PathBuf::as_path).filter(|f| holds_data(f)).collect();
    if let Some(best) = below.iter().find(|folder| name(folder).starts_with("train")).or(below.first()) {
        let problem = format!("this folder holds no class folders, but {} inside it does", names(&below));
        return Error::data(root, problem, format!("pass {}", best.display()));
    }
    if class(root).is_some() || root.join("..").join(MANIFEST).is_file() {
        let problem = "this folder is only a part of a data set";
        return Error::data(root, problem, format!("pass the folder above it, {}", above(root).display()));
    }
    let hint = format!(
        "make a folder for each expression ({}), or a manifest.csv with the columns file and expression",
        known_names()
    );
    if !level.images.is_empty() {
        return Error::data(
            root,
            "the images lie directly in this folder, so nothing says what they show",
            hint,
        );
    }
    if level.folders.is_empty() {
        return Error::data(root, "this folder holds no images", hint);
    }
    Error::data(root, "no folder inside it is named after an expression", hint)
}

/// Whether a folder could be opened as a data set.
fn holds_data(folder: &Path) -> bool {
    folder.join(MANIFEST).is_file() || has_classes(folder)
}

/// The folder above, spelled as briefly as the folder was.
fn above(folder: &Path) -> PathBuf {
    match folder.parent() {
        Some(parent) if folder.file_name().is_some() && !parent.as_os_str().is_empty() => {
            parent.to_path_buf()
        }
        _ => folder.join(".."),
    }
}

fn empty_class(folder: &Path) -> Error {
    let hint = "put images (PNG, JPEG, WebP, TIFF, BMP) into it, or remove the folder";
    Error::data(folder, "this class folder holds no image", hint)
}

fn unknown_classes(root: &Path, unknown: &[&Path]) -> Error {
    let problem = format!("no expression is named like {}", names(unknown));
    Error::data(root, problem, format!("rename or remove it; known are {}", known_names()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::data::fixtures::{assert_data_error, write_face};

    /// A folder with a face at each of the paths.
    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            write_face(&folder.path().join(path), 1);
        }
        folder
    }

    #[test]
    fn images_are_found_at_any_depth_and_in_order() {
        let folder =
            folder(&["Happiness/b.png", "Happiness/p1/s2/a.PNG", "anger/z.png", ".cache/x.png", "sheet.png"]);
        fs::write(folder.path().join("anger/notes.txt"), "no image").unwrap();
        fs::write(folder.path().join("anger/._z.png"), "hidden").unwrap();
        fs::create_dir(folder.path().join("documents")).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        let found: Vec<_> = dataset.samples.iter().map(|s| (s.file.clone(), s.expression)).collect();
        let expected = [
            ("Happiness/b.png", Expression::Happy),
            ("Happiness/p1/s2/a.PNG", Expression::Happy),
            ("anger/z.png", Expression::Angry),
        ];
        assert_eq!(found, expected.map(|(file, expression)| (folder.path().join(file), expression)));
        assert!(dataset.samples.iter().all(|sample| sample.identity.is_none()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_does_not_lead_in_circles() {
        let folder = folder(&["happy/a.png", "sad/a.png"]);
        std::os::unix::fs::symlink(folder.path().join("happy"), folder.path().join("happy/again")).unwrap();
        assert_eq!(Dataset::open(folder.path()).unwrap().samples.len(), 2);
    }

    #[test]
    fn a_level_too_high_names_the_right_one() {
        let above = folder(&["test/happy/a.png", "train/happy/a.png", "train/sad/a.png"]);
        let right = above.path().join("train").display().to_string();
        assert_data_error(above.path(), "no class folders, but test/, train/ inside it does", &right);
        let above = folder(&["london/001/a.png"]);
        fs::write(above.path().join("london/manifest.csv"), "").unwrap();
        assert_data_error(above.path(), "but london/", "london");
    }

    #[test]
    fn a_level_too_low_names_the_right_one() {
        let root = folder(&["happy/a.png", "sad/p1/a.png", "001/a.png"]);
        let right = format!("the folder above it, {}", root.path().display());
        assert_data_error(&root.path().join("happy"), "only a part", &right);
        assert_data_error(&root.path().join("sad"), "only a part", &right);
        fs::write(root.path().join("manifest.csv"), "").unwrap();
        assert_data_error(&root.path().join("001"), "only a part", &right);
        assert_eq!(above(Path::new("happy")), Path::new("happy/.."));
        assert_eq!(above(Path::new("a/..")), Path::new("a/../.."));
    }

    #[test]
    fn folders_without_classes_or_images_say_so() {
        assert_data_error(folder(&[]).path(), "no images", "surprised");
        assert_data_error(folder(&["a.png"]).path(), "directly in this folder", "manifest.csv");
        assert_data_error(folder(&["p1/a.png"]).path(), "named after an expression", "contemptuous");
    }

    #[test]
    fn empty_and_unknown_classes_are_named() {
        let root = folder(&["happy/a.png", "sad/a.png"]);
        fs::create_dir(root.path().join("angry")).unwrap();
        assert_data_error(root.path(), "angry: this class folder holds no image", "remove the folder");
        let root = folder(&["happy/a.png", "sad/a.png", "hungry/a.png"]);
        assert_data_error(root.path(), "named like hungry/", "known are angry, contemptuous");
    }
}
