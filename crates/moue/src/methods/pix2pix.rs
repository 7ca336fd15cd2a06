//! `pix2pix`: Isola et al. 2017, *Image-to-Image Translation with Conditional Adversarial Networks*; networks, losses
//! and state-dict names of junyanz/pytorch-CycleGAN-and-pix2pix. Equation numbers are that paper's.
//!
//! One network knows one way, from neutral faces to its target, learned from pairs of one person's faces that look the
//! same way. A set of networks, one a target, shows all expressions.
//!
//! Deviations from the reference, none of them in networks and losses:
//! - faces are not enlarged and cut out at random: they lie aligned, and are mirrored alone;
//! - synthesis has dropout off and normalises by the running statistics, so that a face gets one result, whatever else is
//!   in its batch. `synthesis = "as_trained"` is the paper's own: dropout, and each image's own statistics;
//! - asked for a neutral face, a network gives its source back: that is where it starts from;
//! - `conditional = true` is no part of the paper: one network for all targets, with planes of the label joined to the
//!   source before the generator and before the discriminator.

use std::collections::BTreeMap;

use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Game, Rates, Translator};
use crate::base::expression::Expression;
use crate::base::faces::Batch;
use crate::base::rng::Rng;
use crate::nn::adam::AdamConfig;
use crate::nn::batch_norm::{BatchNorm, Moments, Statistics};
use crate::nn::dropout;
use crate::nn::edit::Edit;
use crate::nn::initial::Initial;
use crate::nn::label_planes::with_label_planes;
use crate::nn::layers::{Convolution, Geometry, TransposedConvolution};
use crate::nn::losses::{AdversarialLoss, mean_absolute_difference};
use crate::nn::module::{Module, Visitor, tracked};
use crate::nn::passes::{Losses, named};
use crate::nn::patch_gan::{PatchGan, PatchNorm};
use crate::nn::player::{Player, Saved};

/// Slope of the generator's leaky ReLU below zero.
const NEGATIVE_SLOPE: f64 = 0.2;

/// What the sources show.
const SOURCE: Expression = Expression::Neutral;

/// Eq. 1, of which the generator minimises -log D(x, G(x)) instead of log(1 - D(x, G(x))), as the paper trains.
const LOSS: AdversarialLoss = AdversarialLoss::NonSaturating;

/// From this block on, counted from outside, the generator's inner blocks have dropout: all of eight times the first
/// one's channels.
const FIRST_WITH_DROPOUT: usize = 4;

/// How a trained generator is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synthesis {
    /// Dropout off, running statistics.
    RunningStatistics,
    /// Dropout on, the same in each image, and each image's own statistics.
    AsTrained,
}

/// Settings of the method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the images in pixels.
    pub image_size: usize,
    /// The expression that neutral faces are given. A conditional network does not read it.
    pub target: Expression,
    /// Whether one network is told the target and knows all of them; no part of the paper.
    #[serde(default)]
    pub conditional: bool,
    /// Channels after the generator's first layer; further layers have twice, four and eight times as many.
    pub channels: usize,
    /// Layers of the generator that halve the image, five at least.
    pub layers: usize,
    /// How much dropout drops, below 1.
    pub dropout: f32,
    /// Channels after the discriminator's first layer; further layers have twice, four and eight times as many.
    pub discriminator_channels: usize,
    /// Layers of the discriminator that halve the image.
    pub discriminator_layers: usize,
    /// Weight of the comparison with the true image.
    pub lambda_l1: f32,
    /// How a trained generator is used.
    pub synthesis: Synthesis,
    /// Learning rates before decay.
    pub learning_rates: Rates,
    /// Adam's settings, for both players.
    pub adam: AdamConfig,
}

impl Config {
    /// As published, at 128 px.
    pub fn paper() -> Self {
        Self {
            image_size: 128,
            target: Expression::Happy,
            conditional: false,
            channels: 64,
            layers: 7,
            dropout: 0.5,
            discriminator_channels: 64,
            discriminator_layers: 3,
            lambda_l1: 100.0,
            synthesis: Synthesis::RunningStatistics,
            learning_rates: Rates { generator: 2e-4, discriminator: 2e-4 },
            adam: AdamConfig::default(),
        }
    }

    /// For two CPU cores. Deviates from the paper: 64 px, and so a layer less, half the channels.
    pub fn small() -> Self {
        Self { image_size: 64, layers: 6, channels: 32, discriminator_channels: 32, ..Self::paper() }
    }

    /// As small as the architecture goes: 32 px, five layers, none of which has dropout.
    pub fn smoke() -> Self {
        Self { image_size: 32, layers: 5, channels: 8, discriminator_channels: 8, ..Self::paper() }
    }

