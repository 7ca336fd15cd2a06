//! Of `moue prepare` and `moue train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use moue::base::expression::Targets;
use moue::data::sources::Layout;

use super::translate::parse_expressions;
use super::{Compute, MOST_THREADS};

pub(crate) const PREPARE_EXAMPLES: &str = "\
SOURCE is one of
  rafd     files with the Radboud Faces Database's names, anywhere below a folder:
           Rafd090_01_Caucasian_female_angry_frontal.jpg
  folders  a folder for each expression, happy/1.jpg; where all photos lie one folder deeper,
           that folder is the person: happy/anna/1.jpg
  csv      a table with the columns file and expression, and identity and gaze where known, or
           the folder of one that is called manifest.csv; other columns are kept
The same command again does what is left, after Ctrl-C too.

Examples:
  moue prepare RaFD --out rafd                  all photos that show a face
  moue prepare RaFD --out rafd --subset paper   the 1,608 frontal ones that the paper trains on
  moue prepare photos --out faces --format folders --size 256
  moue prepare list.csv --out faces && moue train --preset small --data faces";

pub(crate) const TRAIN_EXAMPLES: &str = "\
A data set is a folder with manifest.csv (file, expression, and identity where known) or with one folder for each
expression: angry/ contemptuous/ disgusted/ fearful/ happy/ neutral/ sad/ surprised/.

Examples:
  moue train --preset smoke --data assets/faces      the whole way in a minute
  moue train --preset small --data faces             what two CPU cores can train in an hour
  moue train --preset paper --data faces --device cuda:0
  moue train --preset pix2pix-small --target all --data faces     a network for each expression
  moue train --resume runs/0001-sasn-small-faces-64  go on where it stopped, bit for bit
  moue train --preset small --set training.batch_size=4 --dry-run";

#[derive(Debug, Args)]
pub(crate) struct Prepare {
    /// A folder of photos, or a table of them
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Folder for the squares and manifest.csv: new, empty, or of an earlier prepare
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How SOURCE says what its photos show [default: as recognised]
    #[arg(long, value_enum)]
    pub(crate) format: Option<SourceFormat>,
    /// Side of the squares
    #[arg(long, default_value_t = 128, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..=4096))]
    pub(crate) size: u32,
    /// Only a part of SOURCE
    #[arg(long, value_enum)]
    pub(crate) subset: Option<Subset>,
    /// Photos worked on at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub(crate) threads: Option<u16>,
    /// Print what was prepared as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a source says what its photos show.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SourceFormat {
    /// By RaFD's file names
    Rafd,
    /// By a folder for each expression
    Folders,
    /// By a table
    Csv,
}

impl From<SourceFormat> for Layout {
    fn from(format: SourceFormat) -> Self {
        match format {
            SourceFormat::Rafd => Self::Rafd,
            SourceFormat::Folders => Self::Folders,
            SourceFormat::Csv => Self::Table,
        }
    }
}

/// Parts of a source.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Subset {
    /// RaFD's 1,608 frontal photos: 67 people, 8 expressions, 3 gazes
    Paper,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Where to start: recommended, moue-small, moue-smoke, paper, small, smoke, stargan, attgan, pix2pix or cyclegan, or
    /// these with -small or -smoke [default: small]
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// Train a set of networks, one for each of these expressions, separated by commas, or for all: pix2pix and
    /// cyclegan, whose networks know one way
    #[arg(long, value_name = "EXPRESSION", value_parser = parse_expressions::<Targets>, conflicts_with_all = ["init", "resume"])]
    pub(crate) target: Option<Targets>,
    /// A manifest's folder, or a folder of classes
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The run's folder, new or empty [default: the next runs/NNNN-…]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with this run or set
    #[arg(long, value_name = "RUN", conflicts_with_all = ["preset", "config", "settings", "seed", "init"])]
    pub(crate) resume: Option<PathBuf>,
    /// Start from the weights of this run or model file instead of from random ones: from the generator's, and a run's
    /// other players' where they have the same shapes
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) init: Option<PathBuf>,
    /// Decides every random draw
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// A TOML file laid over the preset
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A setting laid over both, such as training.batch_size=4; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Print the settings and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Threads that decode images
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) workers: u16,
    #[command(flatten)]
    pub(crate) compute: Compute,
}
