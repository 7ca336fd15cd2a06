//! The sides of a comparison and the cache of features, with an extractor that needs no weights.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use moue::base::error::{Error, Result};
use moue_evaluation::images::{Cache, Extractor, Side, extract, format_warning};
use tempfile::TempDir;

/// The mean colour, and how many images were asked for at a time.
#[derive(Default)]
struct MeanColour {
    identity: &'static str,
    batches: RefCell<Vec<usize>>,
}

impl Extractor for MeanColour {
    fn identity(&self) -> String {
        self.identity.to_string()
    }

    fn dimensions(&self) -> usize {
        3
    }

    fn extract(&self, images: &[RgbImage]) -> Result<Vec<f32>> {
        self.batches.borrow_mut().push(images.len());
        let mean = |image: &RgbImage, c: usize| {
            let sum: f32 = image.pixels().map(|pixel| f32::from(pixel.0[c])).sum();
            // A pure green image is what a broken network answers NaN to.
            if image.get_pixel(0, 0).0 == [0, 255, 0] {
                f32::NAN
            } else {
                sum / (image.width() * image.height()) as f32
            }
        };
        Ok(images.iter().flat_map(|image| (0..3).map(|c| mean(image, c)).collect::<Vec<_>>()).collect())
    }
}

fn paint(folder: &TempDir, name: &str, colour: [u8; 3]) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(4, 4, Rgb(colour)).save(&path).unwrap();
    path
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    (0..5).map(|n| paint(folder, &format!("{n}.png"), [n, 10 * n, 7])).collect()
}

fn images(path: &Path) -> moue_evaluation::images::ImageSet {
    match Side::open(path).unwrap() {
        Side::Images(images) => images,
        Side::Statistics(_) => panic!("these are images"),
    }
}

#[test]
fn folders_are_looked_through_and_manifests_read() {
    let folder = tempfile::tempdir().unwrap();
    paint(&folder, "b/deep/1.png", [1; 3]);
    paint(&folder, "a.png", [2; 3]);
    paint(&folder, ".hidden.png", [3; 3]);
    paint(&folder, ".cache/4.png", [4; 3]);
    fs::write(folder.path().join("notes.txt"), "no image").unwrap();
    let names = |path: &Path| -> Vec<PathBuf> {
        let strip = |file: &PathBuf| file.strip_prefix(folder.path()).unwrap().to_path_buf();
        images(path).files.iter().map(strip).collect()
    };
    assert_eq!(names(folder.path()), [Path::new("a.png"), Path::new("b/deep/1.png")]);
    let table = folder.path().join("one-expression.csv");
    fs::write(&table, "file,expression\nb/deep/1.png,happy\na.png,happy\n").unwrap();
    assert_eq!(names(&table), [Path::new("b/deep/1.png"), Path::new("a.png")]);
}

#[test]
fn what_is_no_side_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refused = |path: &Path, problem: &str, hint: &str| {
        let error = Side::open(path).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    };
    fs::create_dir(path("empty")).unwrap();
    refused(&path("empty"), "it holds no image", "two at least");
    paint(&folder, "one/a.png", [1; 3]);
    refused(&path("one"), "one image only", "two at least");
    refused(&path("one/a.png"), "this is one image", "folder");
    refused(&path("none"), "cannot read", "typing error");
    fs::write(path("a.npz"), "PK\x03\x04 damaged").unwrap();
    refused(&path("a.npz"), "no statistics", ".npz");
    fs::write(path("a.txt"), "hello").unwrap();
    refused(&path("a.txt"), "no column 'file'", "first line");
}

#[test]
fn mixed_formats_are_told() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["a.png", "b.png"] {
        paint(&one, name, [1; 3]);
        paint(&other, name, [1; 3]);
    }
    let [left, right] = [&one, &other].map(|folder| images(folder.path()));
    assert_eq!(format_warning(&left, &right).unwrap(), None);
    // By content: the name may lie.
    let jpeg = paint(&other, "c.jpg", [1; 3]);
    fs::rename(jpeg, other.path().join("b.png")).unwrap();
    let warning = format_warning(&left, &images(other.path())).unwrap().unwrap();
    assert!(warning.contains("0 of 2 images") && warning.contains("1 of 2 images"), "{warning}");
}

