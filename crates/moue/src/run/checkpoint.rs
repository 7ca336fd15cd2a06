//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! `step-001000/` holds `PLAYER.PART.safetensors` (weights, their moving average, the optimiser's moments) and
//! `state.json` (counters, and length and SHA-256 of each file). All randomness follows from the seed and the
//! counters, so no generator's state is kept. A checkpoint is written to a hidden folder, synced and renamed: there
//! is no moment at which a folder with a checkpoint's name is incomplete.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::exchange::{Precision, Tensors};
use super::folder::checkpoints_of;
use crate::base::error::{Error, Result};
use crate::base::file::{Disk, create_folder, write_whole};
use crate::methods::{Game, MethodConfig};

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Batches seen; also the data's cursor.
    pub iteration: u64,
    /// Updates of each player.
    pub updates: BTreeMap<String, u64>,
    /// The method with its settings.
    pub method: MethodConfig,
    /// Length and SHA-256 of each file.
    pub files: BTreeMap<String, (u64, String)>,
}

/// Writes a checkpoint and removes those that need not stay: all but this one and the multiples of `keep_every`.
///
/// # Errors
/// [`Error::Write`]; the checkpoints before are intact then.
pub fn save(
    checkpoints: &Path,
    game: &mut dyn Game,
    method: &MethodConfig,
    iteration: u64,
    keep_every: u64,
    disk: &dyn Disk,
) -> Result<PathBuf> {
    let path = checkpoints.join(folder_name(iteration));
    let partial = checkpoints.join(format!(".{}.partial", folder_name(iteration)));
    remove_partial(checkpoints)?;
    create_folder(&partial)?;
    let written = write_files(&partial, game, method, iteration, disk);
    let renamed = written.and_then(|()| {
        remove_folder(&path)?; // the same iteration, written before a restart
        fs::rename(&partial, &path).map_err(Error::write(&path))?;
        sync_folder(checkpoints)
    });
    if let Err(error) = renamed {
        // What is there of it is of no use, and on a full disk its space is.
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    for (other, path) in list(checkpoints)? {
        let stays = other > 0 && keep_every > 0 && other.is_multiple_of(keep_every);
        if other < iteration && !stays {
            remove_folder(&path)?;
        }
    }
    Ok(path)
}

/// Gives the players what the checkpoint holds; returns the batches seen.
///
/// # Errors
/// [`Error::Weights`] when it is damaged or of another configuration, [`Error::Read`].
pub fn load(path: &Path, game: &mut dyn Game, method: &MethodConfig) -> Result<u64> {
    let state = read_state(path)?;
    if state.method != *method {
        return Err(Error::weights(
            path,
            "the checkpoint is of another configuration than run.toml",
            "restore the run.toml it was trained with; to train on with other settings, start a new run with --init",
        ));
    }
    for (player, saved) in game.players() {
        for (part, module) in saved.parts() {
            let (bytes, file) = read_file(path, &state, &file_name(player, part))?;
            Tensors::read(&bytes, &file)?.load(module, &file, &[])?;
        }
        let missing = || Error::weights(path, format!("no counter of the {player}"), DAMAGED);
        *saved.updates() = *state.updates.get(player).ok_or_else(missing)?;
    }
    Ok(state.iteration)
}

/// The newest checkpoint, if there is any.
///
/// # Errors
/// [`Error::Read`] when the folder cannot be listed.
pub fn newest(checkpoints: &Path) -> Result<Option<PathBuf>> {
    Ok(list(checkpoints)?.pop().map(|(_, path)| path))
}

/// The checkpoint that a path stands for: a checkpoint's folder itself, a run's newest. Files and sets have none.
///
/// # Errors
/// As [`newest`].
pub fn of(path: &Path) -> Result<Option<PathBuf>> {
    if path.join("state.json").exists() {
        return Ok(Some(path.to_path_buf()));
    }
    newest(&checkpoints_of(path))
}

/// Whether a checkpoint of this state has a part of a player.
pub fn has_part(state: &State, player: &str, part: &str) -> bool {
    state.files.contains_key(&file_name(player, part))
}

/// The weights of a player in a checkpoint, `average` or `weights`, with the checkpoint's state.
///
/// # Errors
/// As [`load`].
pub fn read_part(path: &Path, player: &str, part: &str) -> Result<(Tensors, State)> {
    let state = read_state(path)?;
    let (bytes, file) = read_file(path, &state, &file_name(player, part))?;
    Ok((Tensors::read(&bytes, &file)?, state))
}

const DAMAGED: &str =
    "delete this checkpoint's folder: the run then goes on from the one before, or from the start";

fn write_files(
    folder: &Path,
    game: &mut dyn Game,
    method: &MethodConfig,
    iteration: u64,
    disk: &dyn Disk,
) -> Result<()> {
    let mut state =
        State { iteration, updates: BTreeMap::new(), method: method.clone(), files: BTreeMap::new() };
    for (player, saved) in game.players() {
        state.updates.insert(player.to_string(), *saved.updates());
        for (part, module) in saved.parts() {
            let name = file_name(player, part);
            let tensors = Tensors::of(module, String::new());
            let mut length_and_hash = None;
            write_whole(disk, &folder.join(&name), |output| {
                let mut output = Hashing { output, hash: Sha256::new(), length: 0 };
                tensors.write(Precision::Full, &mut output)?;
                length_and_hash = Some((output.length, hex(&output.hash.finalize())));
                Ok(())
            })?;
            state.files.extend(length_and_hash.map(|entry| (name, entry)));
        }
    }
    let text = serde_json::to_string_pretty(&state).expect("a state is representable in JSON");
    write_whole(disk, &folder.join("state.json"), |output| output.write_all(text.as_bytes()))?;
    sync_folder(folder)
}

/// What a checkpoint says of itself.
///
/// # Errors
/// As [`load`].
pub fn read_state(path: &Path) -> Result<State> {
    let file = path.join("state.json");
    let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::weights(path, "this is no checkpoint: it has no state.json", DAMAGED)
        }
        _ => Error::read(&file)(error),
    })?;
    serde_json::from_str(&text).map_err(|error| Error::weights(&file, error, DAMAGED))
}

