//! Operations that moue adds to burn's: each with its own forward and backward where burn's composition of
//! smaller operations would need far more memory or time.
//!
//! | operation | why |
//! |---|---|
//! | [`attention`] | the map of positions by positions is never held whole, in training neither |
//! | [`convolution`], [`transposed_convolution`] | a weight is read once for the batch, not once for each image |
//! | [`labelled_convolution`] | a label's constant planes are not made, and not convolved |
//! | [`grid_sample`] | burn's has no backward pass of its own |
//! | [`instance_norm`] | two passes over each plane, with the ReLU after it |
//! | [`halved`], [`doubled`] | one pass over an image or a map instead of one for each slice, sum and piece |
//! | [`logistic`], [`blend`] | what an edit is made of in one pass each, with an exponential for vectors |
//! | [`scaled_leaky_relu`] | one pass over the output of a discriminator's convolution instead of five |
//! | [`max_pooling`], [`mean_pooling`], [`depthwise`] | whole rows at once |
//! | [`mean_absolute`], [`mean_between_neighbours`] | what losses are made of, without the maps in between |
//! | [`matrix_vector`], [`vector_matrix`], [`bilinear`], [`normalised`] | a large matrix is read once, by all threads |
//! | [`adam`], [`moving_average`] | one pass over all of a network's parameters, gradients and moments instead of ten, one over their averages |
//!
//! Every operation has a portable body made of burn's operations, and may have a faster one for the CPU (burn's flex
//! backend) and one for GPUs (its CubeCL backends).

mod adam;
mod attention;
mod attention_flex;
mod attention_tiles;
mod autodiff;
mod blend;
mod columns;
mod convolution;
mod convolution_flex;
mod depthwise;
mod exact;
mod flex;
#[cfg(feature = "gpu")]
mod gpu;
mod grid_sample;
mod grid_sample_flex;
mod instance_norm;
mod instance_norm_flex;
mod labelled;
mod labelled_flex;
mod lanes;
mod leaky_relu;
mod logistic;
mod lowering;
mod matrix;
mod means;
#[cfg(feature = "mimalloc")]
mod memory;
mod panels;
mod pooling;
#[cfg(test)]
mod portable_tests;
mod products;
mod resize;
mod tensors;
pub mod vectors;
mod winograd;

pub use adam::{AdamStep, adam, moving_average};
pub use attention::{TILE_BYTES, attention};
pub use blend::blend;
pub use convolution::{Step, convolution, transposed_convolution};
pub use depthwise::{Depthwise, depthwise};
pub use exact::{compute_exactly, computes_exactly};
pub use grid_sample::grid_sample;
pub use instance_norm::instance_norm;
pub use labelled::labelled_convolution;
pub use leaky_relu::scaled_leaky_relu;
pub use logistic::{Logistic, logistic};
pub use means::{Apart, mean_absolute, mean_between_neighbours, weighted_mean_absolute};
#[cfg(feature = "mimalloc")]
pub use memory::keep_freed_memory;
pub use pooling::{Pooling, max_pooling, mean_pooling};
pub use products::{bilinear, matrix_vector, normalised, vector_matrix};
pub use resize::{doubled, halved};
pub use tensors::Tensors;

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};

use self::attention::portable::Tiling;