    /// The settings of a U-Net of the reference implementation, from its state dict's names and shapes.
    ///
    /// # Errors
    /// What keeps it from being one that works here, in words.
    pub fn of_state_dict(
        shapes: &BTreeMap<&str, &[usize]>,
        image_size: usize,
        target: Expression,
    ) -> Result<Self, String> {
        let Some(&&[channels, inputs, 4, 4]) = shapes.get("model.model.0.weight") else {
            return Err("no generator of pix2pix: it has no model.model.0.weight of 4 by 4".to_string());
        };
        if inputs != 3 {
            return Err(format!("the generator takes images of {inputs} channels, not of 3"));
        }
        // One halving layer outside, one inside each further block.
        let inside = shapes.keys().filter(|name| name.ends_with(".model.1.weight")).count();
        Ok(Self { image_size, target, channels, layers: 1 + inside, ..Self::paper() })
    }

    fn labels(&self) -> usize {
        if self.conditional { Expression::COUNT } else { 0 }
    }

    /// What both players see of a face that is to become its target: the face, and in a conditional network the label.
    fn condition(&self, faces: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
        if self.conditional { with_label_planes(faces, targets) } else { faces }
    }
}

/// A layer that halves or doubles, and the norm after it; the outermost layers and the innermost halving one have none.
#[derive(Debug, Clone)]
struct Layer<C> {
    convolution: C,
    norm: Option<BatchNorm>,
}

/// How the generator is run.
pub enum Mode<'a> {
    /// In training: what the norms see is handed out, and dropout drawn.
    Training(&'a mut Vec<Moments>, &'a mut Rng),
    /// On the way to results.
    Synthesis,
}

/// G(x): a U-Net, whose layers of one size are joined.
#[derive(Debug, Clone)]
pub struct Generator {
    config: Config,
    /// From outside to inside.
    downs: Vec<Layer<Convolution>>,
    /// From outside to inside.
    ups: Vec<Layer<TransposedConvolution>>,
}

impl Generator {
    /// N(0, 0.02) for convolutions, N(1, 0.02) for norms.
    pub fn new(config: &Config, device: &Device, initial: &mut Initial<'_>) -> Self {
        let halving = Geometry::new(4, 2, 1);
        let innermost = config.layers - 1;
        let width = |layer: usize| config.channels * (1 << layer.min(3));
        let mut down = |layer: usize| {
            let inputs = if layer == 0 { 3 + config.labels() } else { width(layer - 1) };
            let convolution = Convolution::normal([inputs, width(layer)], halving, false, device, initial);
            let normalised = layer > 0 && layer < innermost;
            Layer { convolution, norm: normalised.then(|| BatchNorm::new(width(layer), device, initial)) }
        };
        let downs = (0..=innermost).map(&mut down).collect();
        let mut up = |layer: usize| {
            // All but the innermost see their own halving layer's output beside what comes from inside.
            let inputs = if layer == innermost { width(layer) } else { 2 * width(layer) };
            let outputs = if layer == 0 { 3 } else { width(layer - 1) };
            let bias = layer == 0;
            let convolution =
                TransposedConvolution::normal([inputs, outputs], halving, bias, device, initial);
            Layer { convolution, norm: (layer > 0).then(|| BatchNorm::new(outputs, device, initial)) }
        };
        let ups = (0..=innermost).map(&mut up).collect();
        Self { config: config.clone(), downs, ups }
    }

    /// `[b, 3, s, s]` in -1..1, with label planes for a conditional one -> `[b, 3, s, s]` in -1..1. Shapes are for
    /// C = 64, s = 128.
    pub fn forward(&self, x: Tensor<4>, mode: Mode<'_>) -> Tensor<4> {
        let mut own = Rng::stream(0, "dropout", 0);
        // Training draws for each image of the batch, synthesis the same for all.
        let (mut statistics, mut dropout, each) = match mode {
            Mode::Training(seen, rng) => (Statistics::Batch(seen), Some(rng), true),
            Mode::Synthesis => match self.config.synthesis {
                Synthesis::AsTrained => (Statistics::Image, Some(&mut own), false),
                Synthesis::RunningStatistics => (Statistics::Running, None, false),
            },
        };
        let mut x = x; // 3 @ 128
        let mut skipped = Vec::new();
        for (layer, Layer { convolution, norm }) in self.downs.iter().enumerate() {
            let active = if layer == 0 { x } else { leaky_relu(x, NEGATIVE_SLOPE) };
            x = normalise(norm, convolution.forward(active), &mut statistics);
            skipped.push(x.clone()); // 64 @ 64, 128 @ 32, 256 @ 16, 512 @ 8, 4, 2, 1
        }
        let innermost = self.ups.len() - 1;
        for (layer, Layer { convolution, norm }) in self.ups.iter().enumerate().rev() {
            if layer < innermost {
                x = Tensor::cat(vec![skipped[layer].clone(), x], 1); // 1024 @ 2, 4, 8, 512 @ 16, 256 @ 32, 128 @ 64
            }
            x = normalise(norm, convolution.forward(relu(x)), &mut statistics);
            let drops = (FIRST_WITH_DROPOUT..innermost).contains(&layer) && self.config.dropout > 0.0;
            if let (true, Some(rng)) = (drops, &mut dropout) {
                let [batch, channels, height, width] = x.dims();
                let shape = [if each { batch } else { 1 }, channels, height, width];
                let device = x.device().without_autodiff();
                x = x * dropout::mask(shape, self.config.dropout, &device, rng);
            }
        }
        x.tanh() // 3 @ 128
    }

