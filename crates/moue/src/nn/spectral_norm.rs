//! Spectral normalisation of a convolution (Miyato et al. 2018; the paper's eq. 5).

use burn::tensor::{Device, Tensor, TensorData};
use moue_kernels::{bilinear, matrix_vector, normalised, vector_matrix};

use super::layers::{Convolution, channels};
use crate::base::rng::Rng;

/// Power iterations at construction, as torch.nn.utils.parametrizations does. With a cold u and generator updates
/// before the first of the discriminator, sigma would be near zero or negative and the logits astronomical.
const WARM_UP: usize = 15;

/// The running estimate of a weight's largest singular value: sigma = u^T W v, W as matrix `[out, in * kh * kw]`.
#[derive(Debug, Clone)]
pub struct SpectralNorm {
    /// Left singular vector, `[out]`.
    pub u: Tensor<1>,
    /// Right singular vector, `[in * kh * kw]`.
    pub v: Tensor<1>,
}

impl SpectralNorm {
    /// Starts from a normalised Gaussian u, warmed by 15 power iterations on `weight`.
    pub fn new(weight: &Tensor<4>, device: &Device, rng: &mut Rng) -> Self {
        let [outputs, ..] = weight.dims();
        let columns = weight.shape().num_elements() / outputs;
        let gaussian: Vec<f32> = (0..outputs).map(|_| rng.normal()).collect();
        let u = normalised(Tensor::from_data(TensorData::new(gaussian, [outputs]), device));
        let mut norm = Self { u, v: Tensor::zeros([columns], device) };
        for _ in 0..WARM_UP {
            norm.advance(weight);
        }
        norm
    }

    /// One power iteration: v <- W^T u / |W^T u|, then u <- W v / |W v|.
    pub fn advance(&mut self, weight: &Tensor<4>) {
        let matrix = matrix(weight);
        self.v = normalised(vector_matrix(self.u.clone(), matrix.clone()));
        self.u = normalised(matrix_vector(matrix, self.v.clone()));
    }

    /// `[1]`: u^T W v. Gradients flow to the weight; u and v are constants.
    pub fn sigma(&self, weight: &Tensor<4>) -> Tensor<1> {
        bilinear(self.u.clone(), matrix(weight), self.v.clone())
    }

    /// The convolution with W / sigma. Dividing the output costs less than dividing the weight, whose gradient is the
    /// same; the bias comes after it.
    pub fn convolve(&self, convolution: &Convolution, x: Tensor<4>) -> Tensor<4> {
        let scale = self.factor(convolution).reshape([1, 1, 1, 1]);
        let y = convolution.forward_unbiased(x) * scale;
        match &convolution.bias {
            Some(bias) => y + channels(bias),
            None => y,
        }
    }

    /// `[1]`: 1 / sigma, what normalises the convolution's outputs.
    pub fn factor(&self, convolution: &Convolution) -> Tensor<1> {
        self.sigma(&convolution.weight).recip()
    }
}

fn matrix(weight: &Tensor<4>) -> Tensor<2> {
    weight.clone().flatten(1, 3)
}
