//! `cyclegan`: Zhu et al. 2017, *Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks*;
//! networks, losses and state-dict names of junyanz/pytorch-CycleGAN-and-pix2pix. Equation numbers are that paper's.
//!
//! Two networks know one way each: G_A from neutral faces (domain A) to the target (domain B), G_B back, which is what
//! neutral faces are asked of. Nobody has to be in both domains. D_A judges what G_A makes, D_B what G_B makes. A set of
//! such pairs of networks, one a target, shows all expressions.
//!
//! Deviations from the reference, none of them in networks and losses: faces are not enlarged and cut out at random:
//! they lie aligned, and are mirrored alone.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Game, Rates, Translator};
use crate::base::expression::Expression;
use crate::base::faces::Batch;
use crate::base::rng::Rng;
use crate::nn::adam::AdamConfig;
use crate::nn::batch_norm::Statistics;
use crate::nn::edit::Edit;
use crate::nn::image_pool::ImagePool;
use crate::nn::initial::Initial;
use crate::nn::layers::{Convolution, Geometry, TransposedConvolution, plain_instance_norm, reflected};
use crate::nn::losses::{AdversarialLoss, mean_absolute_difference};
use crate::nn::module::{Module, Visitor, tracked};
use crate::nn::passes::{Losses, named};
use crate::nn::patch_gan::{PatchGan, PatchNorm};
use crate::nn::player::{Player, Saved};

/// Domain A.
const SOURCE: Expression = Expression::Neutral;

/// Eq. 1 with least squares in the place of the logarithms (section 4).
const LOSS: AdversarialLoss = AdversarialLoss::LeastSquares;

/// Settings of the method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the images in pixels.
    pub image_size: usize,
    /// Domain B: the expression that neutral faces are given.
    pub target: Expression,
    /// Whether G_B, the way back to neutral, is there. It is in training; a generator that was imported comes alone.
    #[serde(default = "yes")]
    pub way_back: bool,
    /// Channels after the generators' stem.
    pub channels: usize,
    /// Residual blocks in each generator.
    pub residual_blocks: usize,
    /// Channels after the discriminators' first layer; further layers have twice, four and eight times as many.
    pub discriminator_channels: usize,
    /// Layers of the discriminators that halve the image.
    pub discriminator_layers: usize,
    /// Weight of the cycle-consistency losses.
    pub lambda_cycle: f32,
    /// Weight of the identity losses, in parts of that.
    pub lambda_identity: f32,
    /// Earlier results of each generator that its discriminator learns from; 0 for none.
    pub history: usize,
    /// Learning rates before decay.
    pub learning_rates: Rates,
    /// Adam's settings, for both players.
    pub adam: AdamConfig,
}

fn yes() -> bool {
    true
}

impl Config {
    /// As published, at 128 px.
    pub fn paper() -> Self {
        Self {
            image_size: 128,
            target: Expression::Happy,
            way_back: true,
            channels: 64,
            residual_blocks: 6,
            discriminator_channels: 64,
            discriminator_layers: 3,
            lambda_cycle: 10.0,
            lambda_identity: 0.5,
            history: 50,
            learning_rates: Rates { generator: 2e-4, discriminator: 2e-4 },
            adam: AdamConfig::default(),
        }
    }

    /// For two CPU cores. Deviates from the paper: 64 px, half the channels.
    pub fn small() -> Self {
        Self { image_size: 64, channels: 32, discriminator_channels: 32, ..Self::paper() }
    }

    /// As small as the architecture goes.
    pub fn smoke() -> Self {
        Self { image_size: 32, channels: 8, residual_blocks: 2, discriminator_channels: 8, ..Self::paper() }
    }

    /// The settings of a ResNet generator of the reference implementation, from its state dict's names and shapes.
    ///
    /// # Errors
    /// What keeps it from being one that works here, in words.
    pub fn of_state_dict(
        shapes: &BTreeMap<&str, &[usize]>,
        image_size: usize,
        target: Expression,
    ) -> Result<Self, String> {
        let Some(&&[channels, 3, 7, 7]) = shapes.get("model.1.weight") else {
            return Err(
                "no generator of CycleGAN: it has no model.1.weight of 7 by 7 for 3 channels".to_string()
            );
        };
        let residual_blocks = shapes.keys().filter(|name| name.ends_with(".conv_block.1.weight")).count();
        Ok(Self { image_size, target, way_back: false, channels, residual_blocks, ..Self::paper() })
    }
}

