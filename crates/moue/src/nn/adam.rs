//! Adam with saveable moments, as PyTorch computes it.

use burn::tensor::Tensor;
use moue_kernels::AdamStep;
use serde::{Deserialize, Serialize};

use super::module::{Kind, Module, Visitor, for_each, put_parameters, take_parameters};

/// Adam's settings (Kingma and Ba 2015). The learning rate comes with each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamConfig {
    /// Decay of the mean of the gradients.
    pub beta1: f32,
    /// Decay of the mean of their squares.
    pub beta2: f32,
    /// Added to the denominator; PyTorch's 1e-8.
    pub epsilon: f32,
}

impl Default for AdamConfig {
    /// StarGAN's: 0.5, 0.999, 1e-8.
    fn default() -> Self {
        Self { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// The optimiser of one network.
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    moments: Vec<Moments>,
    /// Steps taken.
    pub steps: u64,
}

#[derive(Debug, Clone)]
struct Moments {
    name: String,
    mean: Tensor<1>,
    square: Tensor<1>,
}

impl Adam {
    /// Moments of zero for every parameter of `network`.
    pub fn new<M: Module + Clone>(network: &M, config: AdamConfig) -> Self {
        let mut moments = Vec::new();
        for_each(&mut network.clone(), |name, kind, tensor| {
            if kind == Kind::Parameter {
                let mean = tensor.flat().zeros_like();
                moments.push(Moments { name: name.to_string(), mean: mean.clone(), square: mean });
            }
        });
        Self { config, moments, steps: 0 }
    }

    /// One step on every parameter, `gradients` in the order of [`Module::visit`].
    pub fn step<M: Module>(&mut self, network: &mut M, gradients: Vec<Tensor<1>>, learning_rate: f64) {
        assert_eq!(gradients.len(), self.moments.len(), "one gradient for each parameter");
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon } = self.config;
        let remainder = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        let step = AdamStep {
            rate: (learning_rate / remainder(beta1)) as f32,
            beta1,
            beta2,
            correction: remainder(beta2).sqrt() as f32,
            epsilon,
        };
        let (parameters, shapes) = take_parameters(network);
        let means = self.moments.iter_mut().map(|moments| take(&mut moments.mean)).collect();
        let squares = self.moments.iter_mut().map(|moments| take(&mut moments.square)).collect();
        let [parameters, means, squares] = moue_kernels::adam(parameters, gradients, means, squares, step);
        put_parameters(network, parameters, shapes);
        for ((moments, mean), square) in self.moments.iter_mut().zip(means).zip(squares) {
            (moments.mean, moments.square) = (mean, square);
        }
    }
}

/// Moves a tensor out, so that the step can write in its place.
fn take(tensor: &mut Tensor<1>) -> Tensor<1> {
    super::module::AnyTensor::take(tensor)
}

impl Module for Adam {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for Moments { name, mean, square } in &mut self.moments {
            visitor.buffer(&format!("mean.{name}"), mean);
            visitor.buffer(&format!("square.{name}"), square);
        }
    }
}
