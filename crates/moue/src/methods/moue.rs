//! `moue`, the recommended method: an edit of the face instead of a new picture.
//!
//! The generator is `sasn`'s (StarGAN with self-attention, Su, Wang, Liu 2022) with another head. Instead of painting
//! the face it says where each pixel comes from (appearance flow: Zhou et al. 2016, *View synthesis by appearance
//! flow*) and what is painted over it, a colour behind a mask (Pumarola et al. 2018, *GANimation*), for what no pixel of
//! the face shows: teeth, the inside of the mouth, creases. Such an edit holds at any resolution and at any strength,
//! and changes nothing where nothing should change.
//!
//! It learns from pairs, one person with two expressions, where the data has them: the result is compared with the
//! true image, most at the mouth, the eyes and the brows, and its edges with the true edges. `sasn`'s discriminator
//! judges realism and expression. Without pairs, `sasn`'s reconstruction loss takes the place of the comparison.
//!
//! At 128 px the network works at half the side, where it sees the whole face and learns fast, and a shallow one refines
//! its edit at the whole side: outlines of lips and lids, teeth, creases. The refinement starts at nothing, so that a
//! network trained at 64 px goes on at 128 px where it was.
//!
//! Of the two places for self-attention in `sasn` only the bottleneck is used by default: the other is as large as the
//! rest of an update at 128 px, and an edit's geometry needs it least.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::sasn::{self, Discriminator, Place, SourceHead};
use super::{Game, Rates, Translator, UpdateRatio};
use crate::base::expression::Expression;
use crate::base::faces::Batch;
use crate::base::rng::Rng;
use crate::nn::adam::AdamConfig;
use crate::nn::edit::Edit;
use crate::nn::layers::{Convolution, Geometry, InstanceNorm, TransposedConvolution};
use crate::nn::losses::{
    AdversarialLoss, classification, mean_absolute_at_half_size, mean_absolute_difference,
    mean_absolute_gradient, mean_squared_gradient, weighted_mean_absolute,
};
use crate::nn::module::{Module, Visitor, tracked};
use crate::nn::passes::{Judgement, Losses, named};
use crate::nn::player::{Player, Saved};
use crate::nn::residual::ResidualBlock;
use crate::nn::resize::{doubled, halved};

/// The farthest that a pixel comes from, in half sides of the square.
const REACH: f32 = 0.25;

/// What the mask's bias starts at: little is painted over an untrained edit.
const MASK_BIAS: f32 = -2.0;

/// Deviation of the head's first weights: an untrained edit moves nothing.
const HEAD_DEVIATION: f32 = 0.002;

/// Settings of the method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the images in pixels.
    pub image_size: usize,
    /// C, the channels after the generator's stem.
    pub channels: usize,
    /// Residual blocks in the generator.
    pub residual_blocks: usize,
    /// Channels of the refinement; 0 for none. With it, the generator works at half the side.
    #[serde(default)]
    pub detail_channels: usize,
    /// Where self-attention stands; empty for none.
    pub attention: Vec<Place>,
    /// Channels after the discriminator's first layer; each further layer doubles them.
    pub discriminator_channels: usize,
    /// Layers of the discriminator before its heads.
    pub discriminator_layers: usize,
    /// The discriminator's real-or-fake head.
    pub source_head: SourceHead,
    /// Weight of the comparison with the true image, or without pairs of the reconstruction loss.
    pub lambda_reconstruction: f32,
    /// Weight of the flow's smoothness, for each pixel of the image's side.
    pub lambda_smoothness: f32,
    /// Weight of the adversarial loss.
    pub lambda_adversarial: f32,
    /// Weight of the generator's classification loss.
    pub lambda_classification: f32,
    /// Updates of the generator before the discriminator joins.
    pub alone: u64,
    /// Learning rates before decay.
    pub learning_rates: Rates,
    /// Adam's settings, for both players.
    pub adam: AdamConfig,
    /// How much of the generator's moving average stays at each of its updates. The average is what is shown.
    pub average_decay: f32,
}

impl Config {
    /// What we recommend: 128 px.
    pub fn recommended() -> Self {
        Self {
            image_size: 128,
            channels: 32,
            residual_blocks: 6,
            detail_channels: 24,
            attention: vec![Place::Bottleneck],
            discriminator_channels: 32,
            discriminator_layers: 6,
            source_head: SourceHead::FullyConnected,
            lambda_reconstruction: 10.0,
            lambda_smoothness: 0.5,
            lambda_adversarial: 0.5,
            lambda_classification: 0.5,
            alone: 200,
            learning_rates: Rates { generator: 2e-4, discriminator: 2e-4 },
            adam: AdamConfig::default(),
            average_decay: 0.998,
        }
    }

