//! What a preparation has done so far, `prepare.jsonl`: a line of settings, then one for each photo. Lines are added as
//! photos are finished, so that whatever ends the program, the next one goes on from there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::file::{Disk, create_folder, write_whole};

const JOURNAL: &str = "prepare.jsonl";
const LOCK: &str = "prepare.lock";

/// What decides the squares beside their photos. Another version may find faces elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) moue: String,
    pub(super) size: u32,
    /// The source, absolute.
    pub(super) source: PathBuf,
}

/// A photo that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its name in tables.
    pub(super) source: String,
    /// The name of its square.
    pub(super) square: String,
    /// Which file it was.
    pub(super) stamp: Option<Stamp>,
    pub(super) outcome: Outcome,
}

/// What came of a photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// A square file of so many bytes; how many faces were found; the side of the square in the photo's pixels.
    Square {
        bytes: u64,
        faces: usize,
        side: u32,
    },
    Skipped {
        reason: String,
    },
}

/// Which file a photo was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    bytes: u64,
    /// When it was modified, in nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    /// `None` where there is no such file, or the system cannot say.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { bytes: metadata.len(), modified: modified.as_nanos().try_into().ok()? })
    }
}

/// An open journal. No other process can prepare into its folder meanwhile.
pub(super) struct Journal {
    path: PathBuf,
    settings: Settings,
    file: File,
    _lock: File,
}

impl Journal {
    /// Opens the journal of a folder, which is absent, empty or one that was prepared into before, and returns what was
    /// done there with the same settings, by the squares' names. What was done with others is forgotten.
    ///
    /// # Errors
    /// [`Error::Data`] when the folder holds something else or another process prepares into it; [`Error::Read`],
    /// [`Error::Write`].
    pub(super) fn open(
        folder: &Path,
        settings: Settings,
        disk: &dyn Disk,
    ) -> Result<(Self, BTreeMap<String, Entry>)> {
        let path = folder.join(JOURNAL);
        if !path.exists() {
            refuse_strange(folder)?;
        }
        create_folder(folder)?;
        let lock = lock(folder)?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::read(&path)(error)),
        };
        let mut lines = text.lines();
        let before: Option<Settings> = lines.next().and_then(|line| serde_json::from_str(line).ok());
        if let Some(before) = before.as_ref().filter(|before| before.source != settings.source) {
            let problem = format!("it holds what was prepared from {}", before.source.display());
            return Err(Error::data(folder, problem, "name another folder with --out"));
        }
        let same = before.as_ref() == Some(&settings);
        // A sudden death may have cut off a line.
        let entries = lines.filter(|_| same).filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        let entries: Vec<Entry> = entries.collect();
        let kept = lines_of(&settings, &entries);
        if kept != text {
            write_whole(disk, &path, |output| output.write_all(kept.as_bytes()))?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::write(&path))?;
        let entries = entries.into_iter().map(|entry| (entry.square.clone(), entry)).collect();
        Ok((Self { path, settings, file, _lock: lock }, entries))
    }

    /// Adds a photo.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn add(&mut self, entry: &Entry) -> Result<()> {
        let mut line = line(entry);
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(Error::write(&self.path))
    }

    /// Ends a journal with all that was done, in order, whatever the order in which it was done.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(super) fn finish(self, entries: &[Entry], disk: &dyn Disk) -> Result<()> {
        write_if_new(disk, &self.path, lines_of(&self.settings, entries).as_bytes())
    }
}

/// Writes a file unless it has these bytes already.
///
/// # Errors
/// [`Error::Write`].
pub(super) fn write_if_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_whole(disk, path, |output| output.write_all(bytes))
}

fn line(entry: &impl Serialize) -> String {
    serde_json::to_string(entry).expect("numbers and strings are representable in JSON")
}

fn lines_of(settings: &Settings, entries: &[Entry]) -> String {
    let lines = std::iter::once(line(settings)).chain(entries.iter().map(line));
    lines.map(|line| line + "\n").collect()
}

/// Refuses a folder with something in it that is not ours: it could be overwritten.
fn refuse_strange(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::write(folder)(error)),
    };
    for entry in entries {
        let name = entry.map_err(Error::read(folder))?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != LOCK {
            let problem =
                format!("the folder is not empty (it holds {name}), and no earlier prepare made it");
            return Err(Error::data(folder, problem, "name a new or empty folder with --out"));
        }
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).open(&path).map_err(Error::write(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::data(
            folder,
            "another process is preparing into this folder",
            "wait for it, stop it, or name another folder with --out",
        )),
        Err(TryLockError::Error(error)) => Err(Error::write(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::file::FileSystem;

    fn entry(number: u64) -> Entry {
        let outcome = match number % 2 {
            0 => Outcome::Square { bytes: number, faces: 1, side: 300 },
            _ => Outcome::Skipped { reason: "no face, \"none\"".into() },
        };
        let (source, square) = (format!("{number}.jpg"), format!("{number}.png"));
        Entry { source, square, stamp: Some(Stamp { bytes: number, modified: u64::MAX }), outcome }
    }

    fn settings(size: u32) -> Settings {
        Settings { moue: "0".into(), size, source: "photos".into() }
    }

    #[test]
    fn a_line_that_was_cut_off_is_forgotten_and_so_are_other_settings() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new/out");
        let open = |size: u32| Journal::open(&folder, settings(size), &FileSystem).unwrap();
        let (mut journal, entries) = open(128);
        assert!(entries.is_empty());
        (0..3).for_each(|number| journal.add(&entry(number)).unwrap());
        drop(journal);
        let path = folder.join(JOURNAL);
        let whole = fs::read(&path).unwrap();
        for cut in [whole.len() - 1, whole.len() - 2, whole.len() - 40] {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, entries) = open(128);
            let expected: Vec<Entry> = (0..if cut == whole.len() - 1 { 3 } else { 2 }).map(entry).collect();
            assert_eq!(entries.into_values().collect::<Vec<_>>(), expected);
            journal.add(&entry(7)).unwrap();
            drop(journal);
            assert_eq!(open(128).1["7.png"], entry(7), "what is added later stands on its own line");
        }
        assert!(open(64).1.is_empty());
        assert!(open(128).1.is_empty());
        let (journal, _) = open(128);
        let all: Vec<Entry> = (0..4).map(entry).collect();
        journal.finish(&all, &FileSystem).unwrap();
        assert_eq!(open(128).1.into_values().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_folder_of_somebody_else_s_or_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        let open = || Journal::open(folder.path(), settings(128), &FileSystem);
        let first = open().unwrap();
        let error = open().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(first);
        open().unwrap();
        fs::remove_file(folder.path().join(JOURNAL)).unwrap();
        fs::write(folder.path().join("manifest.csv"), "mine").unwrap();
        let error = open().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("it holds manifest.csv"), "{error}");
        assert!(error.hint().unwrap().contains("--out"));
    }
}
