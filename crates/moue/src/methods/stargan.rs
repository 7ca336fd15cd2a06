//! `stargan`: Choi et al. 2018, *StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
//! Translation*; networks and state-dict names of yunjey/stargan (PyTorch). Equation numbers are that paper's.
//!
//! Deviations from the reference: none in the networks and losses. Its paper lets the learning rate fall linearly in
//! the second half of training (`decay = "second_half"`); its code effectively never does (`decay = "constant"`).

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Game, Rates, Translator};
use crate::base::expression::Expression;
use crate::base::faces::Batch;
use crate::base::rng::Rng;
use crate::nn::adam::AdamConfig;
use crate::nn::edit::Edit;
use crate::nn::input_gradient::{gradient_penalty, input_gradient, mix, mixing_weights};
use crate::nn::layers::{Convolution, Geometry, InstanceNorm, TransposedConvolution};
use crate::nn::losses::{AdversarialLoss, classification, mean_absolute_difference};
use crate::nn::module::{Module, Visitor, tracked};
use crate::nn::passes::{DiscriminatorPass, GeneratorPass, Judgement, Losses};
use crate::nn::player::{Player, Saved};
use crate::nn::residual::ResidualBlock;

/// Slope of the discriminator's leaky ReLU below zero.
const NEGATIVE_SLOPE: f32 = 0.01;

/// StarGAN's adversarial loss.
const LOSS: AdversarialLoss = AdversarialLoss::WassersteinGp;

/// Settings of the method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the images in pixels.
    pub image_size: usize,
    /// Channels after the generator's stem.
    pub channels: usize,
    /// Residual blocks in the generator.
    pub residual_blocks: usize,
    /// Channels after the discriminator's first layer; each further layer doubles them.
    pub discriminator_channels: usize,
    /// Layers of the discriminator before its heads.
    pub discriminator_layers: usize,
    /// Weight of the classification losses.
    pub lambda_classification: f32,
    /// Weight of the reconstruction loss.
    pub lambda_reconstruction: f32,
    /// Weight of the gradient penalty.
    pub lambda_gradient_penalty: f32,
    /// Discriminator updates for each update of the generator.
    pub discriminator_updates: u64,
    /// Learning rates before decay.
    pub learning_rates: Rates,
    /// Adam's settings, for both players.
    pub adam: AdamConfig,
    /// How much of the generator's moving average stays at each of its updates.
    pub average_decay: f32,
}

impl Config {
    /// As published.
    pub fn paper() -> Self {
        Self {
            image_size: 128,
            channels: 64,
            residual_blocks: 6,
            discriminator_channels: 64,
            discriminator_layers: 6,
            lambda_classification: 1.0,
            lambda_reconstruction: 10.0,
            lambda_gradient_penalty: 10.0,
            discriminator_updates: 5,
            learning_rates: Rates { generator: 1e-4, discriminator: 1e-4 },
            adam: AdamConfig::default(),
            average_decay: 0.999,
        }
    }

    /// For two CPU cores. Deviates from the paper: 64 px, half the generator's channels, one update of each player a
    /// batch.
    pub fn small() -> Self {
        Self { image_size: 64, channels: 32, discriminator_updates: 1, ..Self::paper() }
    }

    /// As small as the architecture goes.
    pub fn smoke() -> Self {
        Self {
            image_size: 32,
            channels: 8,
            residual_blocks: 2,
            discriminator_channels: 8,
            discriminator_layers: 4,
            ..Self::small()
        }
    }
}

impl Config {
    /// The settings of a generator of the reference implementation, from its state dict's names and shapes.
    ///
    /// # Errors
    /// What keeps it from being one that works here, in words.
    pub fn of_state_dict(shapes: &BTreeMap<&str, &[usize]>, image_size: usize) -> Result<Self, String> {
        let Some(&&[channels, inputs, 7, 7]) = shapes.get("main.0.weight") else {
            return Err("no generator of StarGAN: it has no main.0.weight of 7 by 7".to_string());
        };
        let labels = inputs.saturating_sub(3);
        if labels != Expression::COUNT {
            return Err(format!(
                "the generator knows {labels} labels, not the {} expressions",
                Expression::COUNT
            ));
        }
        let residual_blocks = shapes.keys().filter(|name| name.ends_with(".main.0.weight")).count();
        Ok(Self { image_size, channels, residual_blocks, ..Self::paper() })
    }
}

