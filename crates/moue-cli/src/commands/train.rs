//! `moue train`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use moue::base::device::Device;
use moue::base::error::Error;
use moue::base::expression::{Expression, Targets};
use moue::base::file::{Disk, FileSystem};
use moue::run::config::RunConfig;
use moue::run::folder::{RunFolder, next_path};
use moue::run::set::{RunSet, set_targets};
use moue::run::train::{Start, Surroundings, open_data, split, train};

use super::stop_on_signal;
use crate::args::{Compute, Train};
use crate::terminal::{TrainingProgress, note, print_line};

pub(crate) fn run(arguments: Train, quiet: bool) -> anyhow::Result<()> {
    let disk = FileSystem;
    if arguments.dry_run {
        return print_line(configure(&arguments)?.to_toml().trim_end()).map_err(Into::into);
    }
    let device = arguments.compute.device()?;
    if let Some(path) = arguments.resume.as_deref().filter(|path| RunSet::is_at(path)) {
        return train_set(&RunSet::open(path)?, &arguments, &device, &disk, quiet);
    }
    if let Some(targets) = &arguments.target {
        let set = new_set(targets, &arguments, &disk)?;
        let result = train_set(&set, &arguments, &device, &disk, quiet);
        if result.is_err() {
            set.discard();
        }
        return result;
    }
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
    let result = run_in(&folder, &config, &arguments, &device, &disk, quiet);
    if result.is_err() && arguments.resume.is_none() {
        folder.discard();
    }
    result
}

/// How to go on with what was stopped, where and as it computed.
fn to_go_on(path: &Path, arguments: &Train) -> String {
    let Compute { device, exact, .. } = &arguments.compute;
    let mut command = format!("go on with: moue train --resume {}", path.display());
    if device != "auto" {
        command += &format!(" --device {device}");
    }
    command + if *exact { " --exact" } else { "" }
}

fn run_in(
    folder: &RunFolder,
    config: &RunConfig,
    arguments: &Train,
    device: &Device,
    disk: &dyn Disk,
    quiet: bool,
) -> anyhow::Result<()> {
    note(quiet, &format!("run: {}", folder.path().display()));
    let mut start = Start::of(folder, config, device)?;
    if let Some(path) = &arguments.init {
        let others = start.weights_from(path, device)?;
        let others = if others.is_empty() { "other players start anew".into() } else { others.join(" and ") };
        note(quiet, &format!("start: generator of {}, {others}", path.display()));
        start.save(folder, config, disk)?;
    }
    let stop = stop_on_signal("this batch, with a checkpoint")?;
    let mut listener = TrainingProgress::new(quiet);
    train(folder, config, start, &mut around(arguments, device, disk, &stop, &mut listener))?;
    if stop.load(Ordering::Relaxed) {
        note(quiet, &to_go_on(folder.path(), arguments));
    }
    Ok(())
}

fn around<'a>(
    arguments: &Train,
    device: &Device,
    disk: &'a dyn Disk,
    stop: &'a AtomicBool,
    listener: &'a mut TrainingProgress,
) -> Surroundings<'a> {
    Surroundings { device: device.clone(), workers: arguments.workers.into(), disk, stop, listener }
}

/// The folder of a new set, once there is something to learn from for each target.
fn new_set(targets: &Targets, arguments: &Train, disk: &dyn Disk) -> anyhow::Result<RunSet> {
    let mut config = configure(arguments)?;
    let dataset = open_data(&config)?;
    let shown = split(&config, &dataset).expressions;
    config.data.name = dataset.name;
    let targets = set_targets(targets, &config, &shown);
    RunSet::check_data(&targets, &config)?;
    let path = match &arguments.out {
        Some(path) => path.clone(),
        None => next_path(Path::new("runs"), &config)?,
    };
    Ok(RunSet::create(&path, targets, config, disk)?)
}

/// Trains a set's runs one after the other, each from where it is.
fn train_set(
    set: &RunSet,
    arguments: &Train,
    device: &Device,
    disk: &dyn Disk,
    quiet: bool,
) -> anyhow::Result<()> {
    let count = set.targets().len();
    let stop = stop_on_signal("this batch, with a checkpoint")?;
    for (number, &target) in set.targets().iter().enumerate() {
        let path = set.run_path(target);
        let is_new = !path.join("run.toml").is_file();
        note(quiet, &format!("run {} of {count}: {}", number + 1, path.display()));
        let (folder, config) = if is_new {
            let mut config = set.run_config(target)?;
            config.data.path = data(arguments)?.unwrap_or(config.data.path);
            (RunFolder::create(&path, &config, disk)?, config)
        } else {
            resume(&path, arguments.data.as_deref())?
        };
        let start = Start::of(&folder, &config, device)?;
        if start.iteration >= config.training.iterations {
            note(quiet, "trained already");
            continue;
        }
        let mut listener = TrainingProgress::new(quiet);
        let result =
            train(&folder, &config, start, &mut around(arguments, device, disk, &stop, &mut listener));
        if result.is_err() && is_new {
            folder.discard();
        }
        result?;
        if stop.load(Ordering::Relaxed) {
            note(quiet, &to_go_on(set.path(), arguments));
            break;
        }
    }
    Ok(())
}

/// The data set that was named, wherever the working directory will be.
fn data(arguments: &Train) -> anyhow::Result<Option<PathBuf>> {
    let absolute = arguments.data.as_ref().map(std::path::absolute).transpose();
    absolute.context("the working directory cannot be read")
}

fn configure(arguments: &Train) -> anyhow::Result<RunConfig> {
    let preset = arguments.preset.as_deref();
    let mut config = RunConfig::layered(preset, arguments.config.as_deref(), &arguments.settings)?;
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    // A run can be resumed from anywhere.
    config.data.path = data(arguments)?.unwrap_or(config.data.path);
    if let (true, Some(targets)) = (arguments.dry_run, &arguments.target)
        && let Some(&first) = set_targets(targets, &config, &Expression::ALL).first()
    {
        config.method = config.method.with_target(first)?;
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
