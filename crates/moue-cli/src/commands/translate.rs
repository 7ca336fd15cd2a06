//! `moue translate`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use moue::base::device::Device;
use moue::base::error::Error;
use moue::base::file::FileSystem;
use moue::data::Dataset;
use moue::photo::find::{Face, Finder};
use moue::photo::write::WriteOptions;
use moue::run::model::Model;
use moue::run::outputs::inputs;
use moue::run::translate::{Job, faces_of, translate};

use super::{compute, default_model};
use crate::args::Translate;
use crate::terminal::{bar, note, print_line, say};

pub(crate) fn run(arguments: Translate, quiet: bool) -> anyhow::Result<()> {
    let device = compute(&arguments.compute)?;
    let files = inputs(&arguments.inputs)?;
    let finder = Finder::new(&device);
    if arguments.faces {
        return print_faces(&files, &finder);
    }
    let model = open(&arguments, &device)?;
    let named = [&arguments.grid, &arguments.animate, &arguments.crop_out, &arguments.show_edit];
    let folder = match (arguments.out, named.iter().any(|output| output.is_some())) {
        (None, true) => None,
        (out, _) => Some(out.unwrap_or_else(|| PathBuf::from("moue-out"))),
    };
    let mark = (!arguments.no_mark).then(|| model.name());
    let progress = bar(files.len() as u64, quiet, "photos");
    let job = Job {
        identities: identities(&arguments.inputs),
        inputs: files,
        aligned: arguments.aligned,
        faces: arguments.face,
        targets: arguments.to.0,
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
    };
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    translate(&model, &finder, &job, &device, |input, written| {
        progress.inc(1);
        match written {
            Ok(results) if arguments.json => {
                lines.push(serde_json::json!({ "input": input, "results": results }).to_string());
            }
            Ok(_) => {}
            Err(error) => failures.push(error),
        }
        Ok(())
    })?;
    progress.finish_and_clear();
    for line in lines {
        print_line(&line)?;
    }
    report(&job, failures, quiet)
}

fn open(arguments: &Translate, device: &Device) -> anyhow::Result<Model> {
    match &arguments.model {
        Some(path) => Ok(Model::open(path, arguments.weights.map(Into::into), device)?),
        None => default_model(device),
    }
}

/// Says what was written, and fails where an input could not be translated.
fn report(job: &Job<'_>, mut failures: Vec<Error>, quiet: bool) -> anyhow::Result<()> {
    let (count, failed) = (job.inputs.len(), failures.len());
    if failed < count {
        if let Some(folder) = &job.folder {
            let images = (count - failed) * job.targets.len();
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
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0).into()),
        _ => {
            for error in &failures {
                say(&format!("skipped: {error}\n"));
            }
            bail!("{failed} of {count} inputs could not be translated")
        }
    }
}

/// Who the images of folders show: as their manifests say, and otherwise nobody known. `None` without any folder.
fn identities(inputs: &[PathBuf]) -> Option<BTreeMap<PathBuf, String>> {
    let folders: Vec<&PathBuf> = inputs.iter().filter(|path| path.is_dir()).collect();
    if folders.is_empty() {
        return None;
    }
    let samples = folders.into_iter().filter_map(|folder| Dataset::open(folder).ok());
    let samples = samples.flat_map(|dataset| dataset.samples);
    Some(samples.filter_map(|sample| Some((sample.file, sample.identity?))).collect())
}

/// Prints the faces of each photo, the largest first.
fn print_faces(files: &[PathBuf], finder: &Finder) -> anyhow::Result<()> {
    for file in files {
        for (n, face) in faces_of(file, finder)?.iter().enumerate() {
            print_line(&describe(file, n + 1, face).to_string())?;
        }
    }
    Ok(())
}

fn describe(file: &Path, number: usize, face: &Face) -> serde_json::Value {
    let square = face.square();
    serde_json::json!({
        "file": file,
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
