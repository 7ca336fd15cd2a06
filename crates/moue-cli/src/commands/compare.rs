//! `moue compare`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::bail;
use moue::base::error::Error;
use moue::base::file::FileSystem;
use moue::run::set::{RunSet, runs_of};
use moue_evaluation::evaluate::{Candidate, portraits};
use moue_evaluation::page;
use moue_evaluation::plan::Plan;
use moue_evaluation::table::{Format, write};

use super::judging::{Judged, judge};
use super::plan::Training;
use super::stop_on_signal;
use crate::args::Compare;
use crate::terminal::{columns, note, print, print_line};

pub(crate) fn run(arguments: &Compare, quiet: bool) -> anyhow::Result<()> {
    let judging = &arguments.judging;
    let device = judging.compute.device()?;
    let mut paths = arguments.models.clone();
    if let Some(name) = &arguments.train {
        let plan = Plan::open(name)?;
        let stem = name.file_stem().unwrap_or_default();
        let folder = arguments.runs.clone().unwrap_or_else(|| PathBuf::from("runs").join(stem));
        let stop = stop_on_signal("this batch, with a checkpoint")?;
        let training = Training {
            folder: &folder,
            data: arguments.data.as_deref(),
            shard: judging.shard,
            device: &device,
            stop: &stop,
            quiet,
        };
        let trained = training.follow(&plan)?;
        if stop.load(Ordering::Relaxed) {
            note(quiet, "go on with the same command");
            return Ok(());
        }
        let is_there = |path: &PathBuf| path.join("run.toml").is_file() || RunSet::is_at(path);
        let missing = trained.iter().filter(|path| !is_there(path)).count();
        if missing > 0 {
            note(
                quiet,
                &format!("{missing} runs of other parts are not here yet: compare again once they are"),
            );
        }
        paths.extend(trained.into_iter().filter(is_there));
    }
    if paths.is_empty() {
        bail!(Error::config(
            "there is nothing to compare",
            "name runs or model files, or a plan with --train"
        ));
    }
    let Some(judged) = judge(&paths, arguments.data.as_deref(), judging, &device, quiet)? else {
        return Ok(());
    };
    let Judged { evaluation, candidates, dataset, split, settings } = judged;
    let faces = portraits(&dataset, &split, &candidates, &settings, arguments.faces.into(), PORTRAIT)?;
    // Of a set the curves of each of its runs.
    let of_model = |(candidate, path): (&Candidate, &PathBuf)| {
        let name = candidate.name.clone();
        let named = move |(_, path)| (name.clone(), path);
        runs_of(path).into_iter().map(named).collect::<Vec<_>>()
    };
    let runs: Vec<(String, PathBuf)> = candidates.iter().zip(&paths).flat_map(of_model).collect();
    let curves = page::curves(runs.iter().map(|(name, path)| (name.as_str(), path.as_path())))?;
    page::write(&evaluation, &faces, &curves, &arguments.out, &FileSystem)?;
    print(write(&evaluation, &[], Format::Terminal(columns())).as_bytes())?;
    print_line(&arguments.out.join("index.html").display().to_string())?;
    Ok(())
}

/// Side of the faces in figures, in pixels.
const PORTRAIT: usize = 256;
