//! A run's folder: `run.toml, split.toml, events.jsonl, samples/, checkpoints/step-001000/`.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::config::RunConfig;
use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::file::{Disk, create_folder, write_whole};

/// An open run folder. No other process can train in it meanwhile.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes a new run in `path`, which is absent or empty, and writes `run.toml`.
    ///
    /// # Errors
    /// [`Error::Weights`] when something is there already, [`Error::Write`] when it cannot be written.
    pub fn create(path: &Path, config: &RunConfig, disk: &dyn Disk) -> Result<Self> {
        create_folder(path)?;
        let mut entries = fs::read_dir(path).map_err(Error::read(path))?;
        if entries.next().is_some() {
            let hint = if path.join("run.toml").exists() {
                format!(
                    "go on with it by `moue train --resume {}`, or name a new folder with --out",
                    path.display()
                )
            } else {
                "name a new or empty folder with --out".to_string()
            };
            return Err(Error::weights(path, "the folder is not empty", hint));
        }
        let folder = Self::lock(path)?;
        let text = config.to_toml();
        let written = write_whole(disk, &folder.config_path(), |output| output.write_all(text.as_bytes()));
        match written.and_then(|()| folder.create_inner()) {
            Ok(()) => Ok(folder),
            Err(error) => {
                folder.discard();
                Err(error)
            }
        }
    }

    /// Opens a run to go on with it.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is no run's folder or another process trains in it.
    pub fn open(path: &Path) -> Result<(Self, RunConfig)> {
        let config = read_config(path)?;
        let folder = Self::lock(path)?;
        folder.create_inner()?;
        Ok((folder, config))
    }

    /// Removes a new run that never began, so that a start that failed does not stand in the way of the next. A run
    /// that has begun stays, and so does what somebody else put here.
    pub fn discard(self) {
        if fs::metadata(self.events()).is_ok_and(|log| log.len() > 0) {
            return;
        }
        let lock = self.path.join("run.lock");
        // What cannot be removed stays: the error that led here is the one to report.
        for file in [self.events(), self.split(), self.config_path(), lock] {
            let _ = fs::remove_file(file);
        }
        for folder in [self.samples(), self.checkpoints(), self.path] {
            let _ = fs::remove_dir(folder); // an empty one only
        }
    }

    fn create_inner(&self) -> Result<()> {
        create_folder(&self.samples())?;
        create_folder(&self.checkpoints())
    }

    fn lock(path: &Path) -> Result<Self> {
        let lock_path = path.join("run.lock");
        let lock = File::create(&lock_path).map_err(Error::write(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::weights(
                path,
                "another process is training in this folder",
                "wait for it, stop it, or name another folder with --out",
            )),
            Err(TryLockError::Error(error)) => Err(Error::write(lock_path)(error)),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `run.toml`.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("run.toml")
    }

    /// `split.toml`: who is trained on and who is held out.
    pub fn split(&self) -> PathBuf {
        split_of(&self.path)
    }

    /// `events.jsonl`: what happened, an object a line.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// `samples/`.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        checkpoints_of(&self.path)
    }
}

/// Where a run keeps its checkpoints.
pub fn checkpoints_of(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

fn split_of(run: &Path) -> PathBuf {
    run.join("split.toml")
}

/// The run that a checkpoint's folder lies in; any other path itself.
pub fn run_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "checkpoints"));
    parent.and_then(Path::parent).unwrap_or(path)
}

/// The people that a run was trained on, and the expressions that it learned, as its `split.toml` states them.
#[derive(Debug, Deserialize)]
pub struct Learned {
    /// In the order of [`Expression::ALL`]; empty where the run is of a time when that was not stated.
    #[serde(default)]
    pub expressions: Vec<Expression>,
    /// Whose faces it has seen.
    pub identities: People,
}

/// The people of a run.
#[derive(Debug, Deserialize)]
pub struct People {
    /// Those who are trained on; where the data set names none, its files.
    pub train: Vec<String>,
}

/// What the run in `path` learned from; `None` of a run that never began, and where there is no run.
///
/// # Errors
/// [`Error::Read`] for a `split.toml` that cannot be read, [`Error::Data`] for one that says nothing of people.
pub fn learned(path: &Path) -> Result<Option<Learned>> {
    let file = split_of(path);
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).map_err(Error::read(&file))?;
    toml::from_str(&text).map(Some).map_err(|error| {
        let hint = "restore the file from a copy of the run";
        Error::data(&file, format!("it does not say who was trained on ({error})"), hint)
    })
}

/// The configuration of the run in `path`.
///
/// # Errors
/// [`Error::Weights`] when it is no run's folder, [`Error::Read`] when there is none.
pub fn read_config(path: &Path) -> Result<RunConfig> {
    fs::metadata(path).map_err(Error::read(path))?;
    let file = path.join("run.toml");
    if !file.exists() {
        let hint = "name the folder that `moue train` made: it holds run.toml and checkpoints/";
        return Err(Error::weights(path, "this is no run's folder", hint));
    }
    RunConfig::read(&file)
}

/// The next free `parent/NNNN-METHOD-DATA-SIZE`.
///
/// # Errors
/// [`Error::Read`] when `parent` exists and cannot be listed.
pub fn next_path(parent: &Path, config: &RunConfig) -> Result<PathBuf> {
    let number_of = |name: &str| name.split('-').next().and_then(|digits| digits.parse::<u32>().ok());
    let mut last = 0;
    if parent.exists() {
        for entry in fs::read_dir(parent).map_err(Error::read(parent))? {
            let entry = entry.map_err(Error::read(parent))?;
            last = last.max(number_of(&entry.file_name().to_string_lossy()).unwrap_or(0));
        }
    }
    let data: String = config.data.name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let name = format!("{:04}-{}-{data}-{}", last + 1, config.preset, config.method.image_size());
    Ok(parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::file::FileSystem;

    #[test]
    fn a_run_that_never_began_is_discarded_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let config = RunConfig::of_preset("smoke").unwrap();
        let path = parent.path().join("run");
        let create = || RunFolder::create(&path, &config, &FileSystem).unwrap();
        create().discard();
        assert!(!path.exists());
        let folder = create();
        fs::write(path.join("samples/mine.txt"), "mine").unwrap();
        folder.discard();
        assert_eq!(fs::read(path.join("samples/mine.txt")).unwrap(), b"mine");
        fs::remove_dir_all(&path).unwrap();
        let folder = create();
        fs::write(folder.events(), "begun\n").unwrap();
        folder.discard();
        assert!(RunFolder::open(&path).is_ok());
    }

    #[test]
    fn a_folder_in_use_is_refused_with_the_remedy() {
        let parent = tempfile::tempdir().unwrap();
        let config = RunConfig::of_preset("smoke").unwrap();
        let path = next_path(parent.path(), &config).unwrap();
        assert!(path.ends_with("0001-sasn-smoke--32"), "{}", path.display());
        let folder = RunFolder::create(&path, &config, &FileSystem).unwrap();
        let error = RunFolder::create(&path, &config, &FileSystem).unwrap_err();
        assert!(error.hint().unwrap().contains("--resume"), "{error}");
        let error = RunFolder::open(&path).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(folder);
        assert_eq!(RunFolder::open(&path).unwrap().1, config);
        assert!(next_path(parent.path(), &config).unwrap().ends_with("0002-sasn-smoke--32"));
        assert!(RunFolder::open(parent.path()).unwrap_err().hint().unwrap().contains("run.toml"));
    }
}
