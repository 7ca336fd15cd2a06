//! The initial values of networks that draw them from a normal distribution.

use burn::tensor::{Device, Tensor, TensorData};

use crate::base::rng::Rng;

/// Deviation of all initial weights (Isola et al. 2017, Zhu et al. 2017).
const DEVIATION: f32 = 0.02;

/// Where the values of a network that has not learned anything come from.
pub enum Initial<'a> {
    /// Nowhere: weights that are still to be loaded are 0, since drawing millions that nobody sees takes its time.
    Absent,
    /// Drawn from N(mean, 0.02).
    Drawn(&'a mut Rng),
}

impl Initial<'_> {
    /// Weights about `mean`.
    pub fn weights<const D: usize>(&mut self, shape: [usize; D], mean: f32, device: &Device) -> Tensor<D> {
        match self {
            Self::Absent => Tensor::zeros(shape, device),
            Self::Drawn(rng) => {
                let count = shape.iter().product();
                let values: Vec<f32> = (0..count).map(|_| mean + DEVIATION * rng.normal()).collect();
                Tensor::from_data(TensorData::new(values, shape), device)
            }
        }
    }
}