    /// The same without the refinement at 64 px, for two CPU cores: twice as fast, and a start for the recommended one.
    pub fn small() -> Self {
        Self { image_size: 64, detail_channels: 0, ..Self::recommended() }
    }

    /// As small as the architecture goes: 32 px, C = 8, two residual blocks, four discriminator layers.
    pub fn smoke() -> Self {
        Self {
            image_size: 32,
            channels: 8,
            residual_blocks: 2,
            detail_channels: 8,
            discriminator_channels: 8,
            discriminator_layers: 4,
            alone: 20,
            ..Self::recommended()
        }
    }

    /// `sasn` with networks of these sizes.
    fn networks(&self) -> sasn::Config {
        sasn::Config {
            image_size: self.image_size,
            channels: self.channels,
            residual_blocks: self.residual_blocks,
            attention: self.attention.clone(),
            discriminator_channels: self.discriminator_channels,
            discriminator_layers: self.discriminator_layers,
            source_head: self.source_head,
            spectral_norm: true,
            ..sasn::Config::paper()
        }
    }

    /// One update of each player a batch.
    pub fn updates(&self) -> UpdateRatio {
        UpdateRatio { generator: 1, discriminator: 1 }
    }
}

/// G(x, c): `sasn`'s generator with a head for an edit, and what refines it.
#[derive(Debug, Clone)]
pub struct Generator {
    network: sasn::Generator,
    detail: Option<Refinement>,
}

impl Generator {
    /// PyTorch's default initialisation; the heads' makes the edit of an untrained generator nearly none.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let mut network = sasn::Generator::with_outputs(6, true, &config.networks(), device, rng);
        calm(&mut network.head, [0.0, 0.0, 0.0, 0.0, 0.0, MASK_BIAS], rng);
        let detail = config.detail_channels;
        let detail = (detail > 0).then(|| Refinement::new([config.channels, detail], device, rng));
        Self { network, detail }
    }

    /// The edit of `[b, 3, s, s]` in -1..1 that gives each face its target. Shapes are for s = 128.
    pub fn forward(&self, x: Tensor<4>, targets: &[Expression]) -> Edit {
        let network = &self.network;
        let Some(detail) = &self.detail else {
            return edit_of(network.head.forward(network.features(x, targets)));
        };
        let features = network.features(halved(x.clone()), targets); // 32 @ 64
        let coarse = doubled(network.head.forward(features.clone())); // 6 @ 128
        edit_of(detail.forward(x, coarse, features))
    }
}

/// The edit that `[b, 6, h, w]` stands for.
fn edit_of(outputs: Tensor<4>) -> Edit {
    Edit::Warped {
        flow: outputs.clone().slice_dim(1, 0..2).tanh() * REACH,
        colour: outputs.clone().slice_dim(1, 2..5).tanh(),
        mask: sigmoid(outputs.slice_dim(1, 5..6)),
    }
}

/// Gives a head weights that say nearly nothing beside its bias.
fn calm(head: &mut Convolution, bias: [f32; 6], rng: &mut Rng) {
    let (shape, device) = (head.weight.dims(), head.weight.device());
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| HEAD_DEVIATION * rng.normal()).collect();
    head.weight = Tensor::from_data(TensorData::new(values, shape), &device);
    head.bias = Some(Tensor::from_data(bias, &device));
}

impl Module for Generator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        if let Some(detail) = &mut self.detail {
            visitor.module("detail", detail);
        }
    }
}

/// What an edit made at half the side lacks at the whole side. It sees the face, the face after the edit so far, that
/// edit, and the features that it was made of.
#[derive(Debug, Clone)]
struct Refinement {
    face: Convolution,
    features: TransposedConvolution,
    norm: InstanceNorm,
    residual: [ResidualBlock; 2],
    head: Convolution,
}

impl Refinement {
    fn new([features, channels]: [usize; 2], device: &Device, rng: &mut Rng) -> Self {
        let (plain, halving) = (Geometry::new(3, 1, 1), Geometry::new(4, 2, 1));
        let mut head = Convolution::new([channels, 6], plain, true, device, rng);
        calm(&mut head, [0.0; 6], rng);
        Self {
            face: Convolution::new([3 + 3 + 6, channels], plain, false, device, rng),
            features: TransposedConvolution::new([features, channels], halving, device, rng),
            norm: InstanceNorm::new(channels, device),
            residual: [(); 2].map(|()| ResidualBlock::new(channels, device, rng)),
            head,
        }
    }