/// The operations as burn dispatches them. Users call the functions above.
#[backend_extension(Flex, Cube: cfg(feature = "gpu"), Autodiff)]
pub trait Operations: Backend {
    /// See [`attention`].
    fn position_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::position_attention_forward(query, key, value).0
    }

    /// [`attention`], and what its backward pass needs to make each row of the map again, `[batch, 2, positions]`: the
    /// largest score, and 1 / the sum of the exponentials of the scores less that.
    fn position_attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::portable::forward::<Self>(query, key, value, Tiling::default())
    }

    /// The gradients of [`attention`] by query, key and value; `attended` is what it gave and `output` the gradient
    /// by that.
    fn position_attention_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        attended: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let inputs = [query, key, value];
        attention::portable::backward::<Self>(inputs, attended, statistics, output, Tiling::default())
    }

    /// See [`adam`].
    fn adam(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] means: Tensors<Self>,
        #[extension_type] squares: Tensors<Self>,
        step: AdamStep,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        adam::portable::<Self>(parameters, gradients, means, squares, step)
    }

    /// See [`moving_average`].
    fn moving_average(
        #[extension_type] averages: Tensors<Self>,
        #[extension_type] parameters: Tensors<Self>,
        share: f32,
    ) -> Tensors<Self> {
        adam::portable_moving_average::<Self>(averages, parameters, share)
    }

    /// See [`convolution`]; without bias.
    fn convolution(x: FloatTensor<Self>, weight: FloatTensor<Self>, step: Step) -> FloatTensor<Self> {
        convolution::portable::convolution::<Self>(x, weight, step)
    }

    /// See [`convolution`].
    fn biased_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::portable::biased_convolution::<Self>(x, weight, bias, step)
    }

    /// The gradient of [`convolution`] by its input.
    fn convolution_x_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::portable::convolution_x_gradient::<Self>(x, weight, output, step)
    }

    /// The gradient of [`convolution`] by its weight.
    fn convolution_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::portable::convolution_weight_gradient::<Self>(x, weight, output, step)
    }

    /// The sum of each channel of `[batch, channels, h, w]`: the gradient of a bias.
    fn channel_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        convolution::portable::channel_sums::<Self>(x)
    }

    /// See [`transposed_convolution`].
    fn transposed_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::portable::transposed_convolution::<Self>(x, weight, step)
    }

    /// The gradient of [`transposed_convolution`] by its input.
    fn transposed_convolution_x_gradient(
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::portable::transposed_convolution_x_gradient::<Self>(weight, output, step)
    }

    /// The gradient of [`transposed_convolution`] by its weight.
    fn transposed_convolution_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        step: Step,
    ) -> FloatTensor<Self> {
        convolution::portable::transposed_convolution_weight_gradient::<Self>(x, weight, output, step)
    }

    /// See [`labelled_convolution`].
    fn labelled_convolution(
        x: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        Self::labelled_convolution_forward(x, labels, weight, padding).0
    }

    /// [`labelled_convolution`], and the input as its gradients want it.
    fn labelled_convolution_forward(
        x: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        padding: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        labelled::portable::forward::<Self>(x, labels, weight, padding)
    }

    /// The gradient of [`labelled_convolution`] by the image.
    fn labelled_convolution_x_gradient(
        input: FloatTensor<Self>,
        labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        labelled::portable::x_gradient::<Self>(input, labels, weight, output, padding)
    }

    /// The gradient of [`labelled_convolution`] by its weight.
    fn labelled_convolution_weight_gradient(
        input: FloatTensor<Self>,
        _labels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output: FloatTensor<Self>,
        padding: usize,
    ) -> FloatTensor<Self> {
        labelled::portable::weight_gradient::<Self>(input, weight, output, padding)
    }

    /// See [`grid_sample`].
    fn grid_sample(x: FloatTensor<Self>, flow: FloatTensor<Self>) -> FloatTensor<Self> {
        grid_sample::portable::forward::<Self>(x, flow)
    }

    /// The gradient of [`grid_sample`] by the image.
    fn grid_sample_x_gradient(flow: FloatTensor<Self>, output: FloatTensor<Self>) -> FloatTensor<Self> {
        grid_sample::portable::x_gradient::<Self>(flow, output)
    }

    /// The gradient of [`grid_sample`] by the flow.
    fn grid_sample_flow_gradient(
        x: FloatTensor<Self>,
        flow: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        grid_sample::portable::flow_gradient::<Self>(x, flow, output)
    }

    /// See [`instance_norm`].
    fn instance_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        Self::instance_norm_forward(x, weight, bias, relu).0
    }

    /// [`instance_norm`], the means and the inverse deviations `[batch, channels]`.
    fn instance_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        instance_norm::portable::forward::<Self>(x, weight, bias, relu)
    }

    /// The gradients of [`instance_norm`] by input, scale and shift.
    fn instance_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        inverse: FloatTensor<Self>,
        output: FloatTensor<Self>,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        instance_norm::portable::backward::<Self>(x, [weight, bias], [mean, inverse], output, relu)
    }

    /// See [`scaled_leaky_relu`].
    fn scaled_leaky_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self> {
        leaky_relu::portable::forward::<Self>(x, scale, bias, slope)
    }

    /// The gradients of [`scaled_leaky_relu`] by input, scale and bias; `y` is what it gave and `output` the gradient
    /// by that.
    fn scaled_leaky_relu_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        output: FloatTensor<Self>,
        slope: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        leaky_relu::portable::backward::<Self>(x, scale, y, output, slope)
    }

    /// See [`halved`].
    fn halved(x: FloatTensor<Self>) -> FloatTensor<Self> {
        resize::portable::halved::<Self>(x)
    }

    /// The gradient of [`halved`] by its input.
    fn halved_gradient(output: FloatTensor<Self>) -> FloatTensor<Self> {
        resize::portable::halved_gradient::<Self>(output)
    }

    /// See [`doubled`].
    fn doubled(x: FloatTensor<Self>) -> FloatTensor<Self> {
        resize::portable::doubled::<Self>(x)
    }

    /// The gradient of [`doubled`] by its input.
    fn doubled_gradient(output: FloatTensor<Self>) -> FloatTensor<Self> {
        resize::portable::doubled_gradient::<Self>(output)
    }

    /// See [`logistic`].
    fn logistic(x: FloatTensor<Self>, function: Logistic) -> FloatTensor<Self> {
        logistic::portable::forward::<Self>(x, function)
    }

    /// The gradient of [`logistic`] by its input; `y` is what it gave.
    fn logistic_gradient(
        y: FloatTensor<Self>,
        output: FloatTensor<Self>,
        function: Logistic,
    ) -> FloatTensor<Self> {
        logistic::portable::gradient::<Self>(y, output, function)
    }

    /// See [`blend`].
    fn blend(
        below: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        above: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        blend::portable::forward::<Self>(below, mask, above)
    }

    /// The gradients of [`blend`] by what is below, the mask, and what is above.
    fn blend_backward(
        below: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        above: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        blend::portable::backward::<Self>(below, mask, above, output)
    }

    /// See [`depthwise`].
    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, places: Depthwise) -> FloatTensor<Self> {
        depthwise::portable::forward::<Self>(x, weight, places)
    }

    /// See [`max_pooling`].
    fn max_pooling(x: FloatTensor<Self>, pooling: Pooling) -> FloatTensor<Self> {
        pooling::portable::max::<Self>(x, pooling)
    }

    /// See [`mean_pooling`].
    fn mean_pooling(x: FloatTensor<Self>, pooling: Pooling) -> FloatTensor<Self> {
        pooling::portable::mean::<Self>(x, pooling)
    }

    /// See [`mean_absolute`].
    fn mean_absolute(x: FloatTensor<Self>) -> FloatTensor<Self> {
        means::portable::mean_absolute::<Self>(x, None)
    }

    /// The gradient of [`mean_absolute`] by its input.
    fn mean_absolute_gradient(x: FloatTensor<Self>, output: FloatTensor<Self>) -> FloatTensor<Self> {
        means::portable::mean_absolute_gradient::<Self>(x, None, output)
    }

    /// See [`weighted_mean_absolute`].
    fn weighted_mean_absolute(x: FloatTensor<Self>, weights: FloatTensor<Self>) -> FloatTensor<Self> {
        means::portable::mean_absolute::<Self>(x, Some(weights))
    }

    /// The gradient of [`weighted_mean_absolute`] by its input.
    fn weighted_mean_absolute_gradient(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        means::portable::mean_absolute_gradient::<Self>(x, Some(weights), output)
    }

    /// See [`mean_between_neighbours`].
    fn mean_between_neighbours(x: FloatTensor<Self>, apart: Apart) -> FloatTensor<Self> {
        means::portable::mean_between_neighbours::<Self>(x, apart)
    }

    /// The gradient of [`mean_between_neighbours`] by its input.
    fn mean_between_neighbours_gradient(
        x: FloatTensor<Self>,
        output: FloatTensor<Self>,
        apart: Apart,
    ) -> FloatTensor<Self> {
        means::portable::mean_between_neighbours_gradient::<Self>(x, output, apart)
    }

    /// See [`matrix_vector`].
    fn matrix_vector(matrix: FloatTensor<Self>, vector: FloatTensor<Self>) -> FloatTensor<Self> {
        products::portable::matrix_vector::<Self>(matrix, vector)
    }

    /// See [`vector_matrix`].
    fn vector_matrix(vector: FloatTensor<Self>, matrix: FloatTensor<Self>) -> FloatTensor<Self> {
        products::portable::vector_matrix::<Self>(vector, matrix)
    }

    /// See [`bilinear`].
    fn bilinear(
        left: FloatTensor<Self>,
        matrix: FloatTensor<Self>,
        right: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        products::portable::bilinear::<Self>(left, matrix, right)
    }

    /// See [`normalised`].
    fn normalised(vector: FloatTensor<Self>) -> FloatTensor<Self> {
        products::portable::normalised::<Self>(vector)
    }

    /// `scale left_i right_j`, `scale` `[1]`: the gradient of [`bilinear`].
    fn outer_product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        products::portable::outer_product::<Self>(left, right, scale)
    }
}