/// G(x, c).
#[derive(Debug, Clone)]
pub struct Generator {
    stem: (Convolution, InstanceNorm),
    downs: Vec<(Convolution, InstanceNorm)>,
    residual: Vec<ResidualBlock>,
    ups: Vec<(TransposedConvolution, InstanceNorm)>,
    head: Convolution,
}

impl Generator {
    /// PyTorch's default initialisation.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let c = config.channels;
        let (wide, halving) = (Geometry::new(7, 1, 3), Geometry::new(4, 2, 1));
        let norm = |channels| InstanceNorm::new(channels, device);
        let stem = Convolution::new([3 + Expression::COUNT, c], wide, false, device, rng);
        let mut down =
            |[from, to]: [usize; 2]| (Convolution::new([from, to], halving, false, device, rng), norm(to));
        let downs = vec![down([c, 2 * c]), down([2 * c, 4 * c])];
        let residual = (0..config.residual_blocks).map(|_| ResidualBlock::new(4 * c, device, rng)).collect();
        let mut up =
            |[from, to]: [usize; 2]| (TransposedConvolution::new([from, to], halving, device, rng), norm(to));
        let ups = vec![up([4 * c, 2 * c]), up([2 * c, c])];
        let head = Convolution::new([c, 3], wide, false, device, rng);
        Self { stem: (stem, norm(c)), downs, residual, ups, head }
    }

    /// `[b, 3, s, s]` in -1..1 and a target for each face -> `[b, 3, s, s]` in -1..1.
    pub fn forward(&self, x: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
        let (stem, stem_norm) = &self.stem;
        let mut x = stem_norm.forward_relu(stem.forward_labelled(x, targets));
        for (down, norm) in &self.downs {
            x = norm.forward_relu(down.forward(x));
        }
        for block in &self.residual {
            x = block.forward(x);
        }
        for (up, norm) in &self.ups {
            x = norm.forward_relu(up.forward(x));
        }
        self.head.forward(x).tanh()
    }
}

impl Module for Generator {
    /// The reference's `nn.Sequential` counts the activations too, which have no weights.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let mut index = 0;
        for (convolution, norm) in std::iter::once(&mut self.stem).chain(&mut self.downs) {
            visitor.module(&format!("main.{index}"), convolution);
            visitor.module(&format!("main.{}", index + 1), norm);
            index += 3;
        }
        for block in &mut self.residual {
            visitor.module(&format!("main.{index}"), block);
            index += 1;
        }
        for (up, norm) in &mut self.ups {
            visitor.module(&format!("main.{index}"), up);
            visitor.module(&format!("main.{}", index + 1), norm);
            index += 3;
        }
        visitor.module(&format!("main.{index}"), &mut self.head);
    }
}

impl Translator for Generator {
    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        Edit::Painted(self.forward(faces, targets))
    }
}

/// D(x): is it real, patch by patch, and which expression does it show?
#[derive(Debug, Clone)]
pub struct Discriminator {
    main: Vec<Convolution>,
    /// Real-or-fake head.
    conv1: Convolution,
    /// Expression head.
    conv2: Convolution,
}

impl Discriminator {
    /// PyTorch's default initialisation.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let halving = Geometry::new(4, 2, 1);
        let width = |layer: usize| config.discriminator_channels << layer;
        let last = config.discriminator_layers - 1;
        let main = (0..=last)
            .map(|layer| {
                let inputs = if layer == 0 { 3 } else { width(layer - 1) };
                Convolution::new([inputs, width(layer)], halving, true, device, rng)
            })
            .collect();
        let map = Geometry::new(config.image_size >> config.discriminator_layers, 1, 0);
        let conv1 = Convolution::new([width(last), 1], Geometry::new(3, 1, 1), false, device, rng);
        let conv2 = Convolution::new([width(last), Expression::COUNT], map, false, device, rng);
        Self { main, conv1, conv2 }
    }

    /// Judges `[b, 3, s, s]`.
    pub fn forward(&self, x: Tensor<4>) -> Judgement {
        let x = self.main.iter().fold(x, |x, layer| layer.forward_leaky(x, None, NEGATIVE_SLOPE));
        Judgement { source: self.conv1.forward(x.clone()), expression: self.conv2.forward(x).flatten(1, 3) }
    }

    /// The gradient of the summed real-or-fake logits with respect to the constant `x`, of its shape.
    pub fn input_gradient(&self, x: Tensor<4>) -> Tensor<4> {
        input_gradient(&self.main.iter().collect::<Vec<_>>(), &self.conv1, NEGATIVE_SLOPE, x)
    }
}