    /// The outputs at the side of `x`, `[b, 6, s, s]`, from those of half the side, `coarse`, already of that shape.
    fn forward(&self, x: Tensor<4>, coarse: Tensor<4>, features: Tensor<4>) -> Tensor<4> {
        let so_far = edit_of(coarse.clone()).on_square(x.clone()); // 3 @ 128
        let seen = self.face.forward(Tensor::cat(vec![x, so_far, coarse.clone()], 1)); // 24 @ 128
        let y = self.norm.forward_relu(seen + self.features.forward(features)); // 24 @ 128
        let y = self.residual.iter().fold(y, |y, block| block.forward(y));
        coarse + self.head.forward(y) // 6 @ 128
    }
}

impl Module for Refinement {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("face", &mut self.face);
        visitor.module("features", &mut self.features);
        visitor.module("norm", &mut self.norm);
        for (n, block) in self.residual.iter_mut().enumerate() {
            visitor.module(&format!("res.{n}"), block);
        }
        visitor.module("head", &mut self.head);
    }
}

impl Translator for Generator {
    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        self.forward(faces, targets)
    }
}

/// What a generator update computes.
pub struct GeneratorPass {
    /// The edit of the source.
    pub edit: Edit,
    /// The source after the edit.
    pub result: Tensor<4>,
    /// D(result), once the discriminator has joined.
    pub judgement: Option<Judgement>,
    /// The losses by name, unweighted.
    pub losses: Losses,
    /// L_G: the weighted sum.
    pub total: Tensor<1>,
}

/// What a discriminator update computes.
pub struct DiscriminatorPass {
    /// D of the true images.
    pub real: Judgement,
    /// D of the results.
    pub fake: Judgement,
    /// The losses by name, unweighted.
    pub losses: Losses,
    /// L_D: their sum.
    pub total: Tensor<1>,
}

/// The game.
pub struct Moue {
    config: Config,
    /// Where the comparison with the true image counts how much, `[1, 1, s, s]`, 1 in the mean.
    weights: Tensor<4>,
    /// The generator.
    pub generator: Player<Generator>,
    /// The discriminator.
    pub discriminator: Player<Discriminator>,
}

impl Moue {
    /// Two players that have not learned anything.
    pub fn new(config: Config, seed: u64, device: &Device) -> Self {
        let networks = config.networks();
        let generator = Generator::new(&config, device, &mut Rng::stream(seed, "generator", 0));
        let discriminator = Discriminator::new(&networks, device, &mut Rng::stream(seed, "discriminator", 0));
        Self {
            weights: region_weights(config.image_size, device),
            generator: Player::new(generator, config.adam, Some(config.average_decay)),
            discriminator: Player::new(discriminator, config.adam, None),
            config,
        }
    }

    /// L_G and its parts for a generator; `judged` says whether the discriminator, as it is, has a say.
    pub fn generator_pass(&self, generator: &Generator, batch: &Batch, judged: bool) -> GeneratorPass {
        let (config, x) = (&self.config, &batch.source.images);
        let edit = generator.forward(x.clone(), &batch.targets);
        let result = edit.clone().on_square(x.clone());
        let mut losses = Vec::new();
        let mut total = match &batch.target_images {
            Some(truth) => {
                let difference = result.clone() - truth.clone();
                let pixels = weighted_mean_absolute(difference.clone(), self.weights.clone());
                let half_size = mean_absolute_at_half_size(difference.clone());
                let edges = mean_absolute_gradient(difference);
                losses.push(("generator.pixels", pixels.clone()));
                losses.push(("generator.half_size", half_size.clone()));
                losses.push(("generator.edges", edges.clone()));
                pixels + half_size + edges * 0.5
            }
            None => {
                let back = generator.forward(result.clone(), &batch.source.expressions);
                let reconstructed = back.on_square(result.clone());
                let reconstruction = mean_absolute_difference(x.clone(), reconstructed);
                losses.push(("generator.reconstruction", reconstruction.clone()));
                reconstruction
            }
        } * config.lambda_reconstruction;
        if let Edit::Warped { flow, .. } = &edit {
            let smoothness = mean_squared_gradient(flow.clone());
            losses.push(("generator.smoothness", smoothness.clone()));
            total = total + smoothness * (config.lambda_smoothness * config.image_size as f32);
        }
        let judgement = judged.then(|| self.discriminator.network.forward(result.clone()));
        if let Some(judgement) = &judgement {
            let adversarial = AdversarialLoss::Hinge.of_generator(judgement.source.clone());
            let classification = classification(judgement.expression.clone(), &batch.targets);
            losses.push(("generator.adversarial", adversarial.clone()));
            losses.push(("generator.classification", classification.clone()));
            total = total
                + adversarial * config.lambda_adversarial
                + classification * config.lambda_classification;
        }
        GeneratorPass { edit, result, judgement, losses: named(losses), total }
    }

