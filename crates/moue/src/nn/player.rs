//! A network that learns: its weights, their moving average and its optimiser.

use burn::tensor::Tensor;
use moue_kernels::moving_average;

use super::adam::{Adam, AdamConfig};
use super::module::{Kind, Module, for_each, gradients, put_parameters, take_parameters};

/// What a checkpoint keeps of a player.
pub trait Saved {
    /// Its parts by name: `weights`, `average` where there is one, `optimiser`.
    fn parts(&mut self) -> Vec<(&'static str, &mut dyn Module)>;
    /// How often it has been updated.
    fn updates(&mut self) -> &mut u64;
}

/// One side of the game.
#[derive(Debug, Clone)]
pub struct Player<M> {
    /// The weights as they are; no gradients are tracked in them.
    pub network: M,
    /// The exponential moving average of the weights, and how much of it stays at each update.
    pub average: Option<(M, f32)>,
    /// Its optimiser, which counts the updates.
    pub optimiser: Adam,
}

impl<M: Module + Clone> Player<M> {
    /// A player that has not learned anything; `average` is the decay of the moving average, if one is kept.
    pub fn new(network: M, adam: AdamConfig, average: Option<f32>) -> Self {
        let optimiser = Adam::new(&network, adam);
        let average = average.map(|decay| (network.clone(), decay));
        Self { network, average, optimiser }
    }

    /// Steps down the gradient of `loss`, which was computed with `tracked`, a [`super::module::tracked`] copy.
    pub fn update(&mut self, mut tracked: M, loss: Tensor<1>, learning_rate: f64) {
        let mut all = loss.backward();
        let gradients = gradients(&mut tracked, &mut all);
        // The copy shares the weights' memory: without it the step writes in place.
        drop((tracked, loss, all));
        self.optimiser.step(&mut self.network, gradients, learning_rate);
        if let Some((average, decay)) = &mut self.average {
            update_average(average, &mut self.network, *decay);
        }
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.optimiser.steps
    }

    /// The moving average where one is kept and wanted, else the weights.
    pub fn weights(&self, averaged: bool) -> &M {
        match &self.average {
            Some((average, _)) if averaged => average,
            _ => &self.network,
        }
    }
}

impl<M: Module + Clone> Saved for Player<M> {
    fn parts(&mut self) -> Vec<(&'static str, &mut dyn Module)> {
        let mut parts: Vec<(&'static str, &mut dyn Module)> = vec![("weights", &mut self.network)];
        if let Some((average, _)) = &mut self.average {
            parts.push(("average", average));
        }
        parts.push(("optimiser", &mut self.optimiser));
        parts
    }

    fn updates(&mut self) -> &mut u64 {
        &mut self.optimiser.steps
    }
}

/// average <- average + (1 - decay) (weights - average); buffers are copied.
fn update_average<M: Module>(average: &mut M, network: &mut M, decay: f32) {
    let (mut parameters, mut buffers) = (Vec::new(), Vec::new());
    for_each(network, |_, kind, tensor| match kind {
        Kind::Parameter => parameters.push(tensor.flat()),
        Kind::Buffer => buffers.push(tensor.flat()),
    });
    let (averages, shapes) = take_parameters(average);
    put_parameters(average, moving_average(averages, parameters, 1.0 - decay), shapes);
    let mut buffers = buffers.into_iter();
    for_each(average, |_, kind, tensor| {
        if kind == Kind::Buffer {
            let shape = tensor.shape();
            tensor.put(buffers.next().expect("both are the same network"), &shape);
        }
    });
}