/// One way: stem, two halving layers, residual blocks, two doubling layers, head.
#[derive(Debug, Clone)]
pub struct Generator {
    stem: Convolution,
    downs: [Convolution; 2],
    residual: Vec<[Convolution; 2]>,
    ups: [TransposedConvolution; 2],
    head: Convolution,
}

impl Generator {
    /// N(0, 0.02); every convolution has a bias, which starts at 0.
    pub fn new(config: &Config, device: &Device, initial: &mut Initial<'_>) -> Self {
        let c = config.channels;
        // Where an image goes on as its mirror image, the convolution itself adds nothing.
        let (wide, halving, inner) = (Geometry::new(7, 1, 0), Geometry::new(3, 2, 1), Geometry::new(3, 1, 0));
        let mut convolution = |shape, geometry| Convolution::normal(shape, geometry, true, device, initial);
        let stem = convolution([3, c], wide);
        let downs = [convolution([c, 2 * c], halving), convolution([2 * c, 4 * c], halving)];
        let residual = (0..config.residual_blocks)
            .map(|_| [(); 2].map(|()| convolution([4 * c, 4 * c], inner)))
            .collect();
        let head = convolution([c, 3], wide);
        let mut up = |shape| {
            TransposedConvolution::normal(shape, halving, true, device, initial).with_output_padding(1)
        };
        let ups = [up([4 * c, 2 * c]), up([2 * c, c])];
        Self { stem, downs, residual, ups, head }
    }

    /// `[b, 3, s, s]` in -1..1, shape kept. Shapes are for C = 64, s = 128.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = plain_instance_norm(self.stem.forward(reflected(x, 3)), true); // 64 @ 128
        let down = |x, down: &Convolution| plain_instance_norm(down.forward(x), true);
        let x = self.downs.iter().fold(x, down); // 128 @ 64, 256 @ 32
        let x = self.residual.iter().fold(x, |x, [first, second]| {
            let inner = plain_instance_norm(first.forward(reflected(x.clone(), 1)), true);
            x + plain_instance_norm(second.forward(reflected(inner, 1)), false)
        });
        let up = |x, up: &TransposedConvolution| plain_instance_norm(up.forward(x), true);
        let x = self.ups.iter().fold(x, up); // 128 @ 64, 64 @ 128
        self.head.forward(reflected(x, 3)).tanh() // 3 @ 128
    }
}

impl Module for Generator {
    /// The reference's `nn.Sequential` counts paddings, norms and activations too.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("model.1", &mut self.stem);
        for (n, down) in self.downs.iter_mut().enumerate() {
            visitor.module(&format!("model.{}", 4 + 3 * n), down);
        }
        for (n, [first, second]) in self.residual.iter_mut().enumerate() {
            visitor.module(&format!("model.{}.conv_block.1", 10 + n), first);
            visitor.module(&format!("model.{}.conv_block.5", 10 + n), second);
        }
        let after = 10 + self.residual.len();
        for (n, up) in self.ups.iter_mut().enumerate() {
            visitor.module(&format!("model.{}", after + 3 * n), up);
        }
        visitor.module(&format!("model.{}", after + 7), &mut self.head);
    }
}

/// G_A and G_B.
#[derive(Debug, Clone)]
pub struct Generators {
    target: Expression,
    /// G_A: from neutral to the target.
    pub there: Generator,
    /// G_B: from the target to neutral.
    pub back: Option<Generator>,
}

impl Generators {
    /// Both ways, or where the settings say so one.
    pub fn new(config: &Config, device: &Device, initial: &mut Initial<'_>) -> Self {
        let there = Generator::new(config, device, initial);
        let back = config.way_back.then(|| Generator::new(config, device, initial));
        Self { target: config.target, there, back }
    }

    /// G_B of a game, which always has it.
    fn back(&self) -> &Generator {
        self.back.as_ref().expect("a game is played both ways: its settings were checked")
    }
}

