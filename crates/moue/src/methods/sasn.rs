//! `sasn`: StarGAN with self-attention in the generator and spectral normalisation in the discriminator.
//!
//! Su, Wang, Liu 2022: *Expression image synthesis using GAN by introducing self-attention mechanism and spectral
//! normalization*, article 2095-2163(2022)04-0121-06. Equation numbers are that paper's.
//!
//! What the paper leaves open follows StarGAN (Choi et al. 2018) and is settled here as follows. The attention
//! modules stand after the residual blocks and after the first upsampling. Adam, batch size, learning rate, flips and
//! the weights of the losses are StarGAN's. "The generator is updated five times for each update of the
//! discriminator" is read as: one generator update a batch, and after every fifth an update of the discriminator on
//! that batch with fresh fakes. The singular vectors are warmed by 15 power iterations at the start, then advanced
//! once before each update of the discriminator.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Game, Rates, Translator, UpdateRatio};
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
use crate::nn::self_attention::SelfAttention;
use crate::nn::spectral_norm::SpectralNorm;

/// Slope of the discriminator's leaky ReLU below zero.
const NEGATIVE_SLOPE: f32 = 0.01;

/// Where in the generator a self-attention module can stand: after this stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// After the first downsampling: 2C channels at half the size.
    Down1,
    /// After the second downsampling: 4C channels at a quarter of the size.
    Down2,
    /// After the residual blocks: 4C channels at a quarter of the size.
    Bottleneck,
    /// After the first upsampling: 2C channels at half the size.
    Up1,
}

/// What maps the discriminator's last features to real-or-fake logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceHead {
    /// One logit of all that remains, without bias: the paper's.
    FullyConnected,
    /// A 3x3 convolution to a map of logits: StarGAN's.
    Patch,
}

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
    /// Where self-attention stands; empty for none.
    pub attention: Vec<Place>,
    /// Channels after the discriminator's first layer; each further layer doubles them.
    pub discriminator_channels: usize,
    /// Layers of the discriminator before its heads.
    pub discriminator_layers: usize,
    /// Whether every layer of the discriminator is spectrally normalised.
    pub spectral_norm: bool,
    /// The discriminator's real-or-fake head.
    pub source_head: SourceHead,
    /// The adversarial loss.
    pub adversarial_loss: AdversarialLoss,
    /// Weight of the classification loss.
    pub lambda_classification: f32,
    /// Weight of the reconstruction loss.
    pub lambda_reconstruction: f32,
    /// Weight of the gradient penalty, for `wasserstein_gp`.
    pub lambda_gradient_penalty: f32,
    /// Generator to discriminator updates.
    pub updates: UpdateRatio,
    /// Learning rates before decay.
    pub learning_rates: Rates,
    /// Adam's settings, for both players.
    pub adam: AdamConfig,
    /// How much of the generator's moving average stays at each of its updates.
    pub average_decay: f32,
}

impl Config {
    /// The paper to the letter.
    pub fn paper() -> Self {
        Self {
            image_size: 128,
            channels: 64,
            residual_blocks: 6,
            attention: vec![Place::Bottleneck, Place::Up1],
            discriminator_channels: 64,
            discriminator_layers: 6,
            spectral_norm: true,
            source_head: SourceHead::FullyConnected,
            adversarial_loss: AdversarialLoss::Saturating,
            lambda_classification: 1.0,
            lambda_reconstruction: 10.0,
            lambda_gradient_penalty: 10.0,
            updates: UpdateRatio { generator: 5, discriminator: 1 },
            learning_rates: Rates { generator: 1e-4, discriminator: 1e-4 },
            adam: AdamConfig::default(),
            average_decay: 0.999,
        }
    }

    /// For two CPU cores. Deviates from the paper: 64 px, C = 32, hinge loss, one update of each player a batch.
    pub fn small() -> Self {
        Self {
            image_size: 64,
            channels: 32,
            adversarial_loss: AdversarialLoss::Hinge,
            updates: UpdateRatio { generator: 1, discriminator: 1 },
            ..Self::paper()
        }
    }

