//! `moue translate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use moue::base::device::{Device, device};
use moue::base::error::Error;
use moue::base::expression::Targets;
use moue::base::file::FileSystem;
use moue::data::sources::Listing;
use moue::photo::find::{Face, Finder};
use moue::photo::write::WriteOptions;
use moue::run::model::Model;
use moue::run::outputs::inputs;
use moue::run::translate::{Job, faces_of, translate};

use super::{default_model, stop_on_signal};
use crate::args::Translate;
use crate::terminal::{bar, note, print_line, say};

pub(crate) fn run(arguments: Translate, quiet: bool) -> anyhow::Result<()> {
    // A CPU is done with a photo's networks before a GPU has tried out its kernels.
    let cpu = device("cpu")?;
    let finder = Finder::new(&cpu);
    let device = if arguments.compute.device == "auto" { cpu } else { arguments.compute.device()? };
    let named = [&arguments.grid, &arguments.animate, &arguments.crop_out, &arguments.show_edit];
    let folder = match (&arguments.out, named.iter().any(|output| output.is_some())) {
        (None, true) => None,
        (out, _) => Some(out.clone().unwrap_or_else(|| PathBuf::from("moue-out"))),
    };
    let results = [&folder, &arguments.crop_out, &arguments.show_edit].into_iter().flatten().cloned();
    let files = inputs(&arguments.inputs, &results.collect::<Vec<_>>())?;
    if arguments.faces {
        return print_faces(&files, &finder);
    }
    let model = open(&arguments, &device)?;
    let stop = stop_on_signal("the photo at hand")?;
    let mark = (!arguments.no_mark).then(|| model.name());
    let progress = bar(files.len() as u64, quiet, "photos");
    let job = Job {
        identities: identities(&arguments.inputs)?,
        inputs: files,
        aligned: arguments.aligned,
        faces: arguments.face,
        targets: match arguments.to {
            Targets::All => model.targets(),
            Targets::These(targets) => targets,
        },
        strength: arguments.strength.unwrap_or(model.card.strength),
        folder,
        format: arguments.format.into(),
        options: WriteOptions {
            jpeg_quality: arguments.quality,
            png_level: arguments.png_level.into(),
            mark,
        },
        sheet: arguments.grid,
        animation: arguments.animate,
        crops: arguments.crop_out,
        edits: arguments.show_edit,
        batch_size: arguments.batch_size.into(),
        disk: &FileSystem,
        stop: &stop,
    };
    let (mut done, mut failures, mut printed) = (0, Vec::new(), Ok(()));
    translate(&model, &finder, &job, &device, |input, written| {
        progress.inc(1);
        done += 1;
        match written {
            // Nobody reads on: the work goes on all the same.
            Ok(results) if arguments.json && printed.is_ok() => {
                let results: Vec<_> = results.iter().map(|path| path.to_string_lossy()).collect();
                let line = serde_json::json!({ "input": input.to_string_lossy(), "results": results });
                printed = print_line(&line.to_string());
            }
            Ok(_) => {}
            Err(error) => failures.push(error),
        }
        Ok(())
    })?;
    progress.finish_and_clear();
    report(&job, done, failures, quiet)?;
    printed.map_err(Into::into)
}

fn open(arguments: &Translate, device: &Device) -> anyhow::Result<Model> {
    match &arguments.model {
        Some(path) => Ok(Model::open(path, arguments.weights.map(Into::into), device)?),
        None => default_model(device),
    }
}

/// Says what was written, and fails where an input could not be translated.
fn report(job: &Job<'_>, done: usize, failures: Vec<Error>, quiet: bool) -> anyhow::Result<()> {
    let (count, failed) = (job.inputs.len(), failures.len());
    if failed < done {
        if let Some(folder) = &job.folder {
            let images = (done - failed) * job.targets.len();
            note(quiet, &format!("{images} images in {}", folder.display()));
        }
        for (what, path) in [("sheet", &job.sheet), ("loop", &job.animation)] {
            if let Some(path) = path {
                note(quiet, &format!("{what}: {}", path.display()));
            }
        }
        for (what, path) in [("face squares", &job.crops), ("edits", &job.edits)] {
            if let Some(path) = path {
                note(quiet, &format!("{what} in {}", path.display()));
            }
        }
    }
    name_all(failures, count)?;
    if done < count {
        bail!("stopped after {done} of {count} photos; those are done");
    }
    Ok(())
}

/// The one failure, or all of them with what can be done.
fn name_all(mut failures: Vec<Error>, count: usize) -> anyhow::Result<()> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0).into()),
        failed => {
            for error in &failures {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                say(&format!("skipped: {error}{hint}\n"));
            }
            bail!("{failed} of {count} inputs could not be used")
        }
    }
}

/// Who the images of folders show: as their manifests or person folders say, and otherwise nobody known. `None` without
/// any folder.
fn identities(inputs: &[PathBuf]) -> anyhow::Result<Option<BTreeMap<PathBuf, String>>> {
    let folders: Vec<&PathBuf> = inputs.iter().filter(|path| path.is_dir()).collect();
    let mut identities = BTreeMap::new();
    for folder in &folders {
        let samples = match Listing::open(folder, None) {
            Ok(listing) => listing.samples,
            // A table that is there is meant; folders may well hold nothing but photos.
            Err(error) if folder.join("manifest.csv").is_file() => return Err(error.into()),
            Err(_) => continue,
        };
        identities.extend(samples.into_iter().filter_map(|sample| Some((sample.file, sample.identity?))));
    }
    Ok((!folders.is_empty()).then_some(identities))
}

/// Prints the faces of each photo, the largest first.
fn print_faces(files: &[PathBuf], finder: &Finder) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for file in files {
        match faces_of(file, finder) {
            Ok(faces) if faces.is_empty() => say(&format!("{}: no face is found\n", file.display())),
            Ok(faces) => {
                for (n, face) in faces.iter().enumerate() {
                    print_line(&describe(file, n + 1, face).to_string())?;
                }
            }
            Err(error) => failures.push(error),
        }
    }
    name_all(failures, files.len())
}

fn describe(file: &Path, number: usize, face: &Face) -> serde_json::Value {
    let square = face.square();
    serde_json::json!({
        "file": file.to_string_lossy(),
        "face": number,
        "left_eye": face.left_eye,
        "right_eye": face.right_eye,
        "eye_distance": face.eye_distance(),
        "roll_degrees": face.roll_degrees(),
        "bounds": face.bounds,
        "square": square.corners(),
        "score": face.score,
    })
}
