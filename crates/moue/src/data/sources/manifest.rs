//! A table of images, `manifest.csv`: the columns `file` (relative to the table) and `expression`; `identity` and
//! `gaze` where there are such; others are kept as they are.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::{Layout, Listing, Sample, TARGET_WEIGHT, known_names};
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;

/// Reads the manifest at `path`, whose files are relative to `root`.
///
/// # Errors
/// [`Error::Read`] when it cannot be read; [`Error::Data`] when it is no CSV, a column is missing, there are no rows,
/// an expression is unknown, a file is missing or listed twice, or only some rows have an identity.
pub(super) fn read(path: &Path, root: &Path) -> Result<Vec<Sample>> {
    let (manifest, rows) = rows(path, root)?;
    manifest.check_missing(&rows, 1)?;
    Ok(rows.into_iter().map(|row| row.sample).collect())
}

/// Lists the table at `table` for `path`, which is that or its folder. Files may be missing, but not all of them.
///
/// # Errors
/// As [`read`], but for the files that are missing.
pub(super) fn listing(path: &Path, table: &Path, root: &Path) -> Result<Listing> {
    let (manifest, rows) = rows(table, root)?;
    manifest.check_missing(&rows, rows.len())?;
    let own = ["file", "expression", "identity", "gaze"];
    let columns = manifest.header.iter().filter(|name| !own.contains(name)).map(String::from).collect();
    let samples = rows.into_iter().map(|row| row.sample).collect();
    Ok(Listing { path: path.to_path_buf(), columns, ..Listing::of(Layout::Table, root, samples) })
}

/// All rows, of files that may be missing.
fn rows<'a>(path: &'a Path, root: &'a Path) -> Result<(Manifest<'a>, Vec<Row>)> {
    let file = File::open(path).map_err(Error::read(path))?;
    let mut reader = ReaderBuilder::new().trim(Trim::Headers).from_reader(file);
    let header = reader.headers().map_err(|error| damaged(path, error))?.clone();
    let manifest = Manifest { path, root, header };
    manifest.check_columns()?;
    let mut rows = Vec::new();
    for record in reader.records() {
        rows.push(manifest.row(&record.map_err(|error| damaged(path, error))?)?);
    }
    manifest.check_identities(&rows)?;
    manifest.check_files(&rows)?;
    Ok((manifest, rows))
}

struct Manifest<'a> {
    path: &'a Path,
    root: &'a Path,
    header: StringRecord,
}

struct Row {
    line: u64,
    sample: Sample,
}

impl Manifest<'_> {
    fn error(&self, problem: impl ToString, hint: impl ToString) -> Error {
        Error::data(self.path, problem, hint)
    }

    fn check_columns(&self) -> Result<()> {
        let Some(missing) =
            ["file", "expression"].into_iter().find(|name| !self.header.iter().any(|h| h == *name))
        else {
            return Ok(());
        };
        let found: Vec<_> = self.header.iter().collect();
        Err(self.error(
            format!("the manifest has no column '{missing}'"),
            format!("name it in the first line, separated by commas; found there: {}", found.join(", ")),
        ))
    }

    fn row(&self, record: &StringRecord) -> Result<Row> {
        let line = line(record);
        let mut extra: BTreeMap<String, String> =
            self.header.iter().zip(record).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        // An empty default is for identity and gaze alone: the other two columns were checked to be there.
        let mut take = |name| extra.remove(name).unwrap_or_default();
        let (file, expression, identity, gaze) =
            (take("file"), take("expression"), take("identity"), take("gaze"));
        let expression: Expression = expression.parse().map_err(|_| {
            let problem = format!("line {line}: '{expression}' is no expression");
            self.error(problem, format!("use one of {}", known_names()))
        })?;
        let (file, identity, gaze) = (self.root.join(file), filled(&identity), filled(&gaze));
        let sample = Sample { file, expression, identity, gaze, extra };
        let weight = sample.target_weight();
        if !(0.01..=1.0).contains(&weight) {
            let problem = format!("line {line}: '{}' is no target_weight", sample.extra[TARGET_WEIGHT]);
            return Err(self.error(problem, "give a number from 0.01 to 1, or nothing for 1"));
        }
        Ok(Row { line, sample })
    }

    /// An image of nobody would be neither trained on nor held out with its person.
    fn check_identities(&self, rows: &[Row]) -> Result<()> {
        let nameless = rows.iter().find(|row| row.sample.identity.is_none());
        match nameless {
            Some(row) if rows.iter().any(|row| row.sample.identity.is_some()) => Err(self.error(
                format!("line {}: the identity is empty, though other rows have one", row.line),
                "fill it in, or remove the column identity",
            )),
            _ => Ok(()),
        }
    }

    fn check_files(&self, rows: &[Row]) -> Result<()> {
        if rows.is_empty() {
            return Err(self.error("the manifest has no row", "add a line for each image below the first"));
        }
        let mut lines: HashMap<&PathBuf, u64> = HashMap::new();
        for row in rows {
            if let Some(earlier) = lines.insert(&row.sample.file, row.line) {
                let problem =
                    format!("lines {earlier} and {} name one file, {}", row.line, row.sample.file.display());
                return Err(self.error(problem, "remove one of the lines: an image shows one expression"));
            }
        }
        Ok(())
    }

    /// Refuses a table of whose files so many are missing, at least one.
    fn check_missing(&self, rows: &[Row], refused: usize) -> Result<()> {
        let missing: Vec<&Row> = rows.iter().filter(|row| !row.sample.file.is_file()).collect();
        let Some(first) = missing.first().filter(|_| missing.len() >= refused) else { return Ok(()) };
        let (count, all) = (missing.len(), rows.len());
        let (line, file) = (first.line, first.sample.file.display());
        Err(self.error(
            format!("{count} of {all} files named in it do not exist, the first on line {line}: {file}"),
            "name files relative to the manifest's folder, and check that all were copied",
        ))
    }
}

