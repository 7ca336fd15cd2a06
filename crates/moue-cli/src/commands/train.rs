//! `moue train`.

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::Context;
use moue::base::device::Device;
use moue::base::error::Error;
use moue::base::file::{Disk, FileSystem};
use moue::run::config::RunConfig;
use moue::run::folder::{RunFolder, next_path};
use moue::run::train::{Start, Surroundings, open_data, train};

use super::{compute, stop_on_signal};
use crate::args::Train;
use crate::terminal::{TrainingProgress, note, print_line};

pub(crate) fn run(arguments: Train, quiet: bool) -> anyhow::Result<()> {
    let disk = FileSystem;
    if arguments.dry_run {
        return print_line(configure(&arguments)?.to_toml().trim_end()).map_err(Into::into);
    }
    let device = compute(&arguments.compute)?;
    let (folder, config) = match &arguments.resume {
        Some(path) => resume(path, arguments.data.as_deref())?,
        None => {
            let mut config = configure(&arguments)?;
            // What is wrong with the data shows before a folder is made.
            config.data.name = open_data(&config)?.name;
            let path = match &arguments.out {
                Some(path) => path.clone(),
                None => next_path(Path::new("runs"), &config)?,
            };
            (RunFolder::create(&path, &config, &disk)?, config)
        }
    };
    let result = run_in(&folder, &config, &arguments, device, &disk, quiet);
    if result.is_err() && arguments.resume.is_none() {
        folder.discard();
    }
    result
}

fn run_in(
    folder: &RunFolder,
    config: &RunConfig,
    arguments: &Train,
    device: Device,
    disk: &dyn Disk,
    quiet: bool,
) -> anyhow::Result<()> {
    note(quiet, &format!("run: {}", folder.path().display()));
    let mut start = Start::of(folder, config, &device)?;
    if let Some(path) = &arguments.init {
        start.generator_from(path, &device)?;
        start.save(folder, config, disk)?;
    }
    let stop = stop_on_signal("this batch, with a checkpoint")?;
    let mut surroundings = Surroundings {
        device,
        workers: arguments.workers.into(),
        disk,
        stop: &stop,
        listener: &mut TrainingProgress::new(quiet),
    };
    train(folder, config, start, &mut surroundings)?;
    if stop.load(Ordering::Relaxed) {
        note(quiet, &format!("go on with: moue train --resume {}", folder.path().display()));
    }
    Ok(())
}

fn configure(arguments: &Train) -> anyhow::Result<RunConfig> {
    let preset = arguments.preset.as_deref();
    let mut config = RunConfig::layered(preset, arguments.config.as_deref(), &arguments.settings)?;
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    if let Some(path) = &arguments.data {
        // A run can be resumed from anywhere.
        config.data.path = std::path::absolute(path).context("the working directory cannot be read")?;
    }
    if config.data.path.as_os_str().is_empty() && !arguments.dry_run {
        let hint = "name a folder of labelled faces with --data, such as assets/faces";
        return Err(Error::config("there is nothing to train on", hint).into());
    }
    Ok(config)
}

fn resume(path: &Path, data: Option<&Path>) -> anyhow::Result<(RunFolder, RunConfig)> {
    let (folder, mut config) = RunFolder::open(path)?;
    if let Some(data) = data {
        config.data.path = data.to_path_buf();
    }
    Ok((folder, config))
}