impl Module for Discriminator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (n, layer) in self.main.iter_mut().enumerate() {
            visitor.module(&format!("main.{}", 2 * n), layer); // an activation stands between two
        }
        visitor.module("conv1", &mut self.conv1);
        visitor.module("conv2", &mut self.conv2);
    }
}

/// The game of eqs. 1 to 6, with the Wasserstein loss and gradient penalty of section 3.3.
pub struct Stargan {
    config: Config,
    /// The generator.
    pub generator: Player<Generator>,
    /// The discriminator.
    pub discriminator: Player<Discriminator>,
}

impl Stargan {
    /// Two players that have not learned anything.
    pub fn new(config: Config, seed: u64, device: &Device) -> Self {
        let generator = Generator::new(&config, device, &mut Rng::stream(seed, "generator", 0));
        let discriminator = Discriminator::new(&config, device, &mut Rng::stream(seed, "discriminator", 0));
        Self {
            generator: Player::new(generator, config.adam, Some(config.average_decay)),
            discriminator: Player::new(discriminator, config.adam, None),
            config,
        }
    }

    /// L_G and its parts for a generator, against the discriminator as it is.
    pub fn generator_pass(&self, generator: &Generator, batch: &Batch) -> GeneratorPass {
        let x = &batch.source.images;
        let fake = generator.forward(x.clone(), &batch.targets);
        let reconstructed = generator.forward(fake.clone(), &batch.source.expressions);
        let judgement = self.discriminator.network.forward(fake.clone());
        let adversarial = LOSS.of_generator(judgement.source.clone());
        let classification = classification(judgement.expression.clone(), &batch.targets);
        let reconstruction = mean_absolute_difference(x.clone(), reconstructed.clone());
        let total = adversarial.clone()
            + classification.clone() * self.config.lambda_classification
            + reconstruction.clone() * self.config.lambda_reconstruction;
        GeneratorPass { fake, reconstructed, judgement, adversarial, classification, reconstruction, total }
    }

    /// L_D and its parts for a discriminator, against the generator as it is. `alpha`, `[b, 1, 1, 1]` in 0..1, says
    /// where between real and fake the gradient penalty looks.
    pub fn discriminator_pass(
        &self,
        discriminator: &Discriminator,
        batch: &Batch,
        alpha: Tensor<4>,
    ) -> DiscriminatorPass {
        let x = &batch.source.images;
        let fake = self.generator.network.forward(x.clone(), &batch.targets);
        let both = discriminator.forward(Tensor::cat(vec![x.clone(), fake.clone()], 0));
        let [real, judged_fake] = both.halves();
        let on_real = LOSS.on_real(real.source.clone());
        let on_fake = LOSS.on_fake(judged_fake.source.clone());
        let classification = classification(real.expression.clone(), &batch.source.expressions);
        let input_gradient = discriminator.input_gradient(mix(x.clone(), fake, alpha));
        let penalty = gradient_penalty(input_gradient.clone());
        let total = on_real.clone()
            + on_fake.clone()
            + classification.clone() * self.config.lambda_classification
            + penalty.clone() * self.config.lambda_gradient_penalty;
        let (input_gradient, penalty) = (Some(input_gradient), Some(penalty));
        DiscriminatorPass {
            real,
            fake: judged_fake,
            on_real,
            on_fake,
            classification,
            input_gradient,
            penalty,
            total,
        }
    }

    /// Eq. 6: one step of the generator.
    pub fn update_generator(&mut self, batch: &Batch, learning_rate: f64) -> Losses {
        let network = tracked(&self.generator.network);
        let pass = self.generator_pass(&network, batch);
        let losses = pass.losses();
        self.generator.update(network, pass.total, learning_rate);
        losses
    }

    /// Eq. 5: one step of the discriminator, with fresh fakes.
    pub fn update_discriminator(&mut self, batch: &Batch, learning_rate: f64, rng: &mut Rng) -> Losses {
        let alpha = mixing_weights(&batch.source.images, rng);
        let network = tracked(&self.discriminator.network);
        let pass = self.discriminator_pass(&network, batch, alpha);
        let losses = pass.losses();
        self.discriminator.update(network, pass.total, learning_rate);
        losses
    }
}

impl Game for Stargan {
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses {
        let mut losses = self.update_discriminator(batch, rates.discriminator, rng);
        // The generator's update is on the last discriminator update's batch, after it.
        if self.discriminator.updates().is_multiple_of(self.config.discriminator_updates) {
            losses.extend(self.update_generator(batch, rates.generator));
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
        self.discriminator.network.forward(self.generator.network.forward(face, &[Expression::Neutral]));
    }
}
