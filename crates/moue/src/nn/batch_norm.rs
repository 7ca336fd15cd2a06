//! Batch norm with running statistics (Ioffe and Szegedy 2015), as PyTorch computes it.

use burn::tensor::{Device, Tensor};
use moue_kernels::instance_norm;

use super::initial::Initial;
use super::module::{Module, Visitor};

/// How much of a batch's statistics the running ones take over.
const MOMENTUM: f32 = 0.1;

/// Added to the variance.
const EPSILON: f32 = 1e-5;

/// Mean and unbiased variance of each channel of a batch, `[channels]` each.
pub type Moments = [Tensor<1>; 2];

/// Whose mean and variance a network normalises by.
pub enum Statistics<'a> {
    /// Those of training: what else is in a batch changes nothing.
    Running,
    /// The batch's own, as in training. They are handed out in the order of the norms, for [`BatchNorm::observe`].
    Batch(&'a mut Vec<Moments>),
    /// Each image's own: those of a batch of one.
    Image,
}

/// Each channel to mean 0 and variance 1, then scaled and shifted.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub weight: Tensor<1>,
    /// Shift, `[channels]`, starts at 0.
    pub bias: Tensor<1>,
    running_mean: Tensor<1>,
    running_var: Tensor<1>,
}

impl BatchNorm {
    /// A scale about 1, running statistics of 0 and 1.
    pub fn new(channels: usize, device: &Device, initial: &mut Initial<'_>) -> Self {
        Self {
            weight: initial.weights([channels], 1.0, device),
            bias: Tensor::zeros([channels], device),
            running_mean: Tensor::zeros([channels], device),
            running_var: Tensor::ones([channels], device),
        }
    }

    /// Normalises `[batch, channels, height, width]`. A batch's own statistics need two values of a channel at least.
    pub fn forward(&self, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        match statistics {
            Statistics::Running => {
                let scale = weight / (self.running_var.clone() + EPSILON).sqrt();
                let shift = bias - self.running_mean.clone() * scale.clone();
                let [scale, shift] = [scale, shift].map(|values| values.reshape([1, channels, 1, 1]));
                x * scale + shift
            }
            Statistics::Image => instance_norm(x, weight, bias, false),
            Statistics::Batch(seen) => {
                // The images of a batch below each other are one image, whose instance norm this is.
                let x = x.swap_dims(0, 1);
                seen.push(moments(x.clone().without_autodiff().reshape([channels, batch * height * width])));
                let y = instance_norm(x.reshape([1, channels, batch * height, width]), weight, bias, false);
                y.reshape([channels, batch, height, width]).swap_dims(0, 1)
            }
        }
    }

    /// Takes a tenth of a batch's statistics over into the running ones.
    pub fn observe(&mut self, [mean, variance]: Moments) {
        let follow = |running: &Tensor<1>, seen| running.clone() * (1.0 - MOMENTUM) + seen * MOMENTUM;
        self.running_mean = follow(&self.running_mean, mean);
        self.running_var = follow(&self.running_var, variance);
    }
}

/// Mean and unbiased variance of each row.
fn moments(rows: Tensor<2>) -> Moments {
    let [channels, count] = rows.dims();
    let mean = rows.clone().mean_dim(1);
    let squares = (rows - mean.clone()).square().sum_dim(1);
    [mean, squares / (count as f32 - 1.0)].map(|column| column.reshape([channels]))
}

impl Module for BatchNorm {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &mut self.weight);
        visitor.parameter("bias", &mut self.bias);
        visitor.buffer("running_mean", &mut self.running_mean);
        visitor.buffer("running_var", &mut self.running_var);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::base::rng::Rng;

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().unwrap()
    }

    /// Four images of two channels of 3 by 2 pixels.
    fn images() -> Tensor<4> {
        let values: Vec<f32> = (0..48).map(|n| (n * n % 23) as f32).collect();
        Tensor::from_data(TensorData::new(values, [4, 2, 3, 2]), &Device::flex())
    }

    #[test]
    fn a_batch_seen_again_and_again_is_normalised_alike_by_the_running_statistics() {
        let mut norm =
            BatchNorm::new(2, &Device::flex(), &mut Initial::Drawn(&mut Rng::stream(1, "norm", 0)));
        let mut own = Vec::new();
        for _ in 0..300 {
            let mut seen = Vec::new();
            own = values(norm.forward(images(), &mut Statistics::Batch(&mut seen)));
            seen.into_iter().for_each(|moments| norm.observe(moments));
        }
        let running = values(norm.forward(images(), &mut Statistics::Running));
        // The running variance is unbiased, the batch's own is not: 24 values of a channel.
        let ratio = (23f32 / 24.0).sqrt();
        for (own, running) in own.into_iter().zip(running) {
            assert!((own * ratio - running).abs() < 1e-4, "{own} {running}");
        }
    }

    #[test]
    fn each_image_by_itself_is_a_batch_of_one() {
        let norm = BatchNorm::new(2, &Device::flex(), &mut Initial::Drawn(&mut Rng::stream(1, "norm", 0)));
        let each = norm.forward(images(), &mut Statistics::Image);
        for n in 0..4 {
            let alone = images().slice_dim(0, n..n + 1);
            let alone = norm.forward(alone, &mut Statistics::Batch(&mut Vec::new()));
            assert_eq!(values(alone), values(each.clone().slice_dim(0, n..n + 1)));
        }
    }
}
