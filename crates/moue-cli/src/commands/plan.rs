//! The runs of a plan, trained one after the other; what was stopped goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use moue::base::device::Device;
use moue::base::error::{Error, Result};
use moue::base::expression::Expression;
use moue::base::file::FileSystem;
use moue::run::config::RunConfig;
use moue::run::events::{Event, Listener};
use moue::run::folder::RunFolder;
use moue::run::set::{RunSet, config_of};
use moue::run::train::{Start, Surroundings, open_data, split, train};
use moue_evaluation::evaluate::Shard;
use moue_evaluation::plan::{Plan, Planned};

use crate::terminal::{TrainingProgress, note};

/// Where a plan's runs are trained, and on what.
pub(super) struct Training<'a> {
    /// The folder of the runs' folders.
    pub(super) folder: &'a Path,
    pub(super) data: Option<&'a Path>,
    pub(super) shard: Option<Shard>,
    pub(super) device: &'a Device,
    pub(super) stop: &'a AtomicBool,
    pub(super) quiet: bool,
}

impl Training<'_> {
    /// Trains the runs that are not trained yet. Answers with all runs' and sets' folders; fewer when it was stopped.
    pub(super) fn follow(&self, plan: &Plan) -> anyhow::Result<Vec<PathBuf>> {
        let planned = plan.configs(&|config| self.shown(config))?;
        let count = planned.len();
        let seconds = plan.minutes.map(|minutes| 60.0 * minutes);
        let mut paths = Vec::new();
        for (number, run) in planned.into_iter().enumerate() {
            let path = self.folder.join(&run.name);
            if self.shard.is_none_or(|shard| shard.holds(number)) {
                note(self.quiet, &format!("run {} of {count}: {}", number + 1, path.display()));
                check_begun(&path, &run)?;
                let trained = match &run.targets {
                    None => self.one(&path, run.config, seconds),
                    Some(targets) => self.set(&path, targets, run.config, seconds),
                };
                trained.with_context(|| format!("the plan's run {}", run.name))?;
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// Trains a set's networks one after the other, each for its share of the time.
    fn set(
        &self,
        path: &Path,
        targets: &[Expression],
        config: RunConfig,
        seconds: Option<f64>,
    ) -> anyhow::Result<()> {
        let set = if RunSet::is_at(path) {
            RunSet::open(path)?
        } else {
            let config = self.on_the_data(config)?;
            RunSet::check_data(targets, &config)?;
            RunSet::create(path, targets.to_vec(), config, &FileSystem)?
        };
        let count = set.targets().len();
        for (number, &target) in set.targets().iter().enumerate() {
            note(self.quiet, &format!("network {} of {count}: {target}", number + 1));
            let share = seconds.map(|seconds| seconds / count as f64);
            self.one(&set.run_path(target), set.run_config(target)?, share)?;
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    /// Trains a run to its end, or for so many seconds in all.
    fn one(&self, path: &Path, config: RunConfig, seconds: Option<f64>) -> anyhow::Result<()> {
        let (folder, config) = match path.join("run.toml").is_file() {
            true => RunFolder::open(path)?,
            false => {
                let config = self.on_the_data(config)?;
                (RunFolder::create(path, &config, &FileSystem)?, config)
            }
        };
        let start = Start::of(&folder, &config, self.device)?;
        let spent = seconds_spent(&folder.events());
        let has_time = seconds.is_none_or(|seconds| spent < seconds);
        if start.iteration >= config.training.iterations || !has_time {
            note(self.quiet, "trained already");
            return Ok(());
        }
        let mut listener = Limited {
            inner: TrainingProgress::new(self.quiet),
            begun: Instant::now(),
            left: seconds.map(|seconds| seconds - spent),
            stop: self.stop,
            is_over: false,
        };
        let mut around = Surroundings {
            device: self.device.clone(),
            workers: 2,
            disk: &FileSystem,
            stop: self.stop,
            listener: &mut listener,
        };
        train(&folder, &config, start, &mut around)?;
        if listener.is_over {
            // It was the clock that ended this run, nobody who wants all of it to end.
            self.stop.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The settings with the data set's name.
    fn on_the_data(&self, config: RunConfig) -> Result<RunConfig> {
        let mut config = self.with_path(config)?;
        config.data.name = open_data(&config)?.name;
        Ok(config)
    }

    /// A plan names no data: they come from the command line, unless a setting names them.
    fn with_path(&self, mut config: RunConfig) -> Result<RunConfig> {
        if let Some(data) = self.data {
            config.data.path = std::path::absolute(data).map_err(Error::read(data))?;
        }
        if config.data.path.as_os_str().is_empty() {
            let hint = "name a folder of labelled faces with --data, such as assets/faces";
            return Err(Error::config("there is nothing to train on", hint));
        }
        Ok(config)
    }

    /// The expressions that a run's faces show.
    fn shown(&self, config: &RunConfig) -> Result<Vec<Expression>> {
        let config = self.with_path(config.clone())?;
        Ok(split(&config, &open_data(&config)?).expressions)
    }
}

/// What is there already under a run's name must be that run.
fn check_begun(path: &Path, run: &Planned) -> Result<()> {
    if RunSet::is_at(path) {
        let set = RunSet::open(path)?;
        return run.check_begun(path, &config_of(path)?, Some(set.targets()));
    }
    match path.join("run.toml").is_file() {
        true => run.check_begun(path, &config_of(path)?, None),
        false => Ok(()),
    }
}

/// The seconds that a run was trained in all, by its log.
fn seconds_spent(events: &Path) -> f64 {
    let text = fs::read_to_string(events).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
    events.map(|event| if let Event::Ended { seconds, .. } = event { seconds } else { 0.0 }).sum()
}

/// Shows how training goes, and ends it when its time is over.
struct Limited<'a> {
    inner: TrainingProgress,
    begun: Instant,
    left: Option<f64>,
    stop: &'a AtomicBool,
    is_over: bool,
}

impl Listener for Limited<'_> {
    fn hear(&mut self, event: &Event) -> Result<()> {
        // Counted as the log counts, from the first batch on: else a run that its time ended would have some left.
        if matches!(event, Event::Started { .. }) {
            self.begun = Instant::now();
        }
        let is_over = self.left.is_some_and(|left| self.begun.elapsed().as_secs_f64() >= left);
        if is_over && matches!(event, Event::Step { .. }) && !self.stop.swap(true, Ordering::Relaxed) {
            self.is_over = true;
        }
        self.inner.hear(event)
    }
}
