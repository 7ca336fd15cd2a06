//! Of `moue translate`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use moue::base::error::Error;
use moue::base::expression::Targets;
use moue::photo::write::{PhotoFormat, PngLevel};
use moue::run::translate::FaceChoice;

use super::{Compute, WeightsChoice, parse_strength};

pub(crate) const TRANSLATE_EXAMPLES: &str = "\
Examples:
  moue translate portrait.jpg --to happy                 moue-out/portrait_happy.png
  moue translate portrait.jpg --to all --grid sheet.png  all eight side by side
  moue translate group.jpg --faces                       who is in it; then --face 2 or --face all
  moue translate portrait.jpg --to sad --strength 0.6 --format jpeg --out results
  moue translate portrait.jpg --to surprised --animate surprise.gif
  moue translate people/ --to happy,sad --out augmented  results and manifest.csv
  moue translate squares/ --aligned --model runs/0001-sasn-small-london-64";

#[derive(Debug, Args)]
pub(crate) struct Translate {
    /// Photos, or folders of them: JPEG, PNG, WebP, TIFF, BMP
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Expressions to give, separated by commas, or all that the model gives
    #[arg(long, default_value = "all", value_name = "EXPRESSION", value_parser = parse_expressions::<Targets>)]
    pub(crate) to: Targets,
    /// How strong the expression is, from 0 (none) to 1.5 [default: what suits the model]
    #[arg(long, value_name = "NUMBER", value_parser = parse_strength)]
    pub(crate) strength: Option<f32>,
    /// Which faces: largest, all, or a number, counted from 1 by size
    #[arg(long, default_value = "largest", value_name = "WHICH", value_parser = parse_face)]
    pub(crate) face: FaceChoice,
    /// Print the faces found, a JSON object a line, with places in the upright photo; change nothing
    #[arg(long)]
    pub(crate) faces: bool,
    /// Inputs are face squares: eyes level, at 0.42 of the height, a quarter of the width apart
    #[arg(long)]
    pub(crate) aligned: bool,
    /// A run's or set's folder, or a model file [default: the model inside this program]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Which weights of a run or checkpoint [default: the method's: average for moue, else raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Folder for the results, NAME_EXPRESSION.png [default: moue-out, unless another output is named]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Format of the results
    #[arg(long, value_enum, default_value_t = Format::Png)]
    pub(crate) format: Format,
    /// Quality of JPEG results
    #[arg(long, default_value_t = 95, value_name = "1..100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: u8,
    /// How hard PNG results are compressed
    #[arg(long, value_enum, default_value_t = Level::Fast)]
    pub(crate) png_level: Level,
    /// Leave out the mark (XMP) that says a model changed the photo
    #[arg(long)]
    pub(crate) no_mark: bool,
    /// Write all results as one sheet, a row for each face
    #[arg(long, value_name = "FILE")]
    pub(crate) grid: Option<PathBuf>,
    /// Write a loop from the photo to each expression and back, as GIF or WebP
    #[arg(long, value_name = "FILE")]
    pub(crate) animate: Option<PathBuf>,
    /// Write the squares of the faces chosen, 256 px
    #[arg(long, value_name = "DIR")]
    pub(crate) crop_out: Option<PathBuf>,
    /// Write what is moved and painted over, as pictures
    #[arg(long, value_name = "DIR")]
    pub(crate) show_edit: Option<PathBuf>,
    /// Faces that go through the network together
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch_size: u16,
    /// Print what was written as JSON, an object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// Formats of results.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// Lossless; 16 bits and alpha kept
    Png,
    /// Small; 8 bits, no alpha
    #[value(alias = "jpg")]
    Jpeg,
    /// Lossless; 8 bits, alpha kept
    Webp,
    /// Lossless, uncompressed; 16 bits and alpha kept
    #[value(alias = "tif")]
    Tiff,
}

impl From<Format> for PhotoFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Png => Self::Png,
            Format::Jpeg => Self::Jpeg,
            Format::Webp => Self::Webp,
            Format::Tiff => Self::Tiff,
        }
    }
}

/// How hard a PNG is compressed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// As fast as can be
    Fast,
    /// Smaller, several times slower
    Default,
    /// As small as can be
    Best,
}

impl From<Level> for PngLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Fast => Self::Fast,
            Level::Default => Self::Default,
            Level::Best => Self::Best,
        }
    }
}

fn parse_face(text: &str) -> Result<FaceChoice, String> {
    match (text, text.parse()) {
        ("largest", _) => Ok(FaceChoice::Largest),
        ("all", _) => Ok(FaceChoice::All),
        (_, Ok(number)) if number > 0 => Ok(FaceChoice::Number(number)),
        _ => Err("largest, all, or a number from 1".to_string()),
    }
}

/// An expression, or several: as the library reads them, with its hint in the same sentence.
pub(crate) fn parse_expressions<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Error| format!("{error}; {}", error.hint().unwrap_or("")))
}
