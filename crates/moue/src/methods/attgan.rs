//! `attgan`: He, Zuo, Kan, Shan and Chen 2019, *AttGAN: Facial Attribute Editing by Only Changing What You Want* (IEEE
//! Transactions on Image Processing 28). Networks and state-dict names of elvisyjlin/AttGAN-PyTorch (be2d6c6); slope,
//! second label and heads of the authors' LynnHo/AttGAN-Tensorflow (f1231fc).
//!
//! An encoder makes a code of the face that knows nothing of its expression, and a decoder makes a face of the code and
//! a label. The way back is not gone: what is compared with the face is its code, decoded with its own label. Equation
//! numbers are the paper's.
//!
//! Deviations:
//! - The attributes are the eight expressions, of which a face shows exactly one. Their losses stay binary, and their mean
//!   is taken as in both codes, where eqs. 8 and 10 sum.
//! - The label is -0.5 or 0.5, as in the paper's experiments and the PyTorch port; the authors' present code has -1 or 1.
//! - The slope below zero is 0.2 everywhere, as in the authors' code. The port has 0.01: so has what is imported from it.
//! - The port leaves out the second label unless told otherwise, and its discriminator takes 13 attributes and 1024
//!   channels whatever was asked for. Here both follow from the settings.
//! - An iteration is a batch is an update, as in both codes: five of the discriminator, then one of the generator, each
//!   on a batch of its own. What is logged of an iteration are therefore the losses of one player alone.
//! - 200 epochs of CelebA's 182,000 training images are 1,137,400 batches of 32, the second half at a tenth of the rate.
//! - Faces are mirrored at random, as in the authors' code, without its other changes of colour and size.

use std::collections::BTreeMap;

use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Game, Rates, Translator};
use crate::base::expression::{Expression, one_hot};
use crate::base::faces::Batch;
use crate::base::rng::Rng;
use crate::nn::adam::AdamConfig;
use crate::nn::batch_norm::{BatchNorm, Moments, Statistics};
use crate::nn::edit::Edit;
use crate::nn::initial::Initial;
use crate::nn::input_gradient::{NormalPlanes, gradient_penalty, mix, mixing_weights, slopes};
use crate::nn::label_planes::with_planes;
use crate::nn::layers::{Convolution, Geometry, InstanceNorm, Linear, TransposedConvolution, uniform};
use crate::nn::losses::{AdversarialLoss, binary_classification, mean_absolute_difference};
use crate::nn::module::{Module, Visitor, tracked};
use crate::nn::passes::{DiscriminatorPass, GeneratorPass, Judgement, Losses};
use crate::nn::player::{Player, Saved};

/// What a label is where the expression is shown; where it is not, the same below zero.
const LABEL: f32 = 0.5;

/// AttGAN's adversarial loss.
const LOSS: AdversarialLoss = AdversarialLoss::WassersteinGp;

/// Every convolution: 4x4, halving or doubling the side.
const HALVING: Geometry = Geometry::new(4, 2, 1);