impl Module for Generators {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("G_A", &mut self.there);
        if let Some(back) = &mut self.back {
            visitor.module("G_B", back);
        }
    }
}

impl Translator for Generators {
    fn targets(&self) -> Vec<Expression> {
        let knows = |&target: &Expression| target == self.target || self.back.is_some() && target == SOURCE;
        Expression::ALL.into_iter().filter(knows).collect()
    }

    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        Edit::by_target(&faces, targets, |target, faces| match &self.back {
            _ if target == self.target => self.there.forward(faces),
            Some(back) if target == SOURCE => back.forward(faces),
            _ => faces,
        })
    }
}

/// D_A and D_B.
#[derive(Debug, Clone)]
pub struct Discriminators {
    /// D_A: is it a face with the target expression?
    pub of_target: PatchGan,
    /// D_B: is it a neutral face?
    pub of_source: PatchGan,
}

impl Discriminators {
    /// N(0, 0.02).
    pub fn new(config: &Config, device: &Device, initial: &mut Initial<'_>) -> Self {
        let sizes = [3, config.discriminator_channels, config.discriminator_layers];
        let mut discriminator = || PatchGan::new(sizes, PatchNorm::Instance, device, initial);
        Self { of_target: discriminator(), of_source: discriminator() }
    }
}

impl Module for Discriminators {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("D_A", &mut self.of_target);
        visitor.module("D_B", &mut self.of_source);
    }
}

/// Logits by patch; instance norm has no statistics of training.
fn judge(discriminator: &PatchGan, images: Tensor<4>) -> Tensor<4> {
    discriminator.forward(images, &mut Statistics::Running)
}

/// What an update of the generators computes. The losses by name are weighted.
pub struct GeneratorPass {
    /// G_A(a) and G_B(b).
    pub fakes: [Tensor<4>; 2],
    /// G_B(G_A(a)) and G_A(G_B(b)).
    pub reconstructed: [Tensor<4>; 2],
    /// The adversarial losses of G_A and G_B, eq. 1.
    pub adversarial: [Tensor<1>; 2],
    /// The cycle-consistency losses of a and of b, eq. 2.
    pub cycle: [Tensor<1>; 2],
    /// The identity losses of G_A and G_B (section 5.2): a face that has its expression already stays.
    pub identity: [Tensor<1>; 2],
    /// Eq. 3 and the identity losses: the sum.
    pub total: Tensor<1>,
}

/// The game of eq. 4.
pub struct Cyclegan {
    config: Config,
    /// G_A and G_B, whose optimiser is one.
    pub generator: Player<Generators>,
    /// D_A and D_B, and what they saw.
    pub discriminator: Judges,
}

/// The discriminators with their histories.
pub struct Judges {
    /// D_A and D_B, whose optimiser is one.
    pub player: Player<Discriminators>,
    /// What G_A and G_B made earlier.
    history: History,
}

struct History([ImagePool; 2]);

impl Module for History {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let [of_target, of_source] = &mut self.0;
        visitor.module("D_A", of_target);
        visitor.module("D_B", of_source);
    }
}

impl Saved for Judges {
    fn parts(&mut self) -> Vec<(&'static str, &mut dyn Module)> {
        let mut parts = self.player.parts();
        parts.push(("history", &mut self.history));
        parts
    }

    fn updates(&mut self) -> &mut u64 {
        Saved::updates(&mut self.player)
    }
}

impl Cyclegan {
    /// Players that have not learned anything.
    pub fn new(config: Config, seed: u64, device: &Device) -> Self {
        let mut rng = Rng::stream(seed, "generator", 0);
        let generators = Generators::new(&config, device, &mut Initial::Drawn(&mut rng));
        let mut rng = Rng::stream(seed, "discriminator", 0);
        let discriminators = Discriminators::new(&config, device, &mut Initial::Drawn(&mut rng));
        let history = [(); 2].map(|()| ImagePool::new(config.history, config.image_size, device));
        Self {
            generator: Player::new(generators, config.adam, None),
            discriminator: Judges {
                player: Player::new(discriminators, config.adam, None),
                history: History(history),
            },
            config,
        }
    }

