//! `moue evaluate`.

use std::fs;
use std::path::Path;

use moue::base::error::{Error, Result};
use moue::base::file::{FileSystem, write_whole};
use moue::run::set::RunSet;
use moue_evaluation::scores::{Evaluation, Metric};
use moue_evaluation::table::{Format, write};
use serde_json::json;

use super::judging::{Judged, judge};
use crate::args::{Evaluate, TableFormat};
use crate::terminal::{columns, print};

/// What is shown by expression.
const DETAILED: [Metric; 4] = [Metric::Fid, Metric::Kid, Metric::FaceApi, Metric::Identity];

pub(crate) fn run(arguments: &Evaluate, quiet: bool) -> anyhow::Result<()> {
    let device = arguments.judging.compute.device()?;
    let (models, data) = (&arguments.models, arguments.data.as_deref());
    let Some(Judged { evaluation, .. }) = judge(models, data, &arguments.judging, &device, quiet)? else {
        return Ok(());
    };
    let names = evaluation.models().map(|(row, _)| row.name.clone()).collect::<Vec<_>>();
    for (path, name) in arguments.models.iter().zip(names) {
        if path.join("run.toml").is_file() || RunSet::is_at(path) {
            keep_scores(path, &name, &evaluation)?;
        }
    }
    let width = if arguments.out.is_some() { usize::MAX } else { columns() };
    let text = rendered(&evaluation, arguments.format, width);
    match &arguments.out {
        Some(path) => write_whole(&FileSystem, path, |output| output.write_all(text.as_bytes()))?,
        None => print(text.as_bytes())?,
    }
    Ok(())
}

/// The evaluation as it was asked for, in a terminal of so many columns.
fn rendered(evaluation: &Evaluation, format: TableFormat, width: usize) -> String {
    let format = match format {
        TableFormat::Terminal => Format::Terminal(width),
        TableFormat::Markdown => Format::Markdown,
        TableFormat::Csv => Format::Csv,
        TableFormat::Latex => Format::Latex,
        TableFormat::Json => {
            let json =
                serde_json::to_string_pretty(evaluation).expect("an evaluation is representable in JSON");
            return json + "\n";
        }
    };
    write(evaluation, &DETAILED, format)
}

/// Appends a model's scores to its run's `scores.jsonl`.
fn keep_scores(run: &Path, name: &str, evaluation: &Evaluation) -> Result<()> {
    let path = run.join("scores.jsonl");
    let mut text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::read(&path)(error)),
    };
    let Some(row) = evaluation.rows.iter().find(|row| row.name == name) else { return Ok(()) };
    let line = json!({
        "data": evaluation.data,
        "protocol": evaluation.protocol,
        "description": evaluation.description,
        "notes": evaluation.notes,
        "image_size": evaluation.image_size,
        "draws": evaluation.draws,
        "row": row,
    });
    text.push_str(&format!("{line}\n"));
    write_whole(&FileSystem, &path, |output| output.write_all(text.as_bytes()))
}