    /// Takes over what the norms saw in a forward pass of training.
    pub fn observe(&mut self, seen: Vec<Moments>) {
        let downs = self.downs.iter_mut().filter_map(|layer| layer.norm.as_mut());
        let ups = self.ups.iter_mut().rev().filter_map(|layer| layer.norm.as_mut());
        downs.chain(ups).zip(seen).for_each(|(norm, moments)| norm.observe(moments));
    }
}

fn normalise(norm: &Option<BatchNorm>, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(x, statistics),
        None => x,
    }
}

impl Module for Generator {
    /// The reference's blocks hold each other: what is inside the outermost is its `model.1`, of others their `model.3`.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let innermost = self.downs.len() - 1;
        let mut block = "model".to_string();
        for (layer, (down, up)) in self.downs.iter_mut().zip(&mut self.ups).enumerate() {
            // Where convolutions and norms stand among the block's activations, and what is inside of it.
            let (down_at, up_at, inside) = match layer {
                0 => (0, 3, 1),
                _ if layer == innermost => (1, 3, 0),
                _ => (1, 5, 3),
            };
            visitor.module(&format!("{block}.model.{down_at}"), &mut down.convolution);
            if let Some(norm) = &mut down.norm {
                visitor.module(&format!("{block}.model.{}", down_at + 1), norm);
            }
            visitor.module(&format!("{block}.model.{up_at}"), &mut up.convolution);
            if let Some(norm) = &mut up.norm {
                visitor.module(&format!("{block}.model.{}", up_at + 1), norm);
            }
            block = format!("{block}.model.{inside}");
        }
    }
}

impl Translator for Generator {
    fn targets(&self) -> Vec<Expression> {
        let knows = |&target: &Expression| {
            self.config.conditional || target == self.config.target || target == SOURCE
        };
        Expression::ALL.into_iter().filter(knows).collect()
    }

    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        Edit::by_target(&faces, targets, |target, faces| {
            let own = self.config.conditional && target != SOURCE || target == self.config.target;
            match own {
                true => {
                    let targets = vec![target; faces.dims()[0]];
                    self.forward(self.config.condition(faces, &targets), Mode::Synthesis)
                }
                false => faces,
            }
        })
    }
}

/// What a discriminator update computes.
pub struct DiscriminatorPass {
    /// D(x, G(x)), logits by patch.
    pub on_fake: Tensor<4>,
    /// D(x, y).
    pub on_real: Tensor<4>,
    /// What the norms saw, of the fakes and of the true images.
    pub seen: [Vec<Moments>; 2],
    /// Half of eq. 1: the mean of both terms slows D down.
    pub total: Tensor<1>,
}

/// What a generator update computes.
pub struct GeneratorPass {
    /// The generator's part of eq. 1.
    pub adversarial: Tensor<1>,
    /// Eq. 3, unweighted: mean |y - G(x)|.
    pub l1: Tensor<1>,
    /// What the discriminator's norms saw.
    pub seen: Vec<Moments>,
    /// Eq. 4: the weighted sum.
    pub total: Tensor<1>,
}

/// The game of eq. 4.
pub struct Pix2pix {
    config: Config,
    /// The generator.
    pub generator: Player<Generator>,
    /// The discriminator.
    pub discriminator: Player<PatchGan>,
}

impl Pix2pix {
    /// Two players that have not learned anything.
    pub fn new(config: Config, seed: u64, device: &Device) -> Self {
        let mut rng = Rng::stream(seed, "generator", 0);
        let generator = Generator::new(&config, device, &mut Initial::Drawn(&mut rng));
        let mut rng = Rng::stream(seed, "discriminator", 0);
        let sizes = [6 + config.labels(), config.discriminator_channels, config.discriminator_layers];
        let discriminator = PatchGan::new(sizes, PatchNorm::Batch, device, &mut Initial::Drawn(&mut rng));
        Self {
            generator: Player::new(generator, config.adam, None),
            discriminator: Player::new(discriminator, config.adam, None),
            config,
        }
    }

