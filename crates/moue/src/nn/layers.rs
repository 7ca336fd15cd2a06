//! Convolutions, linear layers and instance norm with PyTorch's names, shapes and initialisation.

use std::fmt;

use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, TensorData};
use moue_kernels::{
    convolution, instance_norm, labelled_convolution, scaled_leaky_relu, transposed_convolution,
};

use super::initial::Initial;
use super::module::{Module, Visitor};
use super::tape::{Report, report};
use crate::base::expression::{Expression, one_hot};
use crate::base::rng::Rng;

/// Kernel size, stride and zero padding of a square convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between outputs (between inputs, for a transposed convolution).
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
}

/// As tables have it: `4x4 /2`, the stride only where it is more than 1.
impl fmt::Display for Geometry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, stride, .. } = self;
        write!(formatter, "{kernel}x{kernel}")?;
        if *stride > 1 { write!(formatter, " /{stride}") } else { Ok(()) }
    }
}

impl Geometry {
    /// A kernel side, stride and padding.
    pub const fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel, stride, padding }
    }
}

/// Convolution, `[batch, in, h, w] -> [batch, out, h', w']`.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// `[out, in, kernel, kernel]`.
    pub weight: Tensor<4>,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    geometry: Geometry,
}

impl Convolution {
    /// PyTorch's default initialisation: weights and biases uniform in +-1/sqrt(fan in).
    pub fn new(
        [inputs, outputs]: [usize; 2],
        geometry: Geometry,
        bias: bool,
        device: &Device,
        rng: &mut Rng,
    ) -> Self {
        let bound = 1.0 / ((inputs * geometry.kernel * geometry.kernel) as f32).sqrt();
        let weight = uniform([outputs, inputs, geometry.kernel, geometry.kernel], bound, device, rng);
        let bias = bias.then(|| uniform([outputs], bound, device, rng));
        Self { weight, bias, geometry }
    }

    /// Weights from a normal distribution, biases of 0.
    pub fn normal(
        [inputs, outputs]: [usize; 2],
        geometry: Geometry,
        bias: bool,
        device: &Device,
        initial: &mut Initial<'_>,
    ) -> Self {
        let weight = initial.weights([outputs, inputs, geometry.kernel, geometry.kernel], 0.0, device);
        Self { weight, bias: bias.then(|| Tensor::zeros([outputs], device)), geometry }
    }

    /// The convolution of `x`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Geometry { stride, padding, .. } = self.geometry;
        self.reported(convolution(x, self.weight.clone(), self.bias.clone(), stride, padding))
    }

    /// The convolution, at stride 1 and without bias, of `x` `[b, c, h, w]` and the one-hot labels of `targets` as constant
    /// planes behind its channels.
    pub fn forward_labelled(&self, x: Tensor<4>, targets: &[Expression]) -> Tensor<4> {
        assert!(
            self.geometry.stride == 1 && self.bias.is_none(),
            "a label is told at stride 1, without bias"
        );
        let labels = one_hot(targets, &x.device().without_autodiff());
        self.reported(labelled_convolution(x, labels, self.weight.clone(), self.geometry.padding))
    }

    /// The convolution without the bias.
    pub fn forward_unbiased(&self, x: Tensor<4>) -> Tensor<4> {
        let Geometry { stride, padding, .. } = self.geometry;
        self.reported(convolution(x, self.weight.clone(), None, stride, padding))
    }

    /// The convolution, of which `scale` `[1]`, if there is one, is taken before the bias, and a leaky ReLU. It must
    /// have a bias.
    pub fn forward_leaky(&self, x: Tensor<4>, scale: Option<Tensor<1>>, negative_slope: f32) -> Tensor<4> {
        let bias = self.bias.clone().expect("the convolution has a bias");
        let scale = scale.unwrap_or_else(|| Tensor::ones([1], &x.device().without_autodiff()));
        scaled_leaky_relu(self.forward_unbiased(x), scale, bias, negative_slope)
    }

    /// Every output is a sum over the kernel and the inputs.
    fn reported(&self, y: Tensor<4>) -> Tensor<4> {
        report(|| {
            let [outputs, ..] = self.weight.dims();
            let terms = self.weight.shape().num_elements() / outputs;
            let products = y.shape().num_elements() * terms;
            Report::of(format!("conv {}", self.geometry), &self.weight, &y, products)
        });
        y
    }

    /// The same convolution with another weight of this one's shape.
    pub fn with_weight(&self, weight: Tensor<4>) -> Self {
        Self { weight, bias: self.bias.clone(), geometry: self.geometry }
    }

    /// The gradient of the outputs, weighted by `gradient`, with respect to the input: a transposed convolution
    /// with the same weights. Exact where the stride loses no border, as for all layers here.
    pub fn input_gradient(&self, gradient: Tensor<4>) -> Tensor<4> {
        let Geometry { stride, padding, .. } = self.geometry;
        transposed_convolution(gradient, self.weight.clone(), stride, padding)
    }
}

