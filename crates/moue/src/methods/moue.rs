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
//! network trained at 64 px goes on at 128 px where it was. At 256 px a second one refines brows, eyes and mouth alone.
//!
//! Of the two places for self-attention in `sasn` only the bottleneck is used by default: the other is as large as the
//! rest of an update at 128 px, and an edit's geometry needs it least.

use burn::tensor::{Device, Tensor};
use moue_kernels::{doubled, halved, weighted_mean_absolute};
use serde::{Deserialize, Serialize};

use super::sasn::{self, Discriminator, Place, SourceHead};
use super::{Game, Rates, Translator, UpdateRatio};
use crate::base::expression::Expression;
use crate::base::faces::Batch;
use crate::base::rng::Rng;
use crate::nn::adam::AdamConfig;
use crate::nn::edit::Edit;
use crate::nn::losses::{
    AdversarialLoss, classification, feature_matching, mean_absolute_at_half_size, mean_absolute_difference,
    mean_absolute_gradient, mean_squared_gradient, painted_colour,
};
use crate::nn::module::{Module, Visitor, tracked};
use crate::nn::passes::{Judgement, Losses, named};
use crate::nn::player::{Player, Saved};
use crate::nn::refinement::{Refinement, calm};
use crate::nn::window::{Window, expression_weights};

/// What the mask's bias starts at: little is painted over an untrained edit.
const MASK_BIAS: f32 = -2.0;

/// The names of what [`comparison`] gives.
const COMPARED: [&str; 4] =
    ["generator.pixels", "generator.half_size", "generator.edges", "generator.colour"];
