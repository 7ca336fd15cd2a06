//! The discriminator that judges overlapping patches (Isola et al. 2017), with the state-dict names of junyanz's
//! NLayerDiscriminator.

use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor};

use super::batch_norm::{BatchNorm, Moments, Statistics};
use super::initial::Initial;
use super::layers::{Convolution, Geometry, plain_instance_norm};
use super::module::{Module, Visitor};

/// Slope of the leaky ReLU below zero.
const NEGATIVE_SLOPE: f64 = 0.2;

/// What stands between the convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchNorm {
    /// Batch norm; the convolutions before it have no bias.
    Batch,
    /// Instance norm without scale and shift; all convolutions have a bias.
    Instance,
}

/// A convolution and the norm after it.
#[derive(Debug, Clone)]
struct Layer {
    convolution: Convolution,
    norm: Norm,
}

#[derive(Debug, Clone)]
enum Norm {
    Nothing,
    Batch(Box<BatchNorm>),
    Instance,
}

/// Is it real, patch by patch: 4x4 convolutions, of which the first `layers` halve the map and the last two do not.
/// With three of them each output sees 70 x 70 pixels.
#[derive(Debug, Clone)]
pub struct PatchGan {
    layers: Vec<Layer>,
    head: Convolution,
}

impl PatchGan {
    /// For images of `inputs` channels. The first layer has `channels` channels, each further one twice as many, up to
    /// eight times.
    pub fn new(
        [inputs, channels, layers]: [usize; 3],
        norm: PatchNorm,
        device: &Device,
        initial: &mut Initial<'_>,
    ) -> Self {
        let (halving, keeping) = (Geometry::new(4, 2, 1), Geometry::new(4, 1, 1));
        let width = |layer: usize| channels * (1 << layer.min(3));
        let mut convolution =
            |shape, geometry, bias| Convolution::normal(shape, geometry, bias, device, initial);
        let mut convolutions = vec![convolution([inputs, width(0)], halving, true)];
        for layer in 1..=layers {
            let geometry = if layer < layers { halving } else { keeping };
            let bias = norm == PatchNorm::Instance;
            convolutions.push(convolution([width(layer - 1), width(layer)], geometry, bias));
        }
        let head = convolution([width(layers), 1], keeping, true);
        let layers = convolutions.into_iter().enumerate().map(|(layer, convolution)| Layer {
            convolution,
            norm: match norm {
                _ if layer == 0 => Norm::Nothing,
                PatchNorm::Batch => Norm::Batch(Box::new(BatchNorm::new(width(layer), device, initial))),
                PatchNorm::Instance => Norm::Instance,
            },
        });
        Self { layers: layers.collect(), head }
    }

    /// The side of the map of logits for images of `size` pixels, of a discriminator with `layers`; `None` where
    /// nothing is left.
    pub fn map_size(size: usize, layers: usize) -> Option<usize> {
        size.checked_shr(layers as u32).and_then(|size| size.checked_sub(2)).filter(|&size| size > 0)
    }

    /// Logits `[b, 1, h, w]` of `[b, inputs, s, s]`, h = w = s / 2^layers - 2.
    pub fn forward(&self, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let x = self.layers.iter().fold(x, |x, Layer { convolution, norm }| {
            let x = convolution.forward(x);
            let x = match norm {
                Norm::Nothing => x,
                Norm::Batch(norm) => norm.forward(x, statistics),
                Norm::Instance => plain_instance_norm(x, false),
            };
            leaky_relu(x, NEGATIVE_SLOPE)
        });
        self.head.forward(x)
    }

    /// Takes over what the batch norms saw in a forward pass.
    pub fn observe(&mut self, seen: Vec<Moments>) {
        let norms = self.layers.iter_mut().filter_map(|layer| match &mut layer.norm {
            Norm::Batch(norm) => Some(norm),
            _ => None,
        });
        norms.zip(seen).for_each(|(norm, moments)| norm.observe(moments));
    }
}

impl Module for PatchGan {
    /// The reference's `nn.Sequential` counts norms and activations too.
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let mut index = 0;
        for Layer { convolution, norm } in &mut self.layers {
            visitor.module(&format!("model.{index}"), convolution);
            if let Norm::Batch(norm) = norm {
                visitor.module(&format!("model.{}", index + 1), &mut **norm);
            }
            index += if matches!(norm, Norm::Nothing) { 2 } else { 3 };
        }
        visitor.module(&format!("model.{index}"), &mut self.head);
    }
}