/// Settings of the method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the images in pixels.
    pub image_size: usize,
    /// C, the channels after the encoder's first layer; each further layer doubles them.
    pub channels: usize,
    /// Layers of the encoder, and of the decoder; 2 at least.
    pub layers: usize,
    /// Whether the decoder is told the label again after its first layer.
    pub second_label: bool,
    /// Slope of the leaky ReLUs below zero.
    pub negative_slope: f32,
    /// Channels after the discriminator's first layer; each further layer doubles them.
    pub discriminator_channels: usize,
    /// Layers of the discriminator before its heads.
    pub discriminator_layers: usize,
    /// Width of the layer inside each of the discriminator's heads.
    pub discriminator_head: usize,
    /// Weight of the classification loss in the generator's.
    pub lambda_generator_classification: f32,
    /// Weight of the classification loss in the discriminator's.
    pub lambda_discriminator_classification: f32,
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
            layers: 5,
            second_label: true,
            negative_slope: 0.2,
            discriminator_channels: 64,
            discriminator_layers: 5,
            discriminator_head: 1024,
            lambda_generator_classification: 10.0,
            lambda_discriminator_classification: 1.0,
            lambda_reconstruction: 100.0,
            lambda_gradient_penalty: 10.0,
            discriminator_updates: 5,
            learning_rates: Rates { generator: 2e-4, discriminator: 2e-4 },
            adam: AdamConfig::default(),
            average_decay: 0.999,
        }
    }

    /// For two CPU cores. Deviates from the paper: 64 px, half the channels, one layer less (the code stays 4 x 4), two
    /// updates of the discriminator for each of the generator.
    pub fn small() -> Self {
        Self {
            image_size: 64,
            channels: 32,
            layers: 4,
            discriminator_channels: 32,
            discriminator_layers: 4,
            discriminator_head: 256,
            discriminator_updates: 2,
            ..Self::paper()
        }
    }

    /// As small as is of use for a trial.
    pub fn smoke() -> Self {
        Self {
            image_size: 32,
            channels: 8,
            layers: 3,
            discriminator_channels: 8,
            discriminator_layers: 3,
            discriminator_head: 32,
            ..Self::small()
        }
    }

    /// The settings of a generator of the PyTorch port, from its state dict's names and shapes.
    ///
    /// # Errors
    /// What keeps it from being one that works here, in words.
    pub fn of_state_dict(shapes: &BTreeMap<&str, &[usize]>, image_size: usize) -> Result<Self, String> {
        let convolution = |name: String| match shapes.get(name.as_str()) {
            Some(&&[first, second, 4, 4]) => Ok([first, second]),
            _ => Err(format!("no generator of AttGAN: it has no {name} of 4 by 4")),
        };
        let [encoder, decoder] = ["enc", "dec"].map(|part| [part, "0.weight"]);
        let layers = (0..).take_while(|&n| shapes.contains_key(&*name(encoder, n))).count();
        let [channels, _] = convolution(name(encoder, 0))?;
        let [code, _] = convolution(name(encoder, layers - 1))?;
        let [inputs, wide] = convolution(name(decoder, 0))?;
        let labels = inputs.saturating_sub(code);
        if labels != Expression::COUNT {
            let known = Expression::COUNT;
            return Err(format!("the generator knows {labels} attributes, not the {known} expressions"));
        }
        let [second, _] = convolution(name(decoder, 1))?;
        let (second_label, negative_slope) = (second > wide + code / 2, 0.01); // the port's slope
        Ok(Self { image_size, channels, layers, second_label, negative_slope, ..Self::paper() })
    }
}

fn name([part, of_layer]: [&str; 2], layer: usize) -> String {
    format!("{part}_layers.{layer}.layers.{of_layer}")
}

/// G: encoder and decoder.
#[derive(Debug, Clone)]
pub struct Generator {
    encoder: Vec<(Convolution, BatchNorm)>,
    decoder: Vec<(TransposedConvolution, BatchNorm)>,
    head: TransposedConvolution,
    second_label: bool,
    negative_slope: f64,
}

/// What the encoder makes of faces. Shapes are for C = 64, five layers, s = 128.
#[derive(Debug, Clone)]
pub struct Encoding {
    /// The code, `[b, 1024, 4, 4]`.
    code: Tensor<4>,
    /// The layer before it, `[b, 512, 8, 8]`, which the decoder's second layer sees too.
    skip: Tensor<4>,
}

