//! Photographs with what a source says of them, before their faces are cut out: what `moue prepare` begins with.

use std::fs;
use std::path::{Path, PathBuf};

use super::{MANIFEST, Sample, folder_of, folders, manifest, rafd};
use crate::base::error::{Error, Result};

/// How a source says what its photographs show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// By file names of the Radboud Faces Database, anywhere below a folder.
    Rafd,
    /// By a folder for each expression. Where every photo lies deeper, the folder below the expression's is the person.
    Folders,
    /// By a table in CSV with the columns `file` and `expression`.
    Table,
}

/// The photographs of a source. Unlike a [`super::Dataset`] it may show one expression only, and files may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// How the source says what they show.
    pub layout: Layout,
    /// The folder or table, as it was given.
    pub path: PathBuf,
    /// The folder that files are below, as a rule: a table may name others.
    pub root: PathBuf,
    /// The photographs, in the source's order: a table's rows, else the paths sorted.
    pub samples: Vec<Sample>,
    /// What the source says beside expression, identity and gaze: the keys of [`Sample::extra`], in its order.
    pub columns: Vec<String>,
    /// Files that ought to belong to it, and why they do not.
    pub refused: Vec<(PathBuf, String)>,
    /// How many other files were passed over.
    pub others: usize,
}

impl Listing {
    /// Lists a folder or table. Without a layout: a file is a table, and so is a folder with `manifest.csv`; a folder
    /// with a file of a RaFD name is RaFD; else it has a folder for each expression.
    ///
    /// # Errors
    /// [`Error::Read`] when the path does not exist or cannot be read; [`Error::Data`] when it has another layout: no
    /// photo, no RaFD name, no or unknown class folders, a table without the columns or with an unknown expression.
    pub fn open(path: &Path, layout: Option<Layout>) -> Result<Self> {
        let is_folder = fs::metadata(path).map_err(Error::read(path))?.is_dir();
        let table = if is_folder { path.join(MANIFEST) } else { path.to_path_buf() };
        let has_table = !is_folder || table.is_file();
        match layout {
            Some(Layout::Rafd | Layout::Folders) if !is_folder => {
                let hint = "name the folder, or pass --format csv for a table";
                Err(Error::data(path, "this is a file; the photos of this format lie in a folder", hint))
            }
            Some(Layout::Table) if !has_table => {
                let hint = "name the table itself, or its folder when it is called manifest.csv";
                Err(Error::data(path, "this folder holds no manifest.csv", hint))
            }
            Some(Layout::Rafd) => rafd::read(path),
            Some(Layout::Folders) => folders::listing(path),
            Some(Layout::Table) => manifest::listing(path, &table, folder_of(&table)),
            None if has_table => manifest::listing(path, &table, folder_of(&table)),
            None if folders::below(path)?.images.iter().any(|file| rafd::is_name(file)) => rafd::read(path),
            None => folders::listing(path).map_err(|error| or_rafd(path, error)),
        }
    }

    /// A listing of these photographs in a folder, with nothing beside.
    pub(super) fn of(layout: Layout, root: &Path, samples: Vec<Sample>) -> Self {
        let (path, root) = (root.to_path_buf(), root.to_path_buf());
        let (columns, refused) = (Vec::new(), Vec::new());
        Self { layout, path, root, samples, columns, refused, others: 0 }
    }
}