const A_PART: &str = "training looks at one part at least";
const NO_PICTURES: &str = "this generator's edits are no pictures";

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
    /// Channels of a second refinement, of the face's middle (brows, eyes, mouth) alone; 0 for none. With it, the
    /// generator works at a quarter of the side and the first refinement at half of it, and the discriminator sees the
    /// face's middle.
    #[serde(default)]
    pub close_channels: usize,
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
    /// Weight of the painted colour's difference from the true image, relative to the comparison of the result with it.
    #[serde(default)]
    pub lambda_colour: f32,
    /// Weight of the feature matching loss, with pairs.
    #[serde(default)]
    pub lambda_features: f32,
    /// Training multiplies masks by up to this, drawn for each face from 1 on, and holds them at 1: what is half painted,
    /// over something that its colour makes up for, would show at another strength. Up to 1 leaves them as they are.
    #[serde(default)]
    pub mask_gain: f32,
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
            close_channels: 0,
            attention: vec![Place::Bottleneck],
            discriminator_channels: 32,
            discriminator_layers: 6,
            source_head: SourceHead::FullyConnected,
            lambda_reconstruction: 10.0,
            lambda_smoothness: 0.5,
            lambda_colour: 16.0,
            lambda_features: 2.0,
            mask_gain: 1.5,
            lambda_adversarial: 0.5,
            lambda_classification: 0.5,
            alone: 200,
            learning_rates: Rates { generator: 2e-4, discriminator: 2e-4 },
            adam: AdamConfig::default(),
            average_decay: 0.998,
        }
    }

    /// The same with brows, eyes and mouth refined at 256 px: teeth, irises and creases are a few pixels wide there. A
    /// discriminator with more of a say asks for gaps between teeth, and gets them in the lips.
    pub fn close() -> Self {
        let recommended = Self { lambda_adversarial: 0.1, lambda_features: 0.5, ..Self::recommended() };
        Self { image_size: 256, close_channels: 16, lambda_smoothness: 4.0, ..recommended }
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
            image_size: if self.close_channels > 0 { self.image_size / 2 } else { self.image_size },
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

    /// What training compares of images `[b, 3, s, s]`: them, or with the second refinement them at half the side and
    /// their middle. The last is what the discriminator sees.
    fn parts(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        match self.close_channels {
            0 => vec![images],
            _ => vec![halved(images.clone()), Window::of_face(self.image_size).cut(images)],
        }
    }

    /// What the masks of so many faces are multiplied by in a step; none for 1.
    pub fn draw_mask_gains(&self, faces: usize, rng: &mut Rng) -> Vec<f32> {
        let faces = if self.mask_gain > 1.0 { faces } else { 0 };
        (0..faces).map(|_| rng.between(1.0, self.mask_gain)).collect()
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
    close: Option<Refinement>,
}

impl Generator {
    /// PyTorch's default initialisation; the heads' makes the edit of an untrained generator nearly none.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let mut network = sasn::Generator::with_outputs(6, true, &config.networks(), device, rng);
        calm(&mut network.head, [0.0, 0.0, 0.0, 0.0, 0.0, MASK_BIAS], rng);
        let mut refinement = |inputs: usize, channels: usize| {
            (channels > 0).then(|| Refinement::new([inputs, channels], device, rng))
        };
        let detail = refinement(config.channels, config.detail_channels);
        let close = refinement(config.detail_channels, config.close_channels);
        Self { network, detail, close }
    }

    /// The edit of `[b, 3, s, s]` in -1..1 that gives each face its target. Shapes are for s = 128, or with the second
    /// refinement s = 256.
    pub fn forward(&self, x: Tensor<4>, targets: &[Expression]) -> Edit {
        let Some(close) = &self.close else { return Edit::of_outputs(self.outputs(x, targets).0) };
        let Closer { outputs, change, .. } = self.closer(close, &x, targets);
        Edit::of_outputs(Window::of_face(x.dims()[3]).add(doubled(outputs), change))
    }

    /// The edits that training compares with the true images, and the parts of the faces that they are for: the whole
    /// square, or with the second refinement the whole square before it, at half the side, and the face's middle after
    /// it. So what is computed at 256 px is a quarter of the square. Where the flow leaves the middle, its border goes on.
    pub fn edits_of_parts(&self, x: Tensor<4>, targets: &[Expression]) -> Vec<(Edit, Tensor<4>)> {
        let Some(close) = &self.close else { return vec![(self.forward(x.clone(), targets), x)] };
        let Closer { half, whole, before, change, .. } = self.closer(close, &x, targets);
        let middle = Edit::of_outputs(before + change).in_window();
        vec![(whole, half), (middle, Window::of_face(x.dims()[3]).cut(x))]
    }

    /// The second refinement of the edit of `x` `[b, 3, s, s]`.
    fn closer(&self, close: &Refinement, x: &Tensor<4>, targets: &[Expression]) -> Closer {
        let [window, of_half] = [1, 2].map(|part| Window::of_face(x.dims()[3] / part));
        let half = halved(x.clone());
        let (outputs, features) = self.outputs(half.clone(), targets); // 6 @ 128, 24 @ 128
        let whole = Edit::of_outputs(outputs.clone());
        let so_far = whole.clone().on_square(half.clone());
        let before = doubled(of_half.cut(outputs.clone())); // 6 @ 128, the middle of 256
        let seen = [window.cut(x.clone()), doubled(of_half.cut(so_far)), before.clone()];
        let (change, _) = close.forward(seen, of_half.cut(features));
        Closer { half, outputs, whole, before, change: window.faded(change) }
    }

    /// The edit's outputs without the second refinement, `[b, 6, s, s]`, and the features that they were made of.
    fn outputs(&self, x: Tensor<4>, targets: &[Expression]) -> (Tensor<4>, Tensor<4>) {
        let network = &self.network;
        let Some(detail) = &self.detail else {
            let features = network.features(x, targets);
            return (network.head.forward(features.clone()), features);
        };
        let features = network.features(halved(x.clone()), targets); // 32 @ 64
        let coarse = doubled(network.head.forward(features.clone())); // 6 @ 128
        let so_far = Edit::of_outputs(coarse.clone()).on_square(x.clone()); // 3 @ 128
        let (change, features) = detail.forward([x, so_far, coarse.clone()], features); // 6 @ 128, 24 @ 128
        (coarse + change, features)
    }
}

/// What the second refinement of faces of side s begins with and what it gives, all at half that side: the whole square,
/// or the face's middle at its own resolution.
struct Closer {
    half: Tensor<4>,    // 3 @ 128, the faces
    outputs: Tensor<4>, // 6 @ 128, for the whole square
    whole: Edit,        // that they stand for
    before: Tensor<4>,  // 6 @ 128, the outputs for the middle of 256
    change: Tensor<4>,  // 6 @ 128, what is added to those
}