    /// L_D and its parts for a discriminator: the true images, with pairs those of the target expressions, against
    /// `fake`, `[b, 3, s, s]`, what the generator made of the batch.
    pub fn discriminator_pass(
        &self,
        discriminator: &Discriminator,
        batch: &Batch,
        fake: Tensor<4>,
    ) -> DiscriminatorPass {
        let (truth, shown) = match &batch.target_images {
            Some(truth) => (truth, &batch.targets),
            None => (&batch.source.images, &batch.source.expressions),
        };
        // D has no layer that mixes the images of a batch: both halves in one pass read the weights once.
        let [real, fake] = discriminator.forward(Tensor::cat(vec![truth.clone(), fake], 0)).halves();
        let on_real = AdversarialLoss::Hinge.on_real(real.source.clone());
        let on_fake = AdversarialLoss::Hinge.on_fake(fake.source.clone());
        let adversarial = on_real + on_fake;
        let classification = classification(real.expression.clone(), shown);
        let losses = named([
            ("discriminator.adversarial", adversarial.clone()),
            ("discriminator.classification", classification.clone()),
        ]);
        DiscriminatorPass { real, fake, losses, total: adversarial + classification }
    }
}

impl Game for Moue {
    fn step(&mut self, batch: &Batch, rates: Rates, _rng: &mut Rng) -> Losses {
        let judged = self.generator.updates() >= self.config.alone;
        let network = tracked(&self.generator.network);
        let pass = self.generator_pass(&network, batch, judged);
        let (mut losses, fake) = (pass.losses, pass.result.without_autodiff());
        self.generator.update(network, pass.total, rates.generator);
        if judged {
            // What the generator made before its step is a fake as good as one made after it.
            self.discriminator.network.advance();
            let network = tracked(&self.discriminator.network);
            let pass = self.discriminator_pass(&network, batch, fake);
            losses.extend(pass.losses);
            self.discriminator.update(network, pass.total, rates.discriminator);
        }
        losses
    }

    fn players(&mut self) -> Vec<(&'static str, &mut dyn Saved)> {
        vec![("generator", &mut self.generator), ("discriminator", &mut self.discriminator)]
    }

    fn translator(&self, averaged: bool) -> Box<dyn Translator> {
        Box::new(self.generator.weights(averaged).clone())
    }

    fn show(&self, face: Tensor<4>) {
        let edit = self.generator.network.forward(face.clone(), &[Expression::Neutral]);
        self.discriminator.network.forward(edit.on_square(face));
    }

    fn diagnostics(&self) -> Losses {
        let gammas = self.generator.network.network.gammas().enumerate();
        let gammas = gammas.map(|(n, gamma)| (format!("attention{}.gamma", n + 1), gamma.clone()));
        let sigma = self.discriminator.network.largest_sigma();
        gammas.chain(sigma.map(|sigma| ("discriminator.largest_sigma".to_string(), sigma))).collect()
    }
}

/// Where expressions are: 1 + 2 about the mouth + 1 about the eyes and brows, divided by its mean; `[1, 1, side, side]`.
/// Faces lie with the eyes at 0.42 of the height, a quarter of the width apart.
fn region_weights(side: usize, device: &Device) -> Tensor<4> {
    let place = |n: usize| (n as f32 + 0.5) / side as f32;
    let hill = |x: f32, y: f32, [cx, cy, width, height]: [f32; 4]| {
        (-((x - cx) / width).powi(2) - ((y - cy) / height).powi(2)).exp()
    };
    let weight = |x: f32, y: f32| {
        1.0 + 2.0 * hill(x, y, [0.5, 0.68, 0.16, 0.10]) + hill(x, y, [0.5, 0.40, 0.25, 0.08])
    };
    let weights: Vec<f32> = (0..side * side).map(|n| weight(place(n % side), place(n / side))).collect();
    let mean = weights.iter().sum::<f32>() / weights.len() as f32;
    let weights: Vec<f32> = weights.into_iter().map(|weight| weight / mean).collect();
    Tensor::from_data(TensorData::new(weights, [1, 1, side, side]), device)
}