fn line(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn filled(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn damaged(path: &Path, error: csv::Error) -> Error {
    let problem = format!("this is no table that can be read ({error})");
    match error.into_kind() {
        ErrorKind::Io(source) => Error::Read { path: path.to_path_buf(), source },
        _ => {
            Error::data(path, problem, "pass a folder or a CSV file in UTF-8; quote fields that hold commas")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::data::fixtures::{assert_data_error, write_face};

    /// A folder with the faces a.png and sub/b.png and this manifest.
    fn folder(manifest: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_face(&folder.path().join("a.png"), 1);
        write_face(&folder.path().join("sub/b.png"), 2);
        std::fs::write(folder.path().join("manifest.csv"), manifest).unwrap();
        folder
    }

    fn refused(manifest: &str, problem: &str, hint: &str) {
        let folder = folder(manifest);
        assert_data_error(folder.path(), problem, hint);
        assert_data_error(&folder.path().join("manifest.csv"), problem, hint);
    }

    #[test]
    fn quotes_a_byte_order_mark_and_spare_columns_are_read() {
        let text = "\u{feff}note, file,expression,identity,gaze\r\n\"a, \"\"b\"\"\",a.png,Happy,7,\r\n,sub/b.png,sad,8,left\r\n";
        let folder = folder(text);
        let samples = Dataset::open(folder.path()).unwrap().samples;
        assert_eq!(samples[0].file, folder.path().join("a.png"));
        assert_eq!(samples[0].extra["note"], "a, \"b\"");
        assert_eq!(samples[0].extra.len(), 1);
        assert_eq!((samples[0].identity.as_deref(), samples[0].gaze.as_deref()), (Some("7"), None));
        assert_eq!((samples[1].expression, samples[1].gaze.as_deref()), (Expression::Sad, Some("left")));
    }

    #[test]
    fn files_may_lie_elsewhere() {
        let (here, elsewhere) = (folder(""), folder(""));
        let (absolute, name) = (elsewhere.path().join("a.png"), here.path().file_name().unwrap().display());
        let text = format!("file,expression\n{},sad\n../{name}/a.png,happy\n", absolute.display());
        std::fs::write(here.path().join("manifest.csv"), text).unwrap();
        assert_eq!(Dataset::open(here.path()).unwrap().samples[0].file, absolute);
    }

    #[test]
    fn columns_and_rows_must_be_there() {
        refused("", "no column 'file'", "first line");
        refused("file;expression\na.png;sad\n", "no column 'file'", "found there: file;expression");
        refused("file,label\na.png,sad\n", "no column 'expression'", "found there: file, label");
        refused("file,expression\n", "no row", "add a line");
        refused("file,expression\na.png\n", "line: 2", "quote fields");
        let folder = folder("");
        assert_data_error(
            &folder.path().join("a.png"),
            "no table that can be read",
            "pass a folder or a CSV",
        );
    }

    #[test]
    fn wrong_rows_are_named_by_their_line() {
        refused("file,expression\na.png,sad\nsub/b.png,hungry\n", "line 3: 'hungry'", "surprised");
        refused("file,expression\na.png,sad\n./a.png,happy\n", "lines 2 and 3 name one file", "remove one");
        refused(
            "file,expression\na.png,sad\nc.png,sad\nd.png,happy\n",
            "2 of 3 files",
            "relative to the manifest",
        );
        refused("file,expression\nc.png,sad\n", "first on line 2: ", "copied");
        refused(
            "file,expression,identity\na.png,sad,1\nsub/b.png,happy, \n",
            "line 3: the identity",
            "fill it in",
        );
        refused(
            "file,expression,target_weight\na.png,sad,\nsub/b.png,happy,0\n",
            "line 3: '0' is no target_weight",
            "from 0.01 to 1",
        );
        refused("file,expression\na.png,sad\nsub/b.png,sad\n", "show one expression, sad", "another");
    }

    #[test]
    fn an_empty_identity_column_is_none() {
        let folder = folder("file,expression,identity\na.png,sad,\nsub/b.png,happy,\n");
        assert!(Dataset::open(folder.path()).unwrap().samples.iter().all(|sample| sample.identity.is_none()));
    }
}