impl Module for Convolution {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &mut self.weight);
        if let Some(bias) = &mut self.bias {
            visitor.parameter("bias", bias);
        }
    }
}

/// Transposed convolution, `[batch, in, h, w] -> [batch, out, h', w']`.
#[derive(Debug, Clone)]
pub struct TransposedConvolution {
    /// `[in, out, kernel, kernel]`.
    pub weight: Tensor<4>,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
    geometry: Geometry,
    /// Rows below and columns to the right that the padding does not take away.
    output_padding: usize,
}

impl TransposedConvolution {
    /// Without bias, PyTorch's default initialisation; its fan in counts the *output* channels, as PyTorch's does.
    pub fn new([inputs, outputs]: [usize; 2], geometry: Geometry, device: &Device, rng: &mut Rng) -> Self {
        let bound = 1.0 / ((outputs * geometry.kernel * geometry.kernel) as f32).sqrt();
        let weight = uniform([inputs, outputs, geometry.kernel, geometry.kernel], bound, device, rng);
        Self { weight, bias: None, geometry, output_padding: 0 }
    }

    /// Weights from a normal distribution, biases of 0.
    pub fn normal(
        [inputs, outputs]: [usize; 2],
        geometry: Geometry,
        bias: bool,
        device: &Device,
        initial: &mut Initial<'_>,
    ) -> Self {
        let weight = initial.weights([inputs, outputs, geometry.kernel, geometry.kernel], 0.0, device);
        let bias = bias.then(|| Tensor::zeros([outputs], device));
        Self { weight, bias, geometry, output_padding: 0 }
    }

    /// The same with so many more rows below and columns to the right, at most as many as the padding is wide.
    pub fn with_output_padding(self, output_padding: usize) -> Self {
        assert!(output_padding <= self.geometry.padding, "there is nothing beyond the padding");
        Self { output_padding, ..self }
    }

    /// The transposed convolution of `x`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Geometry { kernel, stride, padding } = self.geometry;
        let [_, inputs, height, width] = x.dims();
        // Every input goes into all that a kernel reaches.
        let products = x.shape().num_elements() * self.weight.shape().num_elements() / inputs;
        let y = match self.output_padding {
            0 => transposed_convolution(x, self.weight.clone(), stride, padding),
            more => {
                let kept = |size: usize| padding..(size - 1) * stride + kernel - padding + more;
                let whole = transposed_convolution(x, self.weight.clone(), stride, 0);
                whole.slice_dim(2, kept(height)).slice_dim(3, kept(width))
            }
        };
        let y = match &self.bias {
            Some(bias) => y + channels(bias),
            None => y,
        };
        report(|| Report::of(format!("transposed conv {}", self.geometry), &self.weight, &y, products));
        y
    }
}

impl Module for TransposedConvolution {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &mut self.weight);
        if let Some(bias) = &mut self.bias {
            visitor.parameter("bias", bias);
        }
    }
}

/// Fully connected layer with bias, `[batch, in] -> [batch, out]`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Tensor<1>,
}