impl Module for Generator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        if let Some(detail) = &mut self.detail {
            visitor.module("detail", detail);
        }
        if let Some(close) = &mut self.close {
            visitor.module("close", close);
        }
    }
}

impl Translator for Generator {
    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        self.forward(faces, targets)
    }
}

/// What a generator update computes.
pub struct GeneratorPass {
    /// The edits of the source's parts ([`Generator::edits_of_parts`]), without pairs the edit of the whole.
    pub edits: Vec<Edit>,
    /// What those edits made.
    pub results: Vec<Tensor<4>>,
    /// D of the part that it sees, once the discriminator has joined.
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
    /// Where the comparison with the true image counts how much, for each part `[1, 1, s, s]`, 1 in the mean.
    weights: Vec<Tensor<4>>,
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
            weights: region_weights(&config, device),
            generator: Player::new(generator, config.adam, Some(config.average_decay)),
            discriminator: Player::new(discriminator, config.adam, None),
            config,
        }
    }

    /// L_G and its parts for a generator, the mask of each face multiplied by its one of `gains`, none for 1; `judged`
    /// says whether the discriminator, as it is, has a say.
    pub fn generator_pass(
        &self,
        generator: &Generator,
        batch: &Batch,
        gains: &[f32],
        judged: bool,
    ) -> GeneratorPass {
        let (config, x) = (&self.config, &batch.source.images);
        let mut losses = Vec::new();
        let edited = |(edit, faces): (Edit, Tensor<4>)| {
            let edit = edit.with_mask_gains(gains);
            (edit.clone(), edit.on_square(faces))
        };
        let (edits, results, mut total) = match &batch.target_images {
            Some(truth) => {
                let parts = generator.edits_of_parts(x.clone(), &batch.targets);
                let (edits, results): (Vec<_>, Vec<_>) = parts.into_iter().map(edited).unzip();
                let compared = edits.iter().zip(&results).zip(config.parts(truth.clone())).zip(&self.weights);
                let compared = compared.map(|(((edit, result), truth), weights)| {
                    comparison(edit, result.clone() - truth.clone(), truth, weights)
                });
                let compared =
                    compared.reduce(|sum, part| std::array::from_fn(|n| sum[n].clone() + part[n].clone()));
                let compared = compared.expect(A_PART).map(|loss| loss / edits.len() as f32);
                losses.extend(COMPARED.into_iter().zip(compared.clone()));
                let [pixels, half_size, edges, colour] = compared;
                (edits, results, pixels + half_size + edges * 0.5 + colour * config.lambda_colour)
            }
            None => {
                let (edit, result) = edited((generator.forward(x.clone(), &batch.targets), x.clone()));
                let back = generator.forward(result.clone(), &batch.source.expressions);
                let reconstructed = back.on_square(result.clone());
                let reconstruction = mean_absolute_difference(x.clone(), reconstructed);
                losses.push(("generator.reconstruction", reconstruction.clone()));
                (vec![edit], config.parts(result), reconstruction)
            }
        };
        total = total * config.lambda_reconstruction;
        let smoothness = edits.iter().map(|edit| match edit {
            Edit::Warped { flow, .. } => mean_squared_gradient(flow.clone()) * flow.dims()[3] as f32,
            Edit::Painted(_) => unreachable!("{}", NO_PICTURES),
        });
        let smoothness = smoothness.reduce(|sum, part| sum + part).expect(A_PART) / edits.len() as f32;
        losses.push(("generator.smoothness", smoothness.clone()));
        total = total + smoothness * config.lambda_smoothness;
        let seen = results.last().expect(A_PART);
        let judged = judged.then(|| self.discriminator.network.forward_with_features(seen.clone()));
        if let Some((judgement, features)) = &judged {
            if let Some(truth) = batch.target_images.as_ref().filter(|_| config.lambda_features > 0.0) {
                let truth = self.judged_part(truth.clone());
                let (_, true_features) = self.discriminator.network.forward_with_features(truth);
                let matching = feature_matching(features.clone(), true_features);
                losses.push(("generator.features", matching.clone()));
                total = total + matching * config.lambda_features;
            }
            let adversarial = AdversarialLoss::Hinge.of_generator(judgement.source.clone());
            let classification = classification(judgement.expression.clone(), &batch.targets);
            losses.push(("generator.adversarial", adversarial.clone()));
            losses.push(("generator.classification", classification.clone()));
            total = total + adversarial * config.lambda_adversarial;
            total = total + classification * config.lambda_classification;
        }
        let judgement = judged.map(|judged| judged.0);
        GeneratorPass { edits, results, judgement, losses: named(losses), total }
    }

    /// What the discriminator sees of `[b, 3, s, s]`.
    fn judged_part(&self, images: Tensor<4>) -> Tensor<4> {
        self.config.parts(images).pop().expect(A_PART)
    }

    /// L_D and its parts for a discriminator: the true images, with pairs those of the target expressions, against
    /// `fake`, `[b, 3, s, s]`, what the generator made of the part that the discriminator sees.
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
        let both = Tensor::cat(vec![self.judged_part(truth.clone()), fake], 0);
        let [real, fake] = discriminator.forward(both).halves();
        let hinge = AdversarialLoss::Hinge;
        let adversarial = hinge.on_real(real.source.clone()) + hinge.on_fake(fake.source.clone());
        let classification = classification(real.expression.clone(), shown);
        let losses = named([
            ("discriminator.adversarial", adversarial.clone()),
            ("discriminator.classification", classification.clone()),
        ]);
        DiscriminatorPass { real, fake, losses, total: adversarial + classification }
    }

    /// A step with the mask of each face multiplied by its one of `gains`, none for 1.
    pub fn step_with_mask_gains(&mut self, batch: &Batch, rates: Rates, gains: &[f32]) -> Losses {
        let judged = self.generator.updates() >= self.config.alone;
        let network = tracked(&self.generator.network);
        let pass = self.generator_pass(&network, batch, gains, judged);
        let fake = pass.results.last().expect(A_PART).clone().without_autodiff();
        let mut losses = pass.losses;
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
}

