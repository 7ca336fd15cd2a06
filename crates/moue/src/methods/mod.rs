//! The methods, one file each, and what they have in common.
//!
//! [`MethodConfig`] is the one place that knows them all: a new method adds its module, a variant, and the arms that
//! the compiler then demands.

pub mod attgan;
pub mod cyclegan;
pub mod moue;
pub mod pix2pix;
mod presets;
pub mod sasn;
pub mod stargan;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::expression::Expression;
use crate::base::faces::{Batch, Direction};
use crate::base::rng::Rng;
use crate::nn::edit::Edit;
use crate::nn::initial::Initial;
use crate::nn::module::Module;
use crate::nn::passes::Losses;
use crate::nn::patch_gan::PatchGan;
use crate::nn::player::Saved;

pub use presets::{PRESETS, Preset};

/// Anything that shows a face with another expression.
pub trait Translator: Module + Send {
    /// The expressions that it can give, in their order.
    fn targets(&self) -> Vec<Expression> {
        Expression::ALL.to_vec()
    }

    /// The edit that gives each face `[batch, 3, size, size]` (RGB in -1..1) its target expression. The targets are
    /// some of [`Self::targets`]: whoever calls it has seen to that. Faces with others stay as they are.
    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit;
}

/// Players that learn a translator, step by step.
pub trait Game: Send {
    /// Plays one batch.
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses;
    /// The players by name, for checkpoints.
    fn players(&mut self) -> Vec<(&'static str, &mut dyn Saved)>;
    /// What the players have learned so far: the moving average where it is kept and wanted, else the raw weights.
    fn translator(&self, averaged: bool) -> Box<dyn Translator>;
    /// Sends a face `[1, 3, size, size]` once through every player, for what its layers report ([`crate::nn::tape`]).
    fn show(&self, face: Tensor<4>);
    /// Numbers that say how training goes, beside the losses: gammas of attention, the largest sigma. Most have none.
    fn diagnostics(&self) -> Losses {
        Losses::new()
    }
}

/// Learning rates of one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Of the generator.
    pub generator: f64,
    /// Of the discriminator.
    pub discriminator: f64,
}

impl Rates {
    /// Both times `factor`.
    pub fn scaled(self, factor: f64) -> Self {
        Self { generator: self.generator * factor, discriminator: self.discriminator * factor }
    }
}

/// How often each player is updated. One of the two is 1; the other player is updated on every batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateRatio {
    /// Generator updates for each update of the discriminator, or 1.
    pub generator: u64,
    /// Discriminator updates for each update of the generator, or 1.
    pub discriminator: u64,
}

/// A method with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum MethodConfig {
    /// CycleGAN, one way and back.
    Cyclegan(cyclegan::Config),
    /// The recommended one: an edit of the face.
    Moue(moue::Config),
    /// pix2pix, one way.
    Pix2pix(pix2pix::Config),
    /// StarGAN with self-attention and spectral norm.
    Sasn(sasn::Config),
    /// StarGAN.
    Stargan(stargan::Config),
    /// AttGAN.
    Attgan(attgan::Config),
}