    /// The generators' losses for generators, against the discriminators as they are.
    pub fn generator_pass(&self, generators: &Generators, batch: &Batch) -> GeneratorPass {
        let Config { lambda_cycle, lambda_identity, .. } = self.config;
        let discriminators = &self.discriminator.player.network;
        let [a, b] = domains(batch);
        let (there, back) = (&generators.there, generators.back());
        let fakes = [there.forward(a.clone()), back.forward(b.clone())];
        let [fake_b, fake_a] = fakes.clone();
        let reconstructed = [back.forward(fake_b.clone()), there.forward(fake_a.clone())];
        let adversarial = [
            LOSS.of_generator(judge(&discriminators.of_target, fake_b)),
            LOSS.of_generator(judge(&discriminators.of_source, fake_a)),
        ];
        let [again_a, again_b] = reconstructed.clone();
        let cycle = [(a.clone(), again_a), (b.clone(), again_b)]
            .map(|(face, again)| mean_absolute_difference(face, again) * lambda_cycle);
        let identity = [(there.forward(b.clone()), b), (back.forward(a.clone()), a)]
            .map(|(same, face)| mean_absolute_difference(same, face) * (lambda_cycle * lambda_identity));
        let parts = adversarial.iter().chain(&cycle).chain(&identity).cloned();
        let total = parts.reduce(|sum, part| sum + part).expect("there are six");
        GeneratorPass { fakes, reconstructed, adversarial, cycle, identity, total }
    }

    /// The losses of D_A and D_B for discriminators, each half of both terms, of the constant `fakes`, G_A's and G_B's.
    pub fn discriminator_pass(
        &self,
        discriminators: &Discriminators,
        batch: &Batch,
        fakes: [Tensor<4>; 2],
    ) -> [Tensor<1>; 2] {
        let [a, b] = domains(batch);
        let [fake_b, fake_a] = fakes;
        let Discriminators { of_target, of_source } = discriminators;
        [(of_target, b, fake_b), (of_source, a, fake_a)].map(|(discriminator, real, fake)| {
            (LOSS.on_real(judge(discriminator, real)) + LOSS.on_fake(judge(discriminator, fake))) * 0.5
        })
    }
}

/// Faces of A and of B.
fn domains(batch: &Batch) -> [Tensor<4>; 2] {
    let targets = batch.target_images.clone();
    let targets =
        targets.expect("the loader gives this method two domains, or an error that says what is missing");
    [batch.source.images.clone(), targets]
}

impl Game for Cyclegan {
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses {
        let network = tracked(&self.generator.network);
        let pass = self.generator_pass(&network, batch);
        let GeneratorPass { adversarial: [there, back], cycle: [a, b], identity: [on_b, on_a], .. } = &pass;
        let mut losses = named([
            ("generator.adversarial_there", there.clone()),
            ("generator.adversarial_back", back.clone()),
            ("generator.cycle", a.clone() + b.clone()),
            ("generator.identity", on_b.clone() + on_a.clone()),
        ]);
        let fakes = pass.fakes.map(|fake| fake.without_autodiff());
        self.generator.update(network, pass.total, rates.generator);

        let [of_target, of_source] = &mut self.discriminator.history.0;
        let [fake_b, fake_a] = fakes;
        let fakes = [of_target.exchange(fake_b, rng), of_source.exchange(fake_a, rng)];
        let network = tracked(&self.discriminator.player.network);
        let [of_target, of_source] = self.discriminator_pass(&network, batch, fakes);
        losses.extend(named([
            ("discriminator.target", of_target.clone()),
            ("discriminator.source", of_source.clone()),
        ]));
        self.discriminator.player.update(network, of_target + of_source, rates.discriminator);
        losses
    }

    fn players(&mut self) -> Vec<(&'static str, &mut dyn Saved)> {
        vec![("generator", &mut self.generator), ("discriminator", &mut self.discriminator)]
    }

    fn translator(&self, averaged: bool) -> Box<dyn Translator> {
        Box::new(self.generator.weights(averaged).clone())
    }

    fn show(&self, face: Tensor<4>) {
        let generators = &self.generator.network;
        let Discriminators { of_target, of_source } = &self.discriminator.player.network;
        let target = generators.there.forward(face);
        judge(of_target, target.clone());
        judge(of_source, generators.back().forward(target));
    }
}