    /// As small as the architecture goes: 32 px, C = 8, two residual blocks, four discriminator layers.
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

/// G(x, c): encoder, residual blocks and decoder of StarGAN with self-attention between them.
#[derive(Debug, Clone)]
pub struct Generator {
    stem: Convolution,
    stem_norm: InstanceNorm,
    downs: [Convolution; 2],
    down_norms: [InstanceNorm; 2],
    residual: Vec<ResidualBlock>,
    ups: [TransposedConvolution; 2],
    up_norms: [InstanceNorm; 2],
    /// The last layer.
    pub head: Convolution,
    attention: Vec<(Place, SelfAttention)>,
}

impl Generator {
    /// PyTorch's default initialisation.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        Self::with_outputs(3, false, config, device, rng)
    }

    /// The same network with a head of another width, with or without bias.
    pub fn with_outputs(outputs: usize, bias: bool, config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let c = config.channels;
        let (wide, halving) = (Geometry::new(7, 1, 3), Geometry::new(4, 2, 1));
        let mut convolution = |channels, geometry| Convolution::new(channels, geometry, false, device, rng);
        let stem = convolution([3 + Expression::COUNT, c], wide);
        let downs = [convolution([c, 2 * c], halving), convolution([2 * c, 4 * c], halving)];
        let residual = (0..config.residual_blocks).map(|_| ResidualBlock::new(4 * c, device, rng)).collect();
        let mut up = |channels| TransposedConvolution::new(channels, halving, device, rng);
        let ups = [up([4 * c, 2 * c]), up([2 * c, c])];
        let head = Convolution::new([c, outputs], wide, bias, device, rng);
        let norms = |channels: [usize; 2]| channels.map(|channels| InstanceNorm::new(channels, device));
        let mut places = config.attention.clone();
        places.sort_unstable();
        places.dedup();
        let mut attention = |place| match place {
            Place::Down1 | Place::Up1 => SelfAttention::new(2 * c, device, rng),
            Place::Down2 | Place::Bottleneck => SelfAttention::new(4 * c, device, rng),
        };
        Self {
            stem,
            stem_norm: InstanceNorm::new(c, device),
            downs,
            down_norms: norms([2 * c, 4 * c]),
            residual,
            ups,
            up_norms: norms([2 * c, c]),
            head,
            attention: places.into_iter().map(|place| (place, attention(place))).collect(),
        }
    }

    /// `[b, 3, s, s]` in -1..1 and a target for each face -> `[b, 3, s, s]` in -1..1. Shapes are for C = 64, s = 128.
    pub fn forward(&self, x: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
        self.head.forward(self.features(x, targets)).tanh() // 3 @ 128
    }

    /// What the head sees: C channels at the size of the image.
    pub fn features(&self, x: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
        let x = self.stem.forward_labelled(x, targets); // of 3 + 8 @ 128
        let x = self.stem_norm.forward_relu(x); // 64 @ 128
        let x = self.down_norms[0].forward_relu(self.downs[0].forward(x)); // 128 @ 64
        let x = self.attend(Place::Down1, x);
        let x = self.down_norms[1].forward_relu(self.downs[1].forward(x)); // 256 @ 32
        let x = self.attend(Place::Down2, x);
        let x = self.residual.iter().fold(x, |x, block| block.forward(x)); // 256 @ 32
        let x = self.attend(Place::Bottleneck, x);
        let x = self.up_norms[0].forward_relu(self.ups[0].forward(x)); // 128 @ 64
        let x = self.attend(Place::Up1, x);
        self.up_norms[1].forward_relu(self.ups[1].forward(x)) // 64 @ 128
    }

    /// Gamma of each attention module, in forward order.
    pub fn gammas(&self) -> impl Iterator<Item = &Tensor<1>> {
        self.attention.iter().map(|(_, module)| &module.gamma)
    }

    fn attend(&self, place: Place, x: Tensor<4>) -> Tensor<4> {
        match self.attention.iter().find(|(at, _)| *at == place) {
            Some((_, module)) => module.forward(x),
            None => x,
        }
    }
}

impl Module for Generator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("stem", &mut self.stem);
        visitor.module("stem_norm", &mut self.stem_norm);
        for (n, (down, norm)) in self.downs.iter_mut().zip(&mut self.down_norms).enumerate() {
            visitor.module(&format!("down{}", n + 1), down);
            visitor.module(&format!("down{}_norm", n + 1), norm);
        }
        for (n, block) in self.residual.iter_mut().enumerate() {
            visitor.module(&format!("res.{n}"), block);
        }
        for (n, (up, norm)) in self.ups.iter_mut().zip(&mut self.up_norms).enumerate() {
            visitor.module(&format!("up{}", n + 1), up);
            visitor.module(&format!("up{}_norm", n + 1), norm);
        }
        visitor.module("head", &mut self.head);
        for (n, (_, module)) in self.attention.iter_mut().enumerate() {
            visitor.module(&format!("attention{}", n + 1), module);
        }
    }
}

