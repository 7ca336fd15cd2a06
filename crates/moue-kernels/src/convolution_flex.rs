//! The convolutions on burn's CPU backend.

use burn::backend::TensorMetadata;
use burn::tensor::Shape;
use burn_flex::FlexTensor;

use crate::columns::Shapes;
use crate::convolution::Step;
use crate::flex::{tensor, values};
use crate::lowering::{self, add_bias, gather, scatter, turned, weights};
use crate::winograd;

/// What a convolution of `x` by `weight` looks like.
fn shapes(x: &FlexTensor, weight: &FlexTensor, step: Step) -> Shapes {
    let [samples, inner, height, width] = x.shape().dims();
    let [outer, inputs, kernel_height, kernel_width] = weight.shape().dims();
    assert_eq!(inner, inputs, "the image has as many channels as the kernel takes");
    let (image, kernel) = ([height, width], [kernel_height, kernel_width]);
    let map = [0, 1].map(|side| {
        let room = (image[side] + 2 * step.padding).checked_sub(kernel[side]);
        room.expect("the kernel is not larger than the padded image") / step.stride + 1
    });
    Shapes { samples, inner, outer, image, map, kernel, stride: step.stride, padding: [step.padding; 2] }
}

/// What a transposed convolution of `x` by `weight` looks like: the convolution that it transposes.
fn transposed_shapes(x: Shape, weight: &FlexTensor, step: Step) -> Shapes {
    let [samples, outer, rows, columns] = x.dims();
    let [inputs, inner, kernel_height, kernel_width] = weight.shape().dims();
    assert_eq!(outer, inputs, "the image has as many channels as the kernel takes");
    let (map, kernel) = ([rows, columns], [kernel_height, kernel_width]);
    let image = [0, 1].map(|side| {
        let full = (map[side] - 1) * step.stride + kernel[side];
        full.checked_sub(2 * step.padding)
            .filter(|&size| size > 0)
            .expect("an image remains within the padding")
    });
    Shapes { samples, inner, outer, image, map, kernel, stride: step.stride, padding: [step.padding; 2] }
}

/// At stride 1 a convolution is also the transpose of one with its kernel turned. Where it has far fewer outputs
/// than inputs, that one's columns are far fewer.
fn turn(shapes: &Shapes) -> Option<Shapes> {
    let [height, width] = shapes.kernel;
    let [vertical, horizontal] = shapes.padding;
    let turns = shapes.stride == 1 && height * width > 1 && vertical < height && horizontal < width;
    (turns && 2 * shapes.outer <= shapes.inner && winograd::plan(shapes).is_none()).then(|| Shapes {
        inner: shapes.outer,
        outer: shapes.inner,
        image: shapes.map,
        map: shapes.image,
        padding: [height - 1 - vertical, width - 1 - horizontal],
        ..*shapes
    })
}

fn turned_weight(shapes: &Shapes, weight: &[f32]) -> Vec<f32> {
    turned(weight, [shapes.outer, shapes.inner], shapes.kernel[0] * shapes.kernel[1])
}

fn image_shape(shapes: &Shapes) -> Shape {
    Shape::from([shapes.samples, shapes.inner, shapes.image[0], shapes.image[1]])
}

fn map_shape(shapes: &Shapes) -> Shape {
    Shape::from([shapes.samples, shapes.outer, shapes.map[0], shapes.map[1]])
}

pub(crate) fn convolution(x: FlexTensor, weight: FlexTensor, step: Step) -> FlexTensor {
    let shapes = shapes(&x, &weight, step);
    tensor(forward(&shapes, x, weight), map_shape(&shapes))
}

pub(crate) fn biased_convolution(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    step: Step,
) -> FlexTensor {
    let shapes = shapes(&x, &weight, step);
    let mut map = forward(&shapes, x, weight);
    add_bias(&mut map, values(&bias.to_contiguous()), shapes.positions());
    tensor(map, map_shape(&shapes))
}

fn forward(shapes: &Shapes, x: FlexTensor, weight: FlexTensor) -> Vec<f32> {
    let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
    let (x, weight) = (values(&x), values(&weight));
    match turn(shapes) {
        Some(turn) => scatter(&turn, x, &turned_weight(shapes, weight)),
        None => gather(shapes, x, weight),
    }
}

pub(crate) fn convolution_x_gradient(
    x: FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
    step: Step,
) -> FlexTensor {
    let shapes = shapes(&x, &weight, step);
    let [weight, output] = [weight, output].map(|tensor| tensor.to_contiguous());
    let (weight, output) = (values(&weight), values(&output));
    let image = match turn(&shapes) {
        Some(turn) => gather(&turn, output, &turned_weight(&shapes, weight)),
        None => scatter(&shapes, output, weight),
    };
    tensor(image, image_shape(&shapes))
}

pub(crate) fn convolution_weight_gradient(
    x: FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
    step: Step,
) -> FlexTensor {
    let shapes = shapes(&x, &weight, step);
    let [x, output] = [x, output].map(|tensor| tensor.to_contiguous());
    let (x, output) = (values(&x), values(&output));
    let gradient = match turn(&shapes) {
        Some(turn) => turned_weight(&turn, &weights(&turn, x, output)),
        None => weights(&shapes, output, x),
    };
    tensor(gradient, weight.shape())
}

pub(crate) fn transposed_convolution(x: FlexTensor, weight: FlexTensor, step: Step) -> FlexTensor {
    let shapes = transposed_shapes(x.shape(), &weight, step);
    let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
    tensor(scatter(&shapes, values(&x), values(&weight)), image_shape(&shapes))
}

pub(crate) fn transposed_convolution_x_gradient(
    weight: FlexTensor,
    output: FlexTensor,
    step: Step,
) -> FlexTensor {
    let shapes = shapes(&output, &weight, step);
    let [weight, output] = [weight, output].map(|tensor| tensor.to_contiguous());
    tensor(gather(&shapes, values(&output), values(&weight)), map_shape(&shapes))
}

pub(crate) fn transposed_convolution_weight_gradient(
    x: FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
    step: Step,
) -> FlexTensor {
    let shapes = transposed_shapes(x.shape(), &weight, step);
    let [x, output] = [x, output].map(|tensor| tensor.to_contiguous());
    tensor(weights(&shapes, values(&x), values(&output)), weight.shape())
}

/// The sum of each channel.
pub(crate) fn channel_sums(x: FlexTensor) -> FlexTensor {
    let [_, channels, height, width] = x.shape().dims();
    tensor(
        lowering::channel_sums(values(&x.to_contiguous()), channels, height * width),
        Shape::from([channels]),
    )
}