impl MethodConfig {
    /// The method's name: `moue`, `sasn`, `stargan` …
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cyclegan(_) => "cyclegan",
            Self::Moue(_) => "moue",
            Self::Pix2pix(_) => "pix2pix",
            Self::Sasn(_) => "sasn",
            Self::Stargan(_) => "stargan",
            Self::Attgan(_) => "attgan",
        }
    }

    /// Side of the images it learns from and makes, in pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Cyclegan(config) => config.image_size,
            Self::Moue(config) => config.image_size,
            Self::Pix2pix(config) => config.image_size,
            Self::Sasn(config) => config.image_size,
            Self::Stargan(config) => config.image_size,
            Self::Attgan(config) => config.image_size,
        }
    }

    /// Learning rates before any decay.
    pub fn learning_rates(&self) -> Rates {
        match self {
            Self::Cyclegan(config) => config.learning_rates,
            Self::Moue(config) => config.learning_rates,
            Self::Pix2pix(config) => config.learning_rates,
            Self::Sasn(config) => config.learning_rates,
            Self::Stargan(config) => config.learning_rates,
            Self::Attgan(config) => config.learning_rates,
        }
    }

    /// How often each player is updated.
    pub fn updates(&self) -> UpdateRatio {
        match self {
            Self::Cyclegan(_) | Self::Pix2pix(_) => UpdateRatio { generator: 1, discriminator: 1 },
            Self::Moue(config) => config.updates(),
            Self::Sasn(config) => config.updates,
            Self::Stargan(config) => {
                UpdateRatio { generator: 1, discriminator: config.discriminator_updates }
            }
            Self::Attgan(config) => UpdateRatio { generator: 1, discriminator: config.discriminator_updates },
        }
    }

    /// Whether the moving average of the generator is what the method shows, or the weights as they are.
    pub fn shows_average(&self) -> bool {
        match self {
            Self::Moue(_) => true,
            Self::Attgan(_) | Self::Cyclegan(_) | Self::Pix2pix(_) | Self::Sasn(_) | Self::Stargan(_) => {
                false
            }
        }
    }

    /// What its network translates, for a method whose network knows one way.
    pub fn direction(&self) -> Option<Direction> {
        let from = Expression::Neutral;
        match self {
            Self::Cyclegan(config) => Some(Direction { from, to: Some(config.target), paired: false }),
            Self::Pix2pix(config) => {
                let to = (!config.conditional).then_some(config.target);
                Some(Direction { from, to, paired: true })
            }
            Self::Attgan(_) | Self::Moue(_) | Self::Sasn(_) | Self::Stargan(_) => None,
        }
    }

    /// The same method with a network for another target.
    ///
    /// # Errors
    /// [`Error::Config`] for a method whose network gives every expression.
    pub fn with_target(&self, target: Expression) -> Result<Self> {
        match self {
            Self::Cyclegan(config) => Ok(Self::Cyclegan(cyclegan::Config { target, ..config.clone() })),
            Self::Pix2pix(config) if !config.conditional => {
                Ok(Self::Pix2pix(pix2pix::Config { target, ..config.clone() }))
            }
            _ => Err(Error::config(
                format!("one network of {} gives every expression", self.name()),
                "leave the target out: targets are for methods with a network for each, pix2pix and cyclegan",
            )),
        }
    }

    /// Players that have not learned anything yet; `seed` decides their initial weights.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot be.
    pub fn game(&self, seed: u64, device: &Device) -> Result<Box<dyn Game>> {
        self.check()?;
        Ok(match self {
            Self::Cyclegan(config) => Box::new(cyclegan::Cyclegan::new(config.clone(), seed, device)),
            Self::Pix2pix(config) => Box::new(pix2pix::Pix2pix::new(config.clone(), seed, device)),
            Self::Moue(config) => Box::new(moue::Moue::new(config.clone(), seed, device)),
            Self::Sasn(config) => Box::new(sasn::Sasn::new(config.clone(), seed, device)),
            Self::Stargan(config) => Box::new(stargan::Stargan::new(config.clone(), seed, device)),
            Self::Attgan(config) => Box::new(attgan::Attgan::new(config.clone(), seed, device)),
        })
    }

    /// A translator whose weights are still to be loaded.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot be.
    pub fn translator(&self, device: &Device) -> Result<Box<dyn Translator>> {
        self.check_generator()?;
        let mut rng = Rng::stream(0, "generator", 0);
        Ok(match self {
            Self::Cyclegan(config) => {
                Box::new(cyclegan::Generators::new(config, device, &mut Initial::Absent))
            }
            Self::Pix2pix(config) => Box::new(pix2pix::Generator::new(config, device, &mut Initial::Absent)),
            Self::Moue(config) => Box::new(moue::Generator::new(config, device, &mut rng)),
            Self::Sasn(config) => Box::new(sasn::Generator::new(config, device, &mut rng)),
            Self::Stargan(config) => Box::new(stargan::Generator::new(config, device, &mut rng)),
            Self::Attgan(config) => Box::new(attgan::Generator::new(config, device, &mut rng)),
        })
    }

    /// The method and settings of a public PyTorch implementation's generator, from its state dict's names and shapes,
    /// and what those names begin with here. `target` is the expression that a network of one way gives.
    ///
    /// # Errors
    /// What keeps it from being one that is known, in words.
    pub fn recognise(
        shapes: &BTreeMap<&str, &[usize]>,
        image_size: usize,
        target: Option<Expression>,
    ) -> Result<(Self, &'static str), String> {
        if shapes.keys().any(|name| name.starts_with("enc_layers.")) {
            let config = attgan::Config::of_state_dict(shapes, image_size)?;
            return Ok((Self::Attgan(config), ""));
        }
        let has = |name| shapes.contains_key(name);
        let known = |method: &str| {
            let problem = format!(
                "this is a generator of {method}, which gives one expression: say which with --target"
            );
            target.ok_or(problem)
        };
        if has("model.model.0.weight") {
            let config = pix2pix::Config::of_state_dict(shapes, image_size, known("pix2pix")?)?;
            return Ok((Self::Pix2pix(config), ""));
        }
        if has("model.1.weight") {
            let config = cyclegan::Config::of_state_dict(shapes, image_size, known("CycleGAN")?)?;
            return Ok((Self::Cyclegan(config), "G_A."));
        }
        stargan::Config::of_state_dict(shapes, image_size).map(|config| (Self::Stargan(config), ""))
    }

    /// Whether there can be such players.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot be.
    pub fn check(&self) -> Result<()> {
        self.check_generator()?;
        let (size, UpdateRatio { generator, discriminator }) = (self.image_size(), self.updates());
        let (channels, layers) = match self {
            Self::Cyclegan(config) => (config.discriminator_channels, config.discriminator_layers),
            Self::Moue(config) => (config.discriminator_channels, config.discriminator_layers),
            Self::Pix2pix(config) => (config.discriminator_channels, config.discriminator_layers),
            Self::Sasn(config) => (config.discriminator_channels, config.discriminator_layers),
            Self::Stargan(config) => (config.discriminator_channels, config.discriminator_layers),
            Self::Attgan(config) => (config.discriminator_channels, config.discriminator_layers),
        };
        check_channels("method.discriminator_channels", channels)?;
        let size = match self {
            Self::Moue(moue::Config { close_channels: 1.., .. }) => size / 2,
            _ => size,
        };
        let halvings = 1usize.checked_shl(layers as u32).unwrap_or(0);
        if layers == 0 || halvings == 0 || size % halvings != 0 {
            return Err(Error::config(
                format!("method.image_size = {size} cannot be halved {layers} times by the discriminator"),
                "take a multiple of 2^discriminator_layers, such as 64 or 128, or fewer layers",
            ));
        }
        if let Self::Attgan(config) = self {
            check_channels("method.discriminator_head", config.discriminator_head)?;
            if size == halvings {
                return Err(Error::config(
                    format!(
                        "the discriminator's {layers} layers leave one pixel of {size}, of which an instance norm says nothing"
                    ),
                    "take fewer discriminator_layers, or larger images",
                ));
            }
        }
        if generator == 0 || discriminator == 0 || (generator > 1 && discriminator > 1) {
            return Err(Error::config(
                format!("method.updates = {generator} to {discriminator} cannot be played"),
                "one of the two is 1, as in {generator = 5, discriminator = 1}",
            ));
        }
        match self.direction() {
            Some(direction) => self.check_direction(direction, PatchGan::map_size(size, layers)),
            None => Ok(()),
        }
    }

    /// A network that knows one way leads somewhere, back as well where it has to, and is judged by patches.
    fn check_direction(&self, direction: Direction, map: Option<usize>) -> Result<()> {
        if direction.to == Some(direction.from) {
            return Err(Error::config(
                format!("method.target = {} is what the sources show already", direction.from),
                "take another expression, such as happy",
            ));
        }
        if let Self::Cyclegan(cyclegan::Config { way_back: false, .. }) = self {
            return Err(Error::config(
                "method.way_back = false cannot be trained: the cycle goes back",
                "set method.way_back=true; the other is for a generator that was imported alone",
            ));
        }
        if map.is_none() {
            return Err(Error::config(
                "the discriminator has no patch left to judge",
                "take fewer discriminator_layers, or larger images: four pixels for each are left at least",
            ));
        }
        Ok(())
    }

    /// A generator halves the image twice, three times before a refinement, or as often as it is told, and doubles it
    /// again; a U-Net down to one pixel.
    fn check_generator(&self) -> Result<()> {
        let (size, channels, [step, least]) = match self {
            Self::Cyclegan(config) => (config.image_size, config.channels, [4, 8]),
            Self::Moue(config) => {
                let sizes = match (config.detail_channels, config.close_channels) {
                    (0, 0) => [4, 8],
                    (_, 0) => [8, 16],
                    (0, _) => {
                        let problem =
                            "method.close_channels refines what method.detail_channels did, which are none";
                        return Err(Error::config(
                            problem,
                            "set both, such as 24 and 16, or close_channels=0",
                        ));
                    }
                    _ => [32, 32],
                };
                (config.image_size, config.channels, sizes)
            }
            Self::Attgan(config) => match config.layers {
                layers @ 2..=10 => (config.image_size, config.channels, [1 << layers, 2 << layers]),
                layers => {
                    let problem = format!("method.layers = {layers} cannot be");
                    return Err(Error::config(problem, "let it be from 2 to 10, such as 5"));
                }
            },
            Self::Pix2pix(config) => {
                let (layers, dropout) = (config.layers, config.dropout);
                if !(5..=12).contains(&layers) || !(0.0..1.0).contains(&dropout) {
                    return Err(Error::config(
                        format!("a U-Net of {layers} layers with dropout {dropout} cannot be"),
                        "let method.layers be from 5 to 12 and method.dropout from 0 to below 1",
                    ));
                }
                (config.image_size, config.channels, [1 << layers; 2])
            }
            Self::Sasn(config) => (config.image_size, config.channels, [4, 8]),
            Self::Stargan(config) => (config.image_size, config.channels, [4, 8]),
        };
        if size % step != 0 || !(least..=4096).contains(&size) {
            return Err(Error::config(
                format!("images of {size} px cannot be made"),
                format!("take a multiple of {step} from {least} to 4096, such as 64 or 128"),
            ));
        }
        if let Self::Moue(config) = self {
            let refinements = [("detail", config.detail_channels), ("close", config.close_channels)];
            for (name, channels) in refinements.into_iter().filter(|(_, channels)| *channels > 0) {
                check_channels(&format!("method.{name}_channels"), channels)?;
            }
        }
        check_channels("method.channels", channels)
    }
}

