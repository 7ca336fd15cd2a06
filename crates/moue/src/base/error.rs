//! The one error of the library: what happened, where, and what to do about it.

use std::path::{Path, PathBuf};

/// What can go wrong. Every variant names the place; [`Error::hint`] says the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder could not be written. Nothing half-written is left under its final name.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no image that can be used.
    #[error("{}: {problem}", path.display())]
    Image {
        /// The image file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A photo cannot be read as one, or cannot be written in the format asked for.
    #[error("{}: {problem}", path.display())]
    Photo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A data set cannot be used as it is.
    #[error("{}: {problem}", path.display())]
    Data {
        /// The folder or manifest.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A configuration asks for something that cannot be.
    #[error("{problem}")]
    Config {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A run folder, checkpoint or file of weights does not hold what is expected.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The run folder, checkpoint or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A compute device that this program or machine lacks.
    #[error("{problem}")]
    Device {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// Training produced a loss that is not a number.
    #[error("{player} diverged at update {update}: its loss {loss} is {value}")]
    Diverged {
        /// Whose loss.
        player: String,
        /// Name of the loss.
        loss: String,
        /// Its value.
        value: f32,
        /// Number of batches seen.
        update: u64,
    },
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The remedy, one sentence, where there is one to name.
    pub fn hint(&self) -> Option<&str> {
        use std::io::ErrorKind::{
            AlreadyExists, InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied,
            QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        match self {
            Error::Read { source, .. } => match source.kind() {
                NotFound | NotADirectory => Some("check the path for a typing error"),
                IsADirectory => Some("name a file, not a folder"),
                InvalidData => Some("the file is damaged, or of another kind than it should be"),
                PermissionDenied => Some("ask for read permission, or run as the owner of the file"),
                _ => None,
            },
            Error::Write { source, .. } => match source.kind() {
                StorageFull | QuotaExceeded => Some(
                    "free some space or name another folder with --out; what was written before is intact",
                ),
                PermissionDenied | ReadOnlyFilesystem => Some("name a folder you may write to with --out"),
                NotFound | NotADirectory | AlreadyExists => Some(
                    "the folder was removed meanwhile, or part of the path is a file; name another with --out",
                ),
                IsADirectory => Some("a folder has this name; name a file with --out"),
                _ => None,
            },
            Error::Image { .. } => Some("replace or remove the file; PNG, JPEG, WebP, TIFF and BMP are read"),
            Error::Photo { hint, .. }
            | Error::Data { hint, .. }
            | Error::Config { hint, .. }
            | Error::Weights { hint, .. }
            | Error::Device { hint, .. } => Some(hint),
            Error::Diverged { .. } => Some(
                "lower the learning rate or take a steadier loss (adversarial_loss = \"hinge\"), and go on from the last checkpoint",
            ),
        }
    }

    /// An [`Error::Read`] for `path`, to be given to `map_err`.
    pub fn read(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Read { path, source }
    }

    /// An [`Error::Write`] for `path`, to be given to `map_err`.
    pub fn write(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Write { path, source }
    }

    /// An [`Error::Image`] for `path`.
    pub fn image(path: impl AsRef<Path>, problem: impl ToString) -> Error {
        Error::Image { path: path.as_ref().to_path_buf(), problem: problem.to_string() }
    }

    /// An [`Error::Photo`] for `path`.
    pub fn photo(path: impl AsRef<Path>, problem: impl ToString, hint: impl ToString) -> Error {
        let path = path.as_ref().to_path_buf();
        Error::Photo { path, problem: problem.to_string(), hint: hint.to_string() }
    }

    /// An [`Error::Data`] for `path`.
    pub fn data(path: impl AsRef<Path>, problem: impl ToString, hint: impl ToString) -> Error {
        let path = path.as_ref().to_path_buf();
        Error::Data { path, problem: problem.to_string(), hint: hint.to_string() }
    }

    /// An [`Error::Config`].
    pub fn config(problem: impl ToString, hint: impl ToString) -> Error {
        Error::Config { problem: problem.to_string(), hint: hint.to_string() }
    }

    /// An [`Error::Weights`] for `path`.
    pub fn weights(path: impl AsRef<Path>, problem: impl ToString, hint: impl ToString) -> Error {
        let path = path.as_ref().to_path_buf();
        Error::Weights { path, problem: problem.to_string(), hint: hint.to_string() }
    }

    /// An [`Error::Device`].
    pub fn device(problem: impl ToString, hint: impl ToString) -> Error {
        Error::Device { problem: problem.to_string(), hint: hint.to_string() }
    }
}
