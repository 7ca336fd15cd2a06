//! What a run tells: the learning code reports, terminals and logs listen.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::file::{Disk, write_whole};

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Training begins or goes on.
    Started {
        /// Batches seen before.
        iteration: u64,
        /// Batches in all.
        iterations: u64,
        /// Faces trained on and held out for validation and test.
        faces: [usize; 3],
        /// Expressions that no face trained on shows: they are not learned.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<Expression>,
        /// Where it computes.
        device: String,
    },
    /// How long the rest would take at the speed of the first batches.
    Projected {
        /// Batches seen.
        iteration: u64,
        /// Seconds for one batch.
        seconds_per_iteration: f64,
        /// Seconds for all that remain.
        seconds: f64,
    },
    /// A batch whose numbers were read.
    Step {
        /// Batches seen.
        iteration: u64,
        /// Updates of each player.
        updates: Vec<(String, u64)>,
        /// Losses and diagnostics by name.
        values: Vec<(String, f32)>,
        /// The factor of the learning rates.
        rate_factor: f64,
        /// Faces trained on a second since the last such event.
        images_per_second: f64,
    },
    /// A sheet of held-out faces was painted.
    Sampled {
        /// Batches seen.
        iteration: u64,
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint was written.
    Saved {
        /// Batches seen.
        iteration: u64,
        /// The folder.
        path: PathBuf,
    },
    /// Training ended, at its end or because it was asked to.
    Ended {
        /// Batches seen.
        iteration: u64,
        /// Whether that is all of them.
        complete: bool,
        /// Seconds since it began or went on.
        seconds: f64,
    },
}

impl Event {
    /// Batches seen when it happened.
    pub fn iteration(&self) -> u64 {
        match self {
            Self::Started { iteration, .. }
            | Self::Projected { iteration, .. }
            | Self::Step { iteration, .. }
            | Self::Sampled { iteration, .. }
            | Self::Saved { iteration, .. }
            | Self::Ended { iteration, .. } => *iteration,
        }
    }
}

/// Someone who is told.
pub trait Listener {
    /// Is told of an event.
    ///
    /// # Errors
    /// What keeps the listener from doing its work; training ends then.
    fn hear(&mut self, event: &Event) -> Result<()>;
}

/// Writes `events.jsonl`.
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// Opens a run's log to go on after `iteration`: what was logged later is dropped, since it will happen again.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`].
    pub fn open(path: &Path, iteration: u64, disk: &dyn Disk) -> Result<Self> {
        if path.exists() {
            let kept = earlier(path, iteration)?;
            write_whole(disk, path, |output| output.write_all(kept.as_bytes()))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::write(path))?;
        Ok(Self { path: path.to_path_buf(), file })
    }
}

impl Listener for EventLog {
    fn hear(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event).expect("an event is representable in JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::write(&self.path))
    }
}

/// The lines up to an iteration; a line cut off by a sudden death ends the log.
fn earlier(path: &Path, iteration: u64) -> Result<String> {
    let file = fs::File::open(path).map_err(Error::read(path))?;
    let mut kept = String::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(Error::read(path))?;
        match serde_json::from_str::<Event>(&line) {
            Ok(event) if event.iteration() <= iteration => kept.push_str(&line),
            _ => break,
        }
        kept.push('\n');
    }
    Ok(kept)
}