fn check_channels(name: &str, channels: usize) -> Result<()> {
    match channels {
        1..=4096 => Ok(()),
        _ => Err(Error::config(format!("{name} = {channels} cannot be"), "let it be at least 1, such as 64")),
    }
}

/// How long and on what a preset trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Faces in a batch.
    pub batch_size: usize,
    /// Batches in all.
    pub iterations: u64,
    /// What the learning rate does over the run.
    pub decay: Decay,
    /// Whether half of the faces are mirrored.
    pub flip: bool,
    /// Whether faces are turned, moved, lit and tinted a little otherwise each time.
    #[serde(default)]
    pub augment: bool,
    /// Whether each face comes with the same person's target expression, where the data has such pairs.
    #[serde(default)]
    pub pairs: bool,
}

/// What the learning rate does over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// It stays (what StarGAN's code effectively does).
    Constant,
    /// Constant for the first half, then linear to 0 (what StarGAN's paper says).
    SecondHalf,
    /// A tenth of it in the second half (AttGAN).
    TenthAtHalf,
}

impl Decay {
    /// The factor of the learning rate for batch number `iteration` (from 0) of `iterations`.
    pub fn factor(self, iteration: u64, iterations: u64) -> f64 {
        let rest = iterations.saturating_sub(iteration) as f64;
        match self {
            Self::Constant => 1.0,
            Self::SecondHalf => (rest / (iterations as f64 / 2.0)).min(1.0),
            Self::TenthAtHalf if 2 * iteration < iterations => 1.0,
            Self::TenthAtHalf => 0.1,
        }
    }
}