impl Generator {
    /// PyTorch's default initialisation.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let (labels, last) = (Expression::COUNT, config.layers - 1);
        let width = |layer: usize| config.channels << layer;
        let encoder = halvings(config.channels, config.layers, device, rng);
        let encoder = encoder.map(|(convolution, width)| (convolution, batch_norm(width, device))).collect();
        // The decoder's layer n gives width(last - n), as many channels as the encoder took at that side.
        let inputs = |layer: usize| match layer {
            0 => width(last) + labels,
            1 => width(last) + width(last - 1) + if config.second_label { labels } else { 0 },
            _ => width(last - layer + 1),
        };
        let mut up = |channels| TransposedConvolution::new(channels, HALVING, device, rng);
        let outputs = |layer: usize| width(last - layer);
        let decoder = (0..last).map(|n| (up([inputs(n), outputs(n)]), batch_norm(outputs(n), device)));
        let decoder = decoder.collect();
        let mut head = up([inputs(last), 3]);
        head.bias = Some(uniform([3], 1.0 / 48f32.sqrt(), device, rng)); // PyTorch: of 3 channels of 4 by 4
        let (second_label, negative_slope) = (config.second_label, f64::from(config.negative_slope));
        Self { encoder, decoder, head, second_label, negative_slope }
    }

    /// `[b, 3, s, s]` in -1..1 and a target for each face -> `[b, 3, s, s]` in -1..1.
    pub fn forward(&self, x: Tensor<4>, targets: &[Expression], norms: &mut Statistics<'_>) -> Tensor<4> {
        let encoding = self.encode(x, norms);
        self.decode(encoding, targets, norms)
    }

    /// `[b, 3, s, s]` in -1..1 -> its encoding.
    pub fn encode(&self, x: Tensor<4>, norms: &mut Statistics<'_>) -> Encoding {
        let mut encoding = Encoding { code: x.clone(), skip: x };
        for (convolution, norm) in &self.encoder {
            let code = norm.forward(convolution.forward(encoding.code.clone()), norms);
            encoding = Encoding { code: leaky_relu(code, self.negative_slope), skip: encoding.code };
        }
        encoding
    }

    /// The face of an encoding with a target for each, `[b, 3, s, s]` in -1..1.
    pub fn decode(&self, from: Encoding, targets: &[Expression], norms: &mut Statistics<'_>) -> Tensor<4> {
        let mut z = with_labels(from.code, targets); // 1032 @ 4
        for (layer, (convolution, norm)) in self.decoder.iter().enumerate() {
            z = relu(norm.forward(convolution.forward(z), norms));
            if layer == 0 {
                z = Tensor::cat(vec![z, from.skip.clone()], 1); // 1536 @ 8
                z = if self.second_label { with_labels(z, targets) } else { z }; // 1544 @ 8
            }
        }
        self.head.forward(z).tanh() // 3 @ 128
    }

    /// Takes over what the batch norms saw: of faces encoded, and then decoded as often as it may be.
    pub fn observe(&mut self, seen: Vec<Moments>) {
        let (encoder, decoder) = (self.encoder.len(), self.decoder.len());
        for (n, moments) in seen.into_iter().enumerate() {
            match n.checked_sub(encoder) {
                None => self.encoder[n].1.observe(moments),
                Some(n) => self.decoder[n % decoder].1.observe(moments),
            }
        }
    }
}

/// So many convolutions that halve the side, each with its width: `channels`, and twice as much each time.
fn halvings(
    channels: usize,
    layers: usize,
    device: &Device,
    rng: &mut Rng,
) -> impl Iterator<Item = (Convolution, usize)> {
    (0..layers).map(move |layer| {
        let (inputs, width) = (if layer == 0 { 3 } else { channels << (layer - 1) }, channels << layer);
        (Convolution::new([inputs, width], HALVING, false, device, rng), width)
    })
}

/// A batch norm as PyTorch makes them: of scale 1.
fn batch_norm(channels: usize, device: &Device) -> BatchNorm {
    let mut norm = BatchNorm::new(channels, device, &mut Initial::Absent);
    norm.weight = Tensor::ones([channels], device);
    norm
}

/// Appends eight constant planes, one for each expression: `[b, c, h, w] -> [b, c + 8, h, w]`.
fn with_labels(z: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
    let labels = one_hot(targets, &z.device().without_autodiff()) * (2.0 * LABEL) - LABEL;
    with_planes(z, labels)
}

impl Module for Generator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (n, (convolution, norm)) in self.encoder.iter_mut().enumerate() {
            visitor.module(&name(["enc", "0"], n), convolution);
            visitor.module(&name(["enc", "1"], n), norm);
        }
        for (n, (convolution, norm)) in self.decoder.iter_mut().enumerate() {
            visitor.module(&name(["dec", "0"], n), convolution);
            visitor.module(&name(["dec", "1"], n), norm);
        }
        visitor.module(&name(["dec", "0"], self.decoder.len()), &mut self.head);
    }
}

impl Translator for Generator {
    fn edit(&self, faces: Tensor<4>, targets: &[Expression]) -> Edit {
        Edit::Painted(self.forward(faces, targets, &mut Statistics::Running))
    }
}

