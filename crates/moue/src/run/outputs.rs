//! Which files a translation reads, and what its results and a preparation's squares are called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::image as images;

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

/// The name of each input's results: its stem, or where stems repeat the path below the inputs' common folder.
pub(super) fn result_names(inputs: &[PathBuf]) -> Vec<String> {
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

/// What the photos of a source are called in tables, and the PNG files of their squares, one as long as the other: the
/// path below the source's folder with slashes, or below the photos' common folder where some lie elsewhere. Where two
/// photos would have one square, the later one's name keeps its ending, or gets a number; letters' case is no difference.
pub(super) fn square_names(root: &Path, files: &[&Path]) -> (Vec<String>, Vec<String>) {
    let inside = |file: &&Path| {
        let path = file.strip_prefix(root).ok()?;
        path.components().all(|part| matches!(part, Component::Normal(_))).then(|| path.to_path_buf())
    };
    let paths = files.iter().map(inside).collect::<Option<Vec<_>>>().unwrap_or_else(|| {
        let absolute = |file: &&Path| file.canonicalize().or_else(|_| std::path::absolute(file));
        let paths: Vec<PathBuf> = files.iter().map(|file| absolute(file).unwrap_or_default()).collect();
        let common = common_folder(&paths);
        paths.iter().map(|path| path.strip_prefix(&common).unwrap_or(path).to_path_buf()).collect()
    });
    // Without `..` no square leaves its folder.
    let with_slashes = |path: &Path| {
        let names = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        });
        names.collect::<Vec<_>>().join("/")
    };
    let mut taken = BTreeSet::new();
    let mut square = |path: &PathBuf| {
        let (short, long) = (with_slashes(&path.with_extension("")), with_slashes(path));
        let numbered = (2..).map(|number| format!("{short}-{number}.png"));
        let names = [format!("{short}.png"), format!("{long}.png")].into_iter().chain(numbered);
        names.into_iter().find(|name| taken.insert(name.to_lowercase())).unwrap_or_default()
    };
    let squares = paths.iter().map(&mut square).collect();
    (paths.iter().map(|path| with_slashes(path)).collect(), squares)
}

fn common_folder(inputs: &[PathBuf]) -> PathBuf {
    let mut folders = inputs.iter().map(|input| input.parent().unwrap_or(Path::new("")).to_path_buf());
    let first = folders.next().unwrap_or_default();
    folders.fold(first, |common, folder| {
        let pairs = common.components().zip(folder.components());
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

pub(super) fn refuse_overwriting(inputs: &[PathBuf], results: impl Iterator<Item = PathBuf>) -> Result<()> {
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
    fn squares_are_called_like_their_photos_and_no_two_alike() {
        let names = |files: &[&str]| {
            let files: Vec<&Path> = files.iter().map(Path::new).collect();
            square_names(Path::new("in"), &files)
        };
        let (sources, squares) =
            names(&["in/a/x.jpg", "in/./a/x.png", "in/a/X.bmp", "in/a/X.bmp.tif", "in/y"]);
        assert_eq!(sources, ["a/x.jpg", "a/x.png", "a/X.bmp", "a/X.bmp.tif", "y"]);
        assert_eq!(squares, ["a/x.png", "a/x.png.png", "a/X.bmp.png", "a/X.bmp.tif.png", "y.png"]);
        let (_, squares) = names(&["in/x.jpg", "in/x.JPG", "in/X.jpg"]);
        assert_eq!(squares, ["x.png", "x.JPG.png", "X-2.png"]);
        let (sources, squares) = names(&["in/no/such.jpg", "in/../out/no/such.jpg", "/no/such.jpg"]);
        assert!(
            sources.iter().all(|source| !source.contains("..") && !source.starts_with('/')),
            "{sources:?}"
        );
        assert!(squares.iter().all(|square| square.ends_with("such.png")), "{squares:?}");
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