impl Game for Moue {
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses {
        let gains = self.config.draw_mask_gains(batch.targets.len(), rng);
        self.step_with_mask_gains(batch, rates, &gains)
    }

    fn players(&mut self) -> Vec<(&'static str, &mut dyn Saved)> {
        vec![("generator", &mut self.generator), ("discriminator", &mut self.discriminator)]
    }

    fn translator(&self, averaged: bool) -> Box<dyn Translator> {
        Box::new(self.generator.weights(averaged).clone())
    }

    fn show(&self, face: Tensor<4>) {
        let edit = self.generator.network.forward(face.clone(), &[Expression::Neutral]);
        self.discriminator.network.forward(self.judged_part(edit.on_square(face)));
    }

    fn diagnostics(&self) -> Losses {
        let gammas = self.generator.network.network.gammas().enumerate();
        let gammas = gammas.map(|(n, gamma)| (format!("attention{}.gamma", n + 1), gamma.clone()));
        let sigma = self.discriminator.network.largest_sigma();
        gammas.chain(sigma.map(|sigma| ("discriminator.largest_sigma".to_string(), sigma))).collect()
    }
}

/// How far a part's edit and its `difference` from the true image, `[b, 3, h, w]`, are from it: by pixels, weighted; at
/// half the size; by edges; and by the colour where it is painted, weighted.
fn comparison(edit: &Edit, difference: Tensor<4>, truth: Tensor<4>, weights: &Tensor<4>) -> [Tensor<1>; 4] {
    let Edit::Warped { mask, colour, .. } = edit else { unreachable!("{}", NO_PICTURES) };
    [
        weighted_mean_absolute(difference.clone(), weights.clone()),
        mean_absolute_at_half_size(difference.clone()),
        mean_absolute_gradient(difference),
        painted_colour(mask.clone(), colour.clone() - truth, weights.clone()),
    ]
}

/// [`expression_weights`] of each part, `[1, 1, s, s]`, 1 in the mean.
fn region_weights(config: &Config, device: &Device) -> Vec<Tensor<4>> {
    let parts = config.parts(expression_weights(config.image_size, device));
    parts.into_iter().map(|part| part.clone() / part.mean().reshape([1, 1, 1, 1])).collect()
}
