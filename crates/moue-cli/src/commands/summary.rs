//! `moue summary`.

use moue::base::error::Error;
use moue::methods::MethodConfig;
use moue::run::config::{RunConfig, preset};
use moue::run::model::method_of;
use moue::run::summary::{Layer, PlayerSummary, Summary};

use crate::args::Summary as Arguments;
use crate::terminal::print_line;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let summary = Summary::of(&method(arguments)?)?;
    if arguments.json {
        return print_line(&serde_json::to_string(&summary)?).map_err(Into::into);
    }
    print_line(&format!("{} at {} px", summary.method, summary.image_size))?;
    for player in &summary.players {
        print_line("")?;
        print_player(player)?;
    }
    Ok(())
}

/// A preset's method with the settings laid over it, or that of a run, a checkpoint or a file.
fn method(arguments: &Arguments) -> anyhow::Result<MethodConfig> {
    let what = &arguments.what;
    // What is a single word and no file is a preset with a typing error.
    let is_word = what.components().count() == 1 && !what.exists();
    if let Some(name) = what.to_str().filter(|name| is_word || preset(name).is_ok()) {
        return Ok(RunConfig::layered(Some(name), None, &arguments.settings)?.method);
    }
    let method = method_of(what)?;
    if arguments.settings.is_empty() {
        return Ok(method);
    }
    let problem = format!("{} has its own settings", what.display());
    Err(Error::config(problem, format!("leave --set out, or lay it over a preset: {}", method.name())).into())
}

/// A table with a row a layer, its columns as wide as their widest cell, and the sums below.
fn print_player(player: &PlayerSummary) -> std::io::Result<()> {
    let titles = [&player.name, "layer", "output", "parameters", "multiply-adds"].map(str::to_string);
    let rows: Vec<_> = std::iter::once(titles).chain(player.layers.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, kind, output, parameters, products] = [0, 1, 2, 3, 4].map(width);
    for [a, b, c, d, e] in &rows {
        print_line(&format!("{a:name$}  {b:kind$}  {c:output$}  {d:>parameters$}  {e:>products$}"))?;
    }
    let PlayerSummary { parameters, buffers, multiply_adds, .. } = player;
    print_line(&format!(
        "{} parameters, {} values in buffers, {} multiply-adds for a face",
        grouped(*parameters as u64),
        grouped(*buffers as u64),
        grouped(*multiply_adds)
    ))
}

fn row(layer: &Layer) -> [String; 5] {
    let output: Vec<_> = layer.output.iter().map(usize::to_string).collect();
    let [parameters, products] = [layer.parameters as u64, layer.multiply_adds].map(grouped);
    [layer.name.clone(), layer.kind.clone(), output.join(" x "), parameters, products]
}

/// 8542818 as 8,542,818.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
