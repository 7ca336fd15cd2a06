//! `moue translate`.

use std::path::PathBuf;

use moue::base::file::FileSystem;
use moue::run::model::Model;
use moue::run::translate::{Job, inputs, translate};

use super::{compute, default_model};
use crate::args::Translate;
use crate::terminal::{bar, note, print_line};

pub(crate) fn run(arguments: Translate, quiet: bool) -> anyhow::Result<()> {
    let device = compute(&arguments.compute)?;
    let files = inputs(&arguments.inputs)?;
    let model = match &arguments.model {
        Some(path) => Model::open(path, arguments.weights.map(Into::into), &device)?,
        None => default_model(&device)?,
    };
    let folder = match (arguments.out, &arguments.grid) {
        (None, Some(_)) => None,
        (out, _) => Some(out.unwrap_or_else(|| PathBuf::from("moue-out"))),
    };
    let progress = bar(files.len() as u64, quiet, "faces");
    let job = Job {
        inputs: files,
        targets: arguments.to.0,
        folder,
        sheet: arguments.grid,
        batch_size: arguments.batch_size.into(),
        disk: &FileSystem,
    };
    let mut lines = Vec::new();
    translate(&model, &job, &device, |input, results| {
        progress.inc(1);
        if arguments.json {
            lines.push(serde_json::json!({ "input": input, "results": results }).to_string());
        }
        Ok(())
    })?;
    progress.finish_and_clear();
    for line in lines {
        print_line(&line)?;
    }
    let count = job.inputs.len() * job.targets.len();
    if let Some(folder) = &job.folder {
        note(quiet, &format!("{count} images in {}", folder.display()));
    }
    if let Some(sheet) = &job.sheet {
        note(quiet, &format!("sheet: {}", sheet.display()));
    }
    Ok(())
}