impl Translator for Generator {
    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        Edit::Painted(self.forward(faces, targets))
    }
}

/// D(x): is it real, and which expression does it show?
#[derive(Debug, Clone)]
pub struct Discriminator {
    convolutions: Vec<Convolution>,
    source: Convolution,
    expression: Convolution,
    /// One for each layer, in the order above; empty without spectral norm.
    norms: Vec<SpectralNorm>,
}

impl Discriminator {
    /// PyTorch's default initialisation; the singular vectors are warmed.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let halving = Geometry::new(4, 2, 1);
        let width = |layer: usize| config.discriminator_channels << layer;
        let last = config.discriminator_layers - 1;
        let map = config.image_size >> config.discriminator_layers;
        let convolutions: Vec<_> = (0..=last)
            .map(|layer| {
                let inputs = if layer == 0 { 3 } else { width(layer - 1) };
                Convolution::new([inputs, width(layer)], halving, true, device, rng)
            })
            .collect();
        let whole_map = Geometry::new(map, 1, 0);
        let source = match config.source_head {
            SourceHead::FullyConnected => whole_map,
            SourceHead::Patch => Geometry::new(3, 1, 1),
        };
        let source = Convolution::new([width(last), 1], source, false, device, rng);
        let expression = Convolution::new([width(last), Expression::COUNT], whole_map, false, device, rng);
        let mut discriminator = Self { convolutions, source, expression, norms: Vec::new() };
        if config.spectral_norm {
            let weights = discriminator.layers().map(|layer| layer.weight.clone()).collect::<Vec<_>>();
            discriminator.norms =
                weights.iter().map(|weight| SpectralNorm::new(weight, device, rng)).collect();
        }
        discriminator
    }

    /// Judges `[b, 3, s, s]`.
    pub fn forward(&self, x: Tensor<4>) -> Judgement {
        self.forward_with_features(x).0
    }

    /// Judges `[b, 3, s, s]`, and says what each layer before the heads made of it, from the first on.
    pub fn forward_with_features(&self, x: Tensor<4>) -> (Judgement, Vec<Tensor<4>>) {
        let (mut x, mut features) = (x, Vec::new());
        for layer in 0..self.convolutions.len() {
            let convolution = self.layer(layer);
            let scale = self.norms.get(layer).map(|norm| norm.factor(convolution));
            x = convolution.forward_leaky(x, scale, NEGATIVE_SLOPE);
            features.push(x.clone());
        }
        let source = self.convolve(self.convolutions.len(), x.clone());
        let expression = self.convolve(self.convolutions.len() + 1, x);
        (Judgement { source, expression: expression.flatten(1, 3) }, features)
    }

    /// One power iteration of every layer's singular vectors.
    pub fn advance(&mut self) {
        let weights = self.layers().map(|layer| layer.weight.clone()).collect::<Vec<_>>();
        for (norm, weight) in self.norms.iter_mut().zip(&weights) {
            norm.advance(weight);
        }
    }

    /// The largest spectral norm of all layers before normalisation; `None` without spectral norm.
    pub fn largest_sigma(&self) -> Option<Tensor<1>> {
        let sigmas = self.layers().zip(&self.norms).map(|(layer, norm)| norm.sigma(&layer.weight));
        let sigmas: Vec<_> = sigmas.collect();
        (!sigmas.is_empty()).then(|| Tensor::cat(sigmas, 0).max())
    }

    /// The gradient of the summed source logits with respect to the constant `x`, of its shape.
    pub fn input_gradient(&self, x: Tensor<4>) -> Tensor<4> {
        let layers: Vec<_> = (0..=self.convolutions.len()).map(|layer| self.normalised(layer)).collect();
        let (source, convolutions) = layers.split_last().expect("the source head is one of them");
        input_gradient(&convolutions.iter().collect::<Vec<_>>(), source, NEGATIVE_SLOPE, x)
    }

    fn layers(&self) -> impl Iterator<Item = &Convolution> {
        self.convolutions.iter().chain([&self.source, &self.expression])
    }

    fn layer(&self, layer: usize) -> &Convolution {
        self.layers().nth(layer).expect("layers are counted by the discriminator itself")
    }

    fn convolve(&self, layer: usize, x: Tensor<4>) -> Tensor<4> {
        match self.norms.get(layer) {
            Some(norm) => norm.convolve(self.layer(layer), x),
            None => self.layer(layer).forward(x),
        }
    }

    /// The layer with its normalised weight.
    fn normalised(&self, layer: usize) -> Convolution {
        let convolution = self.layer(layer);
        match self.norms.get(layer) {
            Some(norm) => {
                let sigma = norm.sigma(&convolution.weight).reshape([1, 1, 1, 1]);
                convolution.with_weight(convolution.weight.clone() / sigma)
            }
            None => convolution.clone(),
        }
    }
}