/// Where nothing is recognised, all layouts are named.
fn or_rafd(path: &Path, error: Error) -> Error {
    match error {
        Error::Data { path: place, problem, hint } if place == path && !folders::has_classes(path) => {
            Error::Data { path: place, problem, hint: format!("{hint}; or {}", rafd::EXAMPLE) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::write_face;

    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        paths.iter().for_each(|path| write_face(&folder.path().join(path), 1));
        folder
    }

    fn refused(path: &Path, layout: Option<Layout>, problem: &str, hint: &str) {
        let error = Listing::open(path, layout).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error:?}");
    }

    const NAME: &str = "Rafd090_01_Caucasian_female_angry_frontal.png";

    #[test]
    fn the_layout_is_recognised() {
        let layout = |folder: &tempfile::TempDir| Listing::open(folder.path(), None).unwrap().layout;
        let mixed = folder(&["happy/x.png", "deep/er/rafd090_01_caucasian_female_angry_frontal.PNG"]);
        assert_eq!(layout(&mixed), Layout::Rafd);
        fs::write(mixed.path().join("manifest.csv"), "file,expression\nhappy/x.png,happy\n").unwrap();
        assert_eq!(layout(&mixed), Layout::Table);
        assert_eq!(Listing::open(mixed.path(), Some(Layout::Rafd)).unwrap().samples.len(), 1);
        // One expression is enough here: another source may have the others.
        assert_eq!(layout(&folder(&["happy/x.png"])), Layout::Folders);
    }

    #[test]
    fn what_is_nothing_of_the_kind_is_refused_with_the_remedy() {
        refused(Path::new("no/such"), None, "cannot read no/such", "typing error");
        let empty = folder(&[]);
        refused(empty.path(), None, "holds no images", "Rafd090_01_Caucasian_female_angry_frontal.jpg");
        refused(empty.path(), None, "holds no images", "manifest.csv");
        refused(
            empty.path(),
            Some(Layout::Rafd),
            "no image",
            "Rafd090_01_Caucasian_female_angry_frontal.jpg",
        );
        refused(empty.path(), Some(Layout::Folders), "holds no images", "a folder for each expression");
        refused(empty.path(), Some(Layout::Table), "no manifest.csv", "name the table");
        let flat = folder(&["a.png", "b.png"]);
        refused(flat.path(), None, "images lie directly in this folder", "Rafd090_01");
        refused(&flat.path().join("a.png"), None, "no table that can be read", "CSV");
        refused(&flat.path().join("a.png"), Some(Layout::Rafd), "this is a file", "name the folder");
        let unknown = folder(&["happy/a.png", "hungry/a.png"]);
        refused(unknown.path(), None, "no expression is named like hungry/", "surprised");
    }

    #[test]
    fn folders_below_an_expression_s_are_people_when_all_have_one() {
        let people = |paths: &[&str]| {
            let folder = folder(paths);
            let listing = Listing::open(folder.path(), Some(Layout::Folders)).unwrap();
            listing.samples.into_iter().map(|sample| sample.identity).collect::<Vec<_>>()
        };
        let [anna, ben] = ["anna", "ben"].map(|name| Some(name.to_string()));
        assert_eq!(
            people(&["happy/anna/1.png", "happy/ben/a/1.png", "sad/ben/1.png"]),
            [anna, ben.clone(), ben]
        );
        assert_eq!(people(&["happy/anna/1.png", "sad/1.png"]), [None, None]);
    }

    #[test]
    fn a_table_s_columns_keep_their_order_and_missing_files_stay() {
        let folder = folder(&["a.png"]);
        let table = folder.path().join("list.csv");
        fs::write(&table, "zeal,file,age,gaze,expression\nmuch,a.png,7,left,sad\n,b.png,8,,happy\n").unwrap();
        let listing = Listing::open(&table, None).unwrap();
        assert_eq!(listing.columns, ["zeal", "age"]);
        assert_eq!((listing.samples.len(), listing.root.as_path()), (2, folder.path()));
        assert_eq!(listing.samples[0].extra["zeal"], "much");
        fs::write(&table, "file,expression\nb.png,sad\nc.png,happy\n").unwrap();
        refused(&table, None, "2 of 2 files named in it do not exist", "relative to the manifest");
        fs::write(&table, "file,label\na.png,sad\n").unwrap();
        refused(&table, None, "no column 'expression'", "found there: file, label");
        fs::write(&table, "file,expression\na.png,hungry\n").unwrap();
        refused(&table, None, "line 2: 'hungry'", "surprised");
        write_face(&folder.path().join(NAME), 2);
        refused(&table, None, "line 2: 'hungry'", "surprised");
    }
}