fn read_file(path: &Path, state: &State, name: &str) -> Result<(Vec<u8>, PathBuf)> {
    let file = path.join(name);
    let missing = || Error::weights(path, format!("{name} is missing"), DAMAGED);
    let (length, hash) = state.files.get(name).ok_or_else(missing)?;
    let bytes = fs::read(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => Error::read(&file)(error),
    })?;
    if bytes.len() as u64 != *length || hex(&Sha256::digest(&bytes)) != *hash {
        let problem = format!("damaged or cut off ({} of {length} bytes)", bytes.len());
        return Err(Error::weights(&file, problem, DAMAGED));
    }
    Ok((bytes, file))
}

fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    if !checkpoints.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(checkpoints).map_err(Error::read(checkpoints))? {
        let entry = entry.map_err(Error::read(checkpoints))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(iteration) = name.strip_prefix("step-").and_then(|digits| digits.parse().ok()) {
            found.push((iteration, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes what sudden deaths left of checkpoints that were being written.
fn remove_partial(checkpoints: &Path) -> Result<()> {
    for entry in fs::read_dir(checkpoints).map_err(Error::read(checkpoints))? {
        let path = entry.map_err(Error::read(checkpoints))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(".step-") && name.ends_with(".partial") {
            remove_folder(&path)?;
        }
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}

/// Makes the folder's entries survive a power failure, where the system can.
fn sync_folder(path: &Path) -> Result<()> {
    #[cfg(unix)]
    fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::write(path))?;
    Ok(())
}

fn folder_name(iteration: u64) -> String {
    format!("step-{iteration:06}")
}

fn file_name(player: &str, part: &str) -> String {
    format!("{player}.{part}.safetensors")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts and hashes what goes through.
struct Hashing<'a> {
    output: &'a mut dyn Write,
    hash: Sha256,
    length: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
