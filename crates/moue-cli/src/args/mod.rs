//! The command line.

mod measure;
mod train;
mod translate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use moue::base::device::{Device, compute_exactly, device};
use moue::base::expression::Expression;
use moue::run::model::Weights;

pub(crate) use measure::{Compare, Evaluate, Fid, Judging, TableFormat};
pub(crate) use train::{Prepare, Subset, Train};
pub(crate) use translate::Translate;

use measure::{COMPARE_EXAMPLES, EVALUATE_ABOUT, EVALUATE_EXAMPLES, FID_ABOUT, FID_EXAMPLES};
use train::{PREPARE_EXAMPLES, TRAIN_EXAMPLES};
use translate::{TRANSLATE_EXAMPLES, parse_expressions};

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
    /// Judge how good models are: distances to real images, expression, identity, with intervals
    #[command(long_about = EVALUATE_ABOUT, after_help = EVALUATE_EXAMPLES)]
    Evaluate(Evaluate),
    /// Compare models, trained already or now by a plan: tables, figures and curves as one page
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(Compare),
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
        after_help = "Examples:\n  moue import stargan_rafd/models/200000-G.ckpt --out stargan.safetensors\n  \
                      moue import output/expressions/checkpoint/weights.199.pth --out attgan.safetensors\n  \
                      moue import latest_net_G.pth --target happy --image-size 256 --out pix2pix.safetensors\n  \
                      moue import latest_net_G_A.pth --target sad --image-size 256 --out cyclegan.safetensors"
    )]
    Import(Import),
    /// Say what a model file, run or checkpoint holds
    Info(Info),
    /// List a method's layers: output shapes, parameters, multiply-adds
    #[command(after_help = SUMMARY_EXAMPLES)]
    Summary(Summary),
    /// Print shell completions
    Completions {
        /// For which shell
        shell: Shell,
    },
}

impl Command {
    /// Whether the same networks run again and again.
    pub(crate) fn computes_long(&self) -> bool {
        matches!(self, Self::Train(_) | Self::Evaluate(_) | Self::Compare(_) | Self::Fid(_))
    }

    /// Where and on how many threads networks run, if they do.
    pub(crate) fn compute(&self) -> Option<&Compute> {
        match self {
            Self::Translate(arguments) => Some(&arguments.compute),
            Self::Train(arguments) => Some(&arguments.compute),
            Self::Evaluate(arguments) => Some(&arguments.judging.compute),
            Self::Compare(arguments) => Some(&arguments.judging.compute),
            Self::Fid(arguments) => Some(&arguments.compute),
            _ => None,
        }
    }
}

/// More threads than any machine has cores: tens of thousands can stop one that has few.
pub(crate) const MOST_THREADS: i64 = 1024;

#[derive(Debug, Args)]
pub(crate) struct Compute {
    /// Where to compute: auto (a GPU if there is one; to translate, the CPU), cpu, cuda:0 or wgpu
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: String,
    /// On a GPU, networks in f32 (not TF32), the same bytes each time, with next to nothing to try out at first; the CPU
    /// always computes so
    #[arg(long)]
    pub(crate) exact: bool,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub(crate) threads: Option<u16>,
}

impl Compute {
    /// The device that was named.
    pub(crate) fn device(&self) -> moue::base::error::Result<Device> {
        compute_exactly(self.exact);
        device(&self.device)
    }
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
pub(crate) struct Export {
    /// A run's or set's folder, a checkpoint or a model file
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
    /// A PyTorch checkpoint of a generator: StarGAN's *-G.ckpt, AttGAN's weights.*.pth, pix2pix's latest_net_G.pth,
    /// CycleGAN's latest_net_G_A.pth
    #[arg(value_name = "CHECKPOINT")]
    pub(crate) checkpoint: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Side of the images that it was trained on, which its weights do not tell
    #[arg(long, default_value_t = 128, value_name = "PIXELS")]
    pub(crate) image_size: usize,
    /// The expression that it gives, for pix2pix and CycleGAN, whose weights do not tell that either
    #[arg(long, value_name = "EXPRESSION", value_parser = parse_expressions::<Expression>)]
    pub(crate) target: Option<Expression>,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A run's or set's folder, a checkpoint or a model file [default: the model inside this program]
    #[arg(value_name = "RUN|FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Which weights of a run or checkpoint [default: the method's: average for moue, else raw]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsChoice>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SUMMARY_EXAMPLES: &str = "\
Parameters are learned values; buffers are saved beside them (running statistics, the u and v of spectral norm). A
multiply-add is a product that is added up, in convolutions, linear layers and attention, for one face.

Examples:
  moue summary attgan                                    as published
  moue summary sasn --set 'method.attention=[]'          with other settings
  moue summary runs/0001-sasn-small-faces-64             of a run, a checkpoint or a model file
  moue summary stargan --json | jq '.players[].parameters'";

#[derive(Debug, Args)]
pub(crate) struct Summary {
    /// A method or preset, a run's folder, a checkpoint or a model file
    #[arg(value_name = "METHOD|PRESET|FILE")]
    pub(crate) what: PathBuf,
    /// A setting laid over the preset, such as method.image_size=64; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
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
