//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use moue::base::expression::Expression;
use moue::run::model::Weights;

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
    /// Train a method on labelled faces, or go on with a run
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(Train),
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
Inputs are face squares: the eyes level, their line at 0.42 of the height, a quarter of the width apart.

Examples:
  moue translate face.jpg --to happy
  moue translate face.jpg --to all --grid sheet.png
  moue translate faces/ --to angry,sad --model runs/0001-sasn-small-london-64 --out results";

const TRAIN_EXAMPLES: &str = "\
A data set is a folder with manifest.csv (file, expression, and identity where known) or with one folder for each
expression: angry/ contemptuous/ disgusted/ fearful/ happy/ neutral/ sad/ surprised/.

Examples:
  moue train --preset smoke --data assets/faces      the whole way in a minute
  moue train --preset small --data faces             what two CPU cores can train in an hour
  moue train --preset paper --data faces --device cuda:0
  moue train --resume runs/0001-sasn-small-faces-64  go on where it stopped, bit for bit
  moue train --preset small --set training.batch_size=4 --dry-run";

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
    /// Face images, or folders of them
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Expressions to give, separated by commas, or all
    #[arg(long, default_value = "all", value_name = "EXPRESSION", value_parser = parse_targets)]
    pub(crate) to: Targets,
    /// A run's folder or a model file [default: the model inside this program]
    #[arg(long, value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Which weights of a run or checkpoint [default: raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Folder for the results, NAME_EXPRESSION.png [default: moue-out, unless --grid is given]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write all results as one sheet, a row for each face
    #[arg(long, value_name = "FILE")]
    pub(crate) grid: Option<PathBuf>,
    /// Inputs are face squares (so far all inputs are taken as such)
    #[arg(long)]
    pub(crate) aligned: bool,
    /// Faces that go through the network together
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch_size: u16,
    /// Print what was written as JSON, an object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Where to start: paper, small, smoke, stargan, stargan-small or stargan-smoke [default: small]
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
pub(crate) struct Export {
    /// A run's folder, a checkpoint or a model file
    #[arg(value_name = "RUN|FILE")]
    pub(crate) model: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Which weights of a run or checkpoint [default: raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Store 16-bit numbers: half the size, for translating only
    #[arg(long)]
    pub(crate) half: bool,
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
    /// Which weights of a run or checkpoint [default: raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
