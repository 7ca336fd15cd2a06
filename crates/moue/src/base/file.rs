//! Writing files so that a full disk or a sudden death leaves the old file or the new one, never half of one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// A file being written.
pub trait Output: Write {
    /// Makes sure that what was written survives a power failure.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;
}

impl Output for BufWriter<File> {
    fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.get_ref().sync_all()
    }
}

/// Where files are created: the file system, or in a test one that fills up or dies at a chosen byte.
pub trait Disk: Send + Sync {
    /// Creates the file, or empties the one that is there.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;
}

/// The machine's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    }
}

/// Writes a file under a temporary name beside it, syncs it and renames it into place.
///
/// # Errors
/// [`Error::Write`] with `path`; the temporary file is removed then, and a file that was there before is intact.
pub fn write_whole(
    disk: &dyn Disk,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let temporary = temporary(path);
    let written = disk.create(&temporary).and_then(|mut output| {
        fill(&mut *output)?;
        output.sync()
    });
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        // The temporary file is of no use to anyone; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&temporary);
        Error::write(path)(error)
    })
}

/// Creates a folder and those above it.
///
/// # Errors
/// [`Error::Write`] with `path`.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::write(path))
}

/// The name that a file has while it is written: `.name.partial` in the same folder.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;
    struct Nothing;

    impl Write for Nothing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output for Nothing {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Disk for Full {
        fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
            File::create(path)?;
            Ok(Box::new(Nothing))
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&FileSystem, &path, |out| out.write_all(b"old")).unwrap();
        let error = write_whole(&Full, &path, |out| out.write_all(b"new")).unwrap_err();
        assert!(error.hint().unwrap().contains("free some space"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