impl Module for Discriminator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (n, convolution) in self.convolutions.iter_mut().enumerate() {
            visitor.module(&format!("convs.{n}"), convolution);
        }
        visitor.module("source", &mut self.source);
        visitor.module("expression", &mut self.expression);
        for (n, norm) in self.norms.iter_mut().enumerate() {
            visitor.buffer(&format!("u{n}"), &mut norm.u);
            visitor.buffer(&format!("v{n}"), &mut norm.v);
        }
    }
}

/// The game of eqs. 6 to 11.
pub struct Sasn {
    config: Config,
    /// The generator.
    pub generator: Player<Generator>,
    /// The discriminator.
    pub discriminator: Player<Discriminator>,
}

impl Sasn {
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
        let adversarial = self.config.adversarial_loss.of_generator(judgement.source.clone());
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
        let made = self.generator.network.forward(x.clone(), &batch.targets);
        let [real, fake] = discriminator.forward(Tensor::cat(vec![x.clone(), made.clone()], 0)).halves();
        let on_real = self.config.adversarial_loss.on_real(real.source.clone());
        let on_fake = self.config.adversarial_loss.on_fake(fake.source.clone());
        let classification = classification(real.expression.clone(), &batch.source.expressions);
        let penalised = self.config.adversarial_loss == AdversarialLoss::WassersteinGp;
        let input_gradient = penalised.then(|| discriminator.input_gradient(mix(x.clone(), made, alpha)));
        let penalty = input_gradient.clone().map(gradient_penalty);
        let mut total =
            on_real.clone() + on_fake.clone() + classification.clone() * self.config.lambda_classification;
        if let Some(penalty) = &penalty {
            total = total + penalty.clone() * self.config.lambda_gradient_penalty;
        }
        DiscriminatorPass { real, fake, on_real, on_fake, classification, input_gradient, penalty, total }
    }

    /// Eq. 11: one step of the generator.
    pub fn update_generator(&mut self, batch: &Batch, learning_rate: f64) -> Losses {
        let network = tracked(&self.generator.network);
        let pass = self.generator_pass(&network, batch);
        let losses = pass.losses();
        self.generator.update(network, pass.total, learning_rate);
        losses
    }

    /// Eq. 10: one power iteration, then one step of the discriminator, with fresh fakes.
    pub fn update_discriminator(&mut self, batch: &Batch, learning_rate: f64, rng: &mut Rng) -> Losses {
        self.discriminator.network.advance();
        let alpha = mixing_weights(&batch.source.images, rng);
        let network = tracked(&self.discriminator.network);
        let pass = self.discriminator_pass(&network, batch, alpha);
        let losses = pass.losses();
        self.discriminator.update(network, pass.total, learning_rate);
        losses
    }
}

impl Game for Sasn {
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses {
        let UpdateRatio { generator, discriminator } = self.config.updates;
        let mut losses;
        if discriminator == 1 {
            losses = self.update_generator(batch, rates.generator);
            if self.generator.updates().is_multiple_of(generator) {
                losses.extend(self.update_discriminator(batch, rates.discriminator, rng));
            }
        } else {
            // StarGAN's order: the generator's update is on the last discriminator update's batch, after it.
            losses = self.update_discriminator(batch, rates.discriminator, rng);
            if self.discriminator.updates().is_multiple_of(discriminator) {
                losses.extend(self.update_generator(batch, rates.generator));
            }
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

    fn diagnostics(&self) -> Losses {
        let gammas = self.generator.network.gammas().enumerate();
        let gammas = gammas.map(|(n, gamma)| (format!("attention{}.gamma", n + 1), gamma.clone()));
        let sigma = self.discriminator.network.largest_sigma();
        gammas.chain(sigma.map(|sigma| ("discriminator.largest_sigma".to_string(), sigma))).collect()
    }
}
