//! Which files a translation reads, and what its results and a preparation's squares are called.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::error::{Error, Result};
use crate::base::image as images;

/// The image files that the arguments name: files as they are, folders with all images in them and below, in order.
/// Folders of `results` are passed over: they would be inputs of the next time.
///
/// # Errors
/// [`Error::Read`] for a path that is not there, [`Error::Data`] for a folder without any image.
pub fn inputs(arguments: &[PathBuf], results: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in arguments {
        if fs::metadata(path).map_err(Error::read(path))?.is_dir() {
            let before = files.len();
            // What is named itself is meant, even if results lie there already.
            let own = path.canonicalize().ok();
            let mut seen: BTreeSet<PathBuf> =
                results.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
            seen.retain(|folder| Some(folder) != own.as_ref());
            images_below(path, &mut seen, &mut files)?;
            if files.len() == before {
                return Err(Error::data(path, "the folder holds no image", "name a folder of face images"));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// `seen` are folders not to go into: a link to a folder above would lead round in a circle.
fn images_below(folder: &Path, seen: &mut BTreeSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<()> {
    if !seen.insert(folder.canonicalize().map_err(Error::read(folder))?) {
        return Ok(());
    }
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
            images_below(&path, seen, files)?;
        } else if images::has_image_extension(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// The name of each input's results: its stem; where stems repeat the path below the inputs' common folder; where that
/// repeats too, `a.jpg` beside `a.png`, the whole file name.
pub(super) fn result_names(inputs: &[PathBuf]) -> Vec<String> {
    let common = common_folder(inputs);
    // No root and no `..`: a result lies below the folder of the results.
    let folder = |path: &Path| -> PathBuf {
        let folder = path.parent().unwrap_or(Path::new(""));
        let below = folder.strip_prefix(&common).unwrap_or(folder);
        below.components().filter(|part| matches!(part, Component::Normal(_))).collect()
    };
    let text = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    let in_folder = |path: &Path, name: String| folder(path).join(name).to_string_lossy().into_owned();
    let mut names: Vec<String> = inputs.iter().map(|path| text(path.file_stem())).collect();
    rename_repeated(&mut names, |n| in_folder(&inputs[n], text(inputs[n].file_stem())));
    rename_repeated(&mut names, |n| in_folder(&inputs[n], text(inputs[n].file_name())));
    names
}

fn rename_repeated(names: &mut [String], other: impl Fn(usize) -> String) {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    names.iter().for_each(|name| *count.entry(name.clone()).or_default() += 1);
    for (n, name) in names.iter_mut().enumerate() {
        if count[name] > 1 {
            *name = other(n);
        }
    }
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

/// Sees to it that no result takes the place of an input or of another result.
pub(super) struct Claims {
    inputs: BTreeSet<PathBuf>,
    claimed: Mutex<BTreeSet<PathBuf>>,
}

impl Claims {
    pub(super) fn new(inputs: &[PathBuf]) -> Self {
        let inputs = inputs.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        Self { inputs, claimed: Mutex::default() }
    }

    /// Claims a result's place.
    ///
    /// # Errors
    /// [`Error::Config`] when an input or another result has it.
    pub(super) fn claim(&self, result: &Path) -> Result<()> {
        let overwrites = fs::canonicalize(result).is_ok_and(|path| self.inputs.contains(&path));
        let place = std::path::absolute(result).unwrap_or_else(|_| result.to_path_buf());
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if overwrites || !claimed.insert(place) {
            let whom = if overwrites { "an input" } else { "another result" };
            return Err(Error::config(
                format!("{} would overwrite {whom}", result.display()),
                "name other folders with --out and the like, and each input once",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stems_keep_their_folders() {
        let names = |inputs: &[&str]| result_names(&inputs.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["in/a/x.jpg", "in/b/x.jpg", "in/b/y.png"]), ["a/x", "b/x", "y"]);
        assert_eq!(names(&["x.jpg"]), ["x"]);
        // Whatever the inputs, results stay below their folder.
        assert_eq!(names(&["/abs/x.jpg", "in/x.jpg", "../up/x.jpg"]), ["abs/x", "in/x", "up/x"]);
        assert_eq!(names(&["in/x.jpg", "in/x.png", "in/y.png"]), ["x.jpg", "x.png", "y"]);
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
        let claims = Claims::new(std::slice::from_ref(&input));
        assert!(claims.claim(&input).unwrap_err().hint().unwrap().contains("--out"));
        let (result, same) = (folder.path().join("y.png"), folder.path().join("./y.png"));
        claims.claim(&result).unwrap();
        assert!(claims.claim(&same).is_err());
    }

    #[test]
    fn folders_of_results_and_circles_are_not_gone_into() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.png", "out/a_happy.png", "below/b.png"] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), path("below/circle")).unwrap();
        let all = inputs(&[folder.path().into()], &[path("out")]).unwrap();
        assert_eq!(all, [path("a.png"), path("below/b.png")]);
        assert_eq!(inputs(&[path("out")], &[path("out")]).unwrap(), [path("out/a_happy.png")]);
    }
}
