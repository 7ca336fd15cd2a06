//! Runs on the repository's faces, and disks that fail.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use moue::base::device::{compute_exactly, device};
use moue::base::error::Result;
use moue::base::file::{Disk, FileSystem, Output};
use moue::run::config::RunConfig;
use moue::run::events::{Event, Listener};
use moue::run::folder::RunFolder;
use moue::run::train::{Start, Surroundings, train};

/// The faces that the repository holds.
pub(crate) fn data() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/faces")).unwrap()
}

/// A run in a folder.
pub(crate) struct Run {
    pub(crate) path: PathBuf,
    pub(crate) workers: usize,
    config: RunConfig,
}

/// Iteration, updates, values and rate factor of a logged step: all but the time it took.
pub(crate) type Step = (u64, Vec<(String, u64)>, Vec<(String, f32)>, f64);

impl Run {
    pub(crate) fn new(path: PathBuf, config: RunConfig) -> Self {
        Self { path, workers: 2, config }
    }

    /// Begins, or goes on where the folder has a run, and stops after batch `stop_at`.
    pub(crate) fn train(&self, disk: &dyn Disk, stop_at: Option<u64>) -> Result<()> {
        let (folder, config) = if self.path.join("run.toml").exists() {
            RunFolder::open(&self.path)?
        } else {
            (RunFolder::create(&self.path, &self.config, disk)?, self.config.clone())
        };
        // On a GPU only exact networks give the same bytes each time.
        compute_exactly(true);
        let device = device(&std::env::var("MOUE_DEVICE").unwrap_or_else(|_| "cpu".to_string()))?;
        let start = Start::of(&folder, &config, &device)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut listener = Stopper { stop: Arc::clone(&stop), at: stop_at };
        let mut surroundings =
            Surroundings { device, workers: self.workers, disk, stop: &stop, listener: &mut listener };
        train(&folder, &config, start, &mut surroundings)
    }

    /// The names in `checkpoints/`, hidden ones too.
    pub(crate) fn checkpoint_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path.join("checkpoints")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn newest(&self) -> Option<String> {
        self.checkpoint_names().pop()
    }

    /// Every file in `checkpoints/`.
    pub(crate) fn checkpoint_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for name in self.checkpoint_names() {
            for entry in fs::read_dir(self.path.join("checkpoints").join(&name)).unwrap() {
                let path = entry.unwrap().path();
                files.insert(Path::new(&name).join(path.file_name().unwrap()), fs::read(path).unwrap());
            }
        }
        files
    }

    /// Bytes of all files of a checkpoint.
    pub(crate) fn checkpoint_bytes(&self, name: &str) -> u64 {
        let files = self.checkpoint_files().into_iter().filter(|(path, _)| path.starts_with(name));
        files.map(|(_, bytes)| bytes.len() as u64).sum()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let log = fs::read_to_string(self.path.join("events.jsonl")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        let step = |event| match event {
            Event::Step { iteration, updates, values, rate_factor, .. } => {
                Some((iteration, updates, values, rate_factor))
            }
            _ => None,
        };
        self.events().into_iter().filter_map(step).collect()
    }
}

/// Asks for a stop when a batch was logged; at 0 as soon as training begins.
struct Stopper {
    stop: Arc<AtomicBool>,
    at: Option<u64>,
}

impl Listener for Stopper {
    fn hear(&mut self, event: &Event) -> Result<()> {
        if let Event::Step { iteration, .. } | Event::Started { iteration, .. } = event
            && Some(*iteration) == self.at
        {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What happens at the chosen byte.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// No space is left.
    Full,
    /// The process dies.
    Death,
}

/// What a process says when it dies of [`Fault::Death`].
pub(crate) const LAST_WORDS: &str = "dying at the chosen byte";

/// A disk that fails at byte `at` of what is written below a folder of a name.
pub(crate) struct FaultyDisk {
    folder: &'static str,
    left: Arc<AtomicU64>,
    fault: Fault,
}

impl FaultyDisk {
    pub(crate) fn new(folder: &'static str, at: u64, fault: Fault) -> Self {
        Self { folder, left: Arc::new(AtomicU64::new(at)), fault }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        if !path.components().any(|part| part.as_os_str() == self.folder) {
            return FileSystem.create(path);
        }
        // Unbuffered: what was written before a death lies in the file.
        let file = File::create(path)?;
        Ok(Box::new(Faulty { file, left: Arc::clone(&self.left), fault: self.fault }))
    }
}

struct Faulty {
    file: File,
    left: Arc<AtomicU64>,
    fault: Fault,
}

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed) as usize;
        if left == 0 {
            return match self.fault {
                Fault::Full => Err(io::ErrorKind::StorageFull.into()),
                Fault::Death => {
                    let _ = writeln!(io::stderr(), "{LAST_WORDS}");
                    std::process::abort()
                }
            };
        }
        let written = self.file.write(&bytes[..bytes.len().min(left)])?;
        self.left.fetch_sub(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Output for Faulty {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}