impl Linear {
    /// PyTorch's default initialisation: weights and biases uniform in +-1/sqrt(in).
    pub fn new([inputs, outputs]: [usize; 2], device: &Device, rng: &mut Rng) -> Self {
        let bound = 1.0 / (inputs as f32).sqrt();
        Self {
            weight: uniform([outputs, inputs], bound, device, rng),
            bias: uniform([outputs], bound, device, rng),
        }
    }

    /// `x W^T + b`, as a convolution of maps of one pixel, which reads W once for the batch.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = pixels(self.weight.clone());
        let y = convolution(pixels(x), weight, Some(self.bias.clone()), 1, 0).flatten(1, 3);
        report(|| {
            let products = y.dims()[0] * self.weight.shape().num_elements();
            Report::of("linear", &self.weight, &y, products)
        });
        y
    }

    /// The gradient of the outputs, weighted by `gradient` `[batch, out]`, with respect to the input: `gradient W`.
    pub fn input_gradient(&self, gradient: Tensor<2>) -> Tensor<2> {
        transposed_convolution(pixels(gradient), pixels(self.weight.clone()), 1, 0).flatten(1, 3)
    }
}

/// `[a, b]` as `[a, b, 1, 1]`.
fn pixels(x: Tensor<2>) -> Tensor<4> {
    let [rows, columns] = x.dims();
    x.reshape([rows, columns, 1, 1])
}

impl Module for Linear {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &mut self.weight);
        visitor.parameter("bias", &mut self.bias);
    }
}

/// Instance norm with scale and shift: each channel of each image to mean 0 and variance 1 (biased, eps 1e-5).
/// It always uses the statistics of the image at hand, in training and after it.
#[derive(Debug, Clone)]
pub struct InstanceNorm {
    /// Scale, `[channels]`, starts at 1.
    pub weight: Tensor<1>,
    /// Shift, `[channels]`, starts at 0.
    pub bias: Tensor<1>,
}

impl InstanceNorm {
    /// Scale 1, shift 0.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self { weight: Tensor::ones([channels], device), bias: Tensor::zeros([channels], device) }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalised(x, false)
    }

    /// [`Self::forward`] and a ReLU in one.
    pub fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalised(x, true)
    }

    fn normalised(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        let y = instance_norm(x, self.weight.clone(), self.bias.clone(), relu);
        report(|| Report::of("instance norm", &self.weight, &y, 0));
        y
    }

    /// Scale and shift alone, of planes that are normal already.
    pub fn scaled(&self, normal: Tensor<4>) -> Tensor<4> {
        normal * channels(&self.weight) + channels(&self.bias)
    }

    /// The gradient of [`Self::scaled`], weighted by `gradient`, with respect to the normal planes.
    pub fn scaled_input_gradient(&self, gradient: Tensor<4>) -> Tensor<4> {
        gradient * channels(&self.weight)
    }
}

impl Module for InstanceNorm {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &mut self.weight);
        visitor.parameter("bias", &mut self.bias);
    }
}

/// Instance norm without scale and shift, and then, on `relu`, the positive part.
pub fn plain_instance_norm(x: Tensor<4>, relu: bool) -> Tensor<4> {
    let (channels, device) = (x.dims()[1], x.device().without_autodiff());
    instance_norm(x, Tensor::ones([channels], &device), Tensor::zeros([channels], &device), relu)
}

/// `[b, c, h, w] -> [b, c, h + 2 width, w + 2 width]`: the image goes on as its mirror image, whose axis is the
/// outermost pixel. `width` is smaller than the image.
pub fn reflected(x: Tensor<4>, width: usize) -> Tensor<4> {
    x.pad([(width, width); 2], PadMode::Reflect)
}

/// A value for each channel, `[channels]`, as `[1, channels, 1, 1]`.
pub(super) fn channels(values: &Tensor<1>) -> Tensor<4> {
    values.clone().reshape([1, values.dims()[0], 1, 1])
}

/// Values uniform in +-bound.
pub fn uniform<const D: usize>(shape: [usize; D], bound: f32, device: &Device, rng: &mut Rng) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.between(-bound, bound)).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}