    /// G(x) of a batch, as in training; what the norms see goes to `seen`.
    pub fn synthesise(
        &self,
        generator: &Generator,
        batch: &Batch,
        seen: &mut Vec<Moments>,
        rng: &mut Rng,
    ) -> Tensor<4> {
        let condition = self.config.condition(batch.source.images.clone(), &batch.targets);
        generator.forward(condition, Mode::Training(seen, rng))
    }

    /// D's loss and its parts for a discriminator, of the constant `fake` that the generator made of the batch.
    pub fn discriminator_pass(
        &self,
        discriminator: &PatchGan,
        batch: &Batch,
        fake: Tensor<4>,
    ) -> DiscriminatorPass {
        let mut seen = [Vec::new(), Vec::new()];
        let [of_fake, of_real] = &mut seen;
        let on_fake = self.judge(discriminator, batch, fake, of_fake);
        let on_real = self.judge(discriminator, batch, truth(batch), of_real);
        let total = (LOSS.on_fake(on_fake.clone()) + LOSS.on_real(on_real.clone())) * 0.5;
        DiscriminatorPass { on_fake, on_real, seen, total }
    }

    /// G's loss and its parts of what it made of the batch, against the discriminator as it is.
    pub fn generator_pass(&self, batch: &Batch, fake: Tensor<4>) -> GeneratorPass {
        let mut seen = Vec::new();
        let judged = self.judge(&self.discriminator.network, batch, fake.clone(), &mut seen);
        let adversarial = LOSS.of_generator(judged);
        let l1 = mean_absolute_difference(truth(batch), fake);
        let total = adversarial.clone() + l1.clone() * self.config.lambda_l1;
        GeneratorPass { adversarial, l1, seen, total }
    }

    /// D(x, image).
    fn judge(
        &self,
        discriminator: &PatchGan,
        batch: &Batch,
        image: Tensor<4>,
        seen: &mut Vec<Moments>,
    ) -> Tensor<4> {
        let condition = self.config.condition(batch.source.images.clone(), &batch.targets);
        discriminator.forward(Tensor::cat(vec![condition, image], 1), &mut Statistics::Batch(seen))
    }

    /// One step of the discriminator.
    pub fn update_discriminator(&mut self, batch: &Batch, fake: Tensor<4>, learning_rate: f64) -> Losses {
        let network = tracked(&self.discriminator.network);
        let pass = self.discriminator_pass(&network, batch, fake);
        let losses = named([("discriminator.adversarial", pass.total.clone())]);
        pass.seen.into_iter().for_each(|seen| self.discriminator.network.observe(seen));
        self.discriminator.update(network, pass.total, learning_rate);
        losses
    }

    /// One step of the generator: `network` is its tracked copy that made `fake`.
    pub fn update_generator(
        &mut self,
        network: Generator,
        batch: &Batch,
        fake: Tensor<4>,
        learning_rate: f64,
    ) -> Losses {
        let pass = self.generator_pass(batch, fake);
        let losses =
            named([("generator.adversarial", pass.adversarial.clone()), ("generator.l1", pass.l1.clone())]);
        self.discriminator.network.observe(pass.seen);
        self.generator.update(network, pass.total, learning_rate);
        losses
    }
}

/// y: the true images.
fn truth(batch: &Batch) -> Tensor<4> {
    batch
        .target_images
        .clone()
        .expect("the loader gives this method pairs, or an error that says what they need")
}

impl Game for Pix2pix {
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses {
        let network = tracked(&self.generator.network);
        let mut seen = Vec::new();
        let fake = self.synthesise(&network, batch, &mut seen, rng);
        self.generator.network.observe(seen);
        // Both players judge one and the same fake; the generator's update is after the discriminator's.
        let mut losses =
            self.update_discriminator(batch, fake.clone().without_autodiff(), rates.discriminator);
        losses.extend(self.update_generator(network, batch, fake, rates.generator));
        losses
    }

    fn players(&mut self) -> Vec<(&'static str, &mut dyn Saved)> {
        vec![("generator", &mut self.generator), ("discriminator", &mut self.discriminator)]
    }

    fn translator(&self, averaged: bool) -> Box<dyn Translator> {
        Box::new(self.generator.weights(averaged).clone())
    }

    fn show(&self, face: Tensor<4>) {
        let target = [self.config.target];
        let condition = || self.config.condition(face.clone(), &target);
        let fake = self.generator.network.forward(condition(), Mode::Synthesis);
        let seen = Tensor::cat(vec![condition(), fake], 1);
        self.discriminator.network.forward(seen, &mut Statistics::Running);
    }
}
