//! Members of the archives that packages are: wheels (zip) and npm's tarballs (tar, gzip). Nothing is unpacked to the
//! disk and nothing in them is run.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use flate2::read::GzDecoder;
use moue::base::error::{Error, Result};
use zip::ZipArchive;

use super::Members;

/// The most that one member may hold, in bytes: 512 MiB. A hostile archive cannot fill the memory.
const LARGEST: u64 = 512 << 20;

/// Reads the members of a package, by the file's own kind.
///
/// # Errors
/// [`Error::Read`] when the file cannot be opened; [`Error::Weights`] when it is damaged or lacks a member.
pub(super) fn members(path: &Path, names: &[&str]) -> Result<Members> {
    let file = File::open(path).map_err(Error::read(path))?;
    let members = if is_zip(path) { zip_members(file, names) } else { tar_members(file, names) };
    let members = members.map_err(|problem| damaged(path, problem))?;
    match names.iter().find(|name| !members.contains_key(**name)) {
        Some(name) => Err(damaged(path, format!("it does not hold {name}"))),
        None => Ok(members),
    }
}

/// Whether an archive is sound so far and holds these members.
pub(super) fn holds(path: &Path, names: &[&str]) -> bool {
    if !is_zip(path) {
        return members(path, names).is_ok();
    }
    let archive = File::open(path).ok().and_then(|file| ZipArchive::new(BufReader::new(file)).ok());
    archive.is_some_and(|archive| names.iter().all(|name| archive.index_for_name(name).is_some()))
}

/// Whether this is what `torch.jit.save` writes: an archive with code.
pub(super) fn is_torch_script(path: &Path) -> bool {
    let archive = File::open(path).ok().and_then(|file| ZipArchive::new(BufReader::new(file)).ok());
    archive.is_some_and(|archive| archive.file_names().flatten().any(|name| name.contains("/code/")))
}

/// The numbered storages of a TorchScript archive, `data/0`, `data/1`, …, as little-endian f32. The pickle that says
/// which tensor lies where is not read: a caller knows the archive by its digest, and so the order.
///
/// # Errors
/// [`Error::Weights`] when it is no such archive or has fewer than `count` storages.
pub(crate) fn torch_script_storages(bytes: &[u8], count: usize, path: &Path) -> Result<Vec<Vec<f32>>> {
    let read = || -> Result<Vec<Vec<f32>>, String> {
        let mut archive = ZipArchive::new(std::io::Cursor::new(bytes)).map_err(|error| error.to_string())?;
        let first = archive.file_names().flatten().find(|name| name.ends_with("/data/0")).map(String::from);
        let folder = first.and_then(|name| name.strip_suffix('0').map(String::from));
        let folder = folder.ok_or("it holds no numbered storages")?;
        (0..count).map(|n| Ok(numbers(&zip_member(&mut archive, &format!("{folder}{n}"))?))).collect()
    };
    read().map_err(|problem| damaged(path, problem))
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn is_zip(path: &Path) -> bool {
    let mut magic = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"PK"
}

fn zip_members(file: File, names: &[&str]) -> Result<Members, String> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    names.iter().map(|name| Ok(((*name).to_string(), zip_member(&mut archive, name)?))).collect()
}

/// One member; its checksum is the archive's own.
pub(crate) fn zip_member<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> Result<Vec<u8>, String> {
    let mut member = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
    bounded(&mut member, name)
}

fn tar_members(file: File, names: &[&str]) -> Result<Members, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut members = Members::new();
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry.path().map_err(|error| error.to_string())?.to_string_lossy().into_owned();
        if names.contains(&name.as_str()) {
            let bytes = bounded(&mut entry, &name)?;
            members.insert(name, bytes);
        }
    }
    Ok(members)
}

fn bounded(member: &mut dyn Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read =
        member.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if read as u64 > LARGEST { Err(format!("{name} is larger than {LARGEST} bytes")) } else { Ok(bytes) }
}

fn damaged(path: &Path, problem: String) -> Error {
    let problem = format!("the package cannot be read ({problem})");
    Error::weights(path, problem, "remove the file, or fetch it again: it is damaged or another one")
}