/// D(x): is it real, and which expressions does it show? Two heads on the same convolutions.
#[derive(Debug, Clone)]
pub struct Discriminator {
    convolutions: Vec<(Convolution, InstanceNorm)>,
    source: [Linear; 2],
    expression: [Linear; 2],
    negative_slope: f32,
}

impl Discriminator {
    /// PyTorch's default initialisation.
    pub fn new(config: &Config, device: &Device, rng: &mut Rng) -> Self {
        let (channels, layers) = (config.discriminator_channels, config.discriminator_layers);
        let convolutions = halvings(channels, layers, device, rng);
        let normed = |(convolution, width)| (convolution, InstanceNorm::new(width, device));
        let convolutions = convolutions.map(normed).collect();
        let side = config.image_size >> layers;
        let (features, inner) = ((channels << (layers - 1)) * side * side, config.discriminator_head);
        let mut head = |outputs| {
            [Linear::new([features, inner], device, rng), Linear::new([inner, outputs], device, rng)]
        };
        let (source, expression) = (head(1), head(Expression::COUNT));
        Self { convolutions, source, expression, negative_slope: config.negative_slope }
    }

    /// Judges `[b, 3, s, s]`.
    pub fn forward(&self, x: Tensor<4>) -> Judgement {
        let slope = f64::from(self.negative_slope);
        let layer = |x: Tensor<4>, (convolution, norm): &(Convolution, InstanceNorm)| {
            leaky_relu(norm.forward(convolution.forward(x)), slope)
        };
        let features: Tensor<2> = self.convolutions.iter().fold(x, layer).flatten(1, 3);
        let [source, expression] = [&self.source, &self.expression]
            .map(|[inner, outer]| outer.forward(leaky_relu(inner.forward(features.clone()), slope)));
        let batch = source.dims()[0];
        Judgement { source: source.reshape([batch, 1, 1, 1]), expression }
    }

    /// The gradient of the summed real-or-fake logits with respect to the constant `x`, of its shape: a forward
    /// computation of its own, so that one backward pass gives the penalty's gradient.
    pub fn input_gradient(&self, x: Tensor<4>) -> Tensor<4> {
        let slope = self.negative_slope;
        let (mut activation, mut layers) = (x, Vec::new());
        for (convolution, norm) in &self.convolutions {
            let planes = NormalPlanes::of(convolution.forward(activation));
            let before = norm.scaled(planes.normal.clone());
            let slopes = slopes(before.clone(), slope);
            activation = leaky_relu(before, f64::from(slope));
            layers.push((convolution, norm, planes, slopes));
        }
        let (shape, [inner, outer]) = (activation.dims(), &self.source);
        let slopes = slopes(inner.forward(activation.flatten(1, 3)), slope);
        let mut gradient = inner.input_gradient(slopes * outer.weight.clone()).reshape(shape);
        for (convolution, norm, planes, slopes) in layers.into_iter().rev() {
            let scaled = norm.scaled_input_gradient(gradient * slopes);
            gradient = convolution.input_gradient(planes.input_gradient(scaled));
        }
        gradient
    }
}

impl Module for Discriminator {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (n, (convolution, norm)) in self.convolutions.iter_mut().enumerate() {
            visitor.module(&format!("conv.{n}.layers.0"), convolution);
            visitor.module(&format!("conv.{n}.layers.1"), norm);
        }
        for (name, head) in [("fc_adv", &mut self.source), ("fc_cls", &mut self.expression)] {
            for (n, linear) in head.iter_mut().enumerate() {
                visitor.module(&format!("{name}.{n}.layers.0"), linear);
            }
        }
    }
}

/// The game.
pub struct Attgan {
    config: Config,
    /// The generator.
    pub generator: Player<Generator>,
    /// The discriminator.
    pub discriminator: Player<Discriminator>,
}

impl Attgan {
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