#[test]
fn only_what_changed_is_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    let cache = Cache::at(&folder.path().join("cache"));
    let network = MeanColour { identity: "one", ..MeanColour::default() };
    let mut heard = Vec::new();
    let first = extract(&network, &files, &cache, 2, &mut |done, total| heard.push((done, total))).unwrap();
    assert_eq!(heard, [(0, 5), (2, 5), (4, 5), (5, 5)]);
    assert_eq!(network.batches.take(), [2, 2, 1]);
    assert_eq!(first.features.row(3), [3.0, 30.0, 7.0]);

    let again = extract(&network, &files, &cache, 2, &mut |_, _| {}).unwrap();
    assert_eq!((again.computed, &again.features), (0, &first.features));
    // A renamed file is the same image; a changed one is not.
    fs::rename(&files[0], folder.path().join("z.png")).unwrap();
    paint(&folder, "1.png", [200; 3]);
    let files = [folder.path().join("z.png"), files[1].clone(), files[2].clone()];
    let changed = extract(&network, &files, &cache, 2, &mut |_, _| {}).unwrap();
    assert_eq!((changed.computed, changed.features.row(1)), (1, &[200.0; 3][..]));
    // What another network made is not what this one makes.
    let other = MeanColour { identity: "another", ..MeanColour::default() };
    assert_eq!(extract(&other, &files, &cache, 2, &mut |_, _| {}).unwrap().computed, 3);
    assert_eq!(extract(&network, &files, &Cache::none(), 2, &mut |_, _| {}).unwrap().computed, 3);
}

#[test]
fn copies_are_computed_once() {
    let folder = tempfile::tempdir().unwrap();
    let files = [paint(&folder, "a.png", [5; 3]), paint(&folder, "b.png", [5; 3])];
    let network = MeanColour::default();
    let extracted = extract(&network, &files, &Cache::none(), 8, &mut |_, _| {}).unwrap();
    assert_eq!((extracted.computed, extracted.features.count()), (1, 2));
}

/// All files of the cache.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn damaged_entries_are_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    let place = folder.path().join("cache");
    let (cache, network) = (Cache::at(&place), MeanColour::default());
    let first = extract(&network, &files, &cache, 2, &mut |_, _| {}).unwrap();
    let kept = entries(&place);
    assert_eq!(kept.len(), 5);
    let bytes = fs::read(&kept[0]).unwrap();
    fs::write(&kept[0], &bytes[..bytes.len() - 1]).unwrap();
    fs::write(&kept[1], "").unwrap();
    let mut flipped = fs::read(&kept[2]).unwrap();
    flipped[5] ^= 1;
    fs::write(&kept[2], flipped).unwrap();
    let again = extract(&network, &files, &cache, 2, &mut |_, _| {}).unwrap();
    assert_eq!((again.computed, again.features), (3, first.features));
    assert_eq!(extract(&network, &files, &cache, 2, &mut |_, _| {}).unwrap().computed, 0);
}

#[test]
fn a_cache_that_cannot_be_written_is_no_reason_to_fail() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    fs::write(folder.path().join("file"), "in the way").unwrap();
    let cache = Cache::at(&folder.path().join("file"));
    let extracted = extract(&MeanColour::default(), &files, &cache, 2, &mut |_, _| {}).unwrap();
    assert!(matches!(extracted.unkept, Some(Error::Write { .. })));
    assert_eq!(extracted.features.count(), 5);
}

#[test]
fn images_of_no_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    let network = MeanColour::default();
    let fails = |problem: &str| {
        let error = extract(&network, &files, &Cache::none(), 2, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    };
    paint(&folder, "4.png", [0, 255, 0]);
    fails("4.png: its features are not finite");
    fs::write(&files[3], "no image").unwrap();
    fails("3.png: this is no image");
    fs::remove_file(&files[2]).unwrap();
    fails("2.png");
}