    /// Eq. 14 and its parts (7, 11, 13) for a generator, against the discriminator as it is. What the batch norms see is
    /// added to `seen`.
    pub fn generator_pass(
        &self,
        generator: &Generator,
        batch: &Batch,
        seen: &mut Vec<Moments>,
    ) -> GeneratorPass {
        let (x, norms) = (&batch.source.images, &mut Statistics::Batch(seen));
        let encoding = generator.encode(x.clone(), norms);
        let fake = generator.decode(encoding.clone(), &batch.targets, norms);
        let reconstructed = generator.decode(encoding, &batch.source.expressions, norms);
        let judgement = self.discriminator.network.forward(fake.clone());
        let adversarial = LOSS.of_generator(judgement.source.clone());
        let classification = binary_classification(judgement.expression.clone(), &batch.targets);
        let reconstruction = mean_absolute_difference(x.clone(), reconstructed.clone());
        let total = adversarial.clone()
            + classification.clone() * self.config.lambda_generator_classification
            + reconstruction.clone() * self.config.lambda_reconstruction;
        GeneratorPass { fake, reconstructed, judgement, adversarial, classification, reconstruction, total }
    }

    /// Eq. 15 and its parts (9, 12 and the penalty) for a discriminator, against `fake`, `[b, 3, s, s]`, what the generator
    /// made of the batch. `alpha`, `[b, 1, 1, 1]` in 0..1, says how far from real to fake the penalty looks.
    pub fn discriminator_pass(
        &self,
        discriminator: &Discriminator,
        batch: &Batch,
        fake: Tensor<4>,
        alpha: Tensor<4>,
    ) -> DiscriminatorPass {
        let x = &batch.source.images;
        let input_gradient = discriminator.input_gradient(mix(fake.clone(), x.clone(), alpha));
        let [real, fake] = discriminator.forward(Tensor::cat(vec![x.clone(), fake], 0)).halves();
        let on_real = LOSS.on_real(real.source.clone());
        let on_fake = LOSS.on_fake(fake.source.clone());
        let classification = binary_classification(real.expression.clone(), &batch.source.expressions);
        let penalty = gradient_penalty(input_gradient.clone());
        let total = on_real.clone()
            + on_fake.clone()
            + classification.clone() * self.config.lambda_discriminator_classification
            + penalty.clone() * self.config.lambda_gradient_penalty;
        let (input_gradient, penalty) = (Some(input_gradient), Some(penalty));
        DiscriminatorPass { real, fake, on_real, on_fake, classification, input_gradient, penalty, total }
    }

    /// One step of the generator.
    pub fn update_generator(&mut self, batch: &Batch, learning_rate: f64) -> Losses {
        let (network, mut seen) = (tracked(&self.generator.network), Vec::new());
        let pass = self.generator_pass(&network, batch, &mut seen);
        let losses = pass.losses();
        self.generator.network.observe(seen);
        self.generator.update(network, pass.total, learning_rate);
        losses
    }

    /// What the discriminator learns from: made as in training, so that the generator's running statistics follow.
    pub fn fake(&mut self, batch: &Batch) -> Tensor<4> {
        let (generator, mut seen) = (&mut self.generator.network, Vec::new());
        let x = batch.source.images.clone();
        let fake = generator.forward(x, &batch.targets, &mut Statistics::Batch(&mut seen));
        generator.observe(seen);
        fake
    }

    /// One step of the discriminator.
    pub fn update_discriminator(&mut self, batch: &Batch, learning_rate: f64, rng: &mut Rng) -> Losses {
        let alpha = mixing_weights(&batch.source.images, rng);
        let fake = self.fake(batch);
        let network = tracked(&self.discriminator.network);
        let pass = self.discriminator_pass(&network, batch, fake, alpha);
        let losses = pass.losses();
        self.discriminator.update(network, pass.total, learning_rate);
        losses
    }
}

impl Game for Attgan {
    fn step(&mut self, batch: &Batch, rates: Rates, rng: &mut Rng) -> Losses {
        let due = (self.generator.updates() + 1) * self.config.discriminator_updates;
        if self.discriminator.updates() < due {
            self.update_discriminator(batch, rates.discriminator, rng)
        } else {
            self.update_generator(batch, rates.generator)
        }
    }

    fn players(&mut self) -> Vec<(&'static str, &mut dyn Saved)> {
        vec![("generator", &mut self.generator), ("discriminator", &mut self.discriminator)]
    }

    fn translator(&self, averaged: bool) -> Box<dyn Translator> {
        Box::new(self.generator.weights(averaged).clone())
    }

    fn show(&self, face: Tensor<4>) {
        let norms = &mut Statistics::Running;
        let fake = self.generator.network.forward(face, &[Expression::Neutral], norms);
        self.discriminator.network.forward(fake);
    }
}
