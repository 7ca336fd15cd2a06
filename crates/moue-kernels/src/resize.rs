//! Images and maps at half and at twice their size.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::tensor::{Shape, Slice};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::Operations;

/// The means of 2 x 2 pixels: `[b, c, h, w] -> [b, c, h/2, w/2]`.
///
/// # Panics
/// When height or width is odd.
pub fn halved(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    assert!(height % 2 == 0 && width % 2 == 0, "two rows make one, and two columns");
    Tensor::from_dispatch(Dispatch::halved(x.into_dispatch()))
}

/// Bilinear, `[b, c, h, w] -> [b, c, 2h, 2w]`: a new pixel's centre lies a quarter of an old pixel from the old
/// pixel's (align_corners = false), and the border goes on.
pub fn doubled(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::doubled(x.into_dispatch()))
}

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resize {
    Halve,
    Double,
}

impl Resize {
    fn forward<B: Operations>(self, x: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Halve => B::halved(x),
            Self::Double => B::doubled(x),
        }
    }

    fn gradient<B: Operations>(self, output: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Halve => B::halved_gradient(output),
            Self::Double => B::doubled_gradient(output),
        }
    }
}

impl<B: Operations> Backward<B, 1> for Resize {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let output = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, self.gradient::<B>(output));
        }
    }
}

/// [`halved`] or [`doubled`] as a node of the graph.
pub(crate) fn tracked<B: Operations, C: CheckpointStrategy>(
    resize: Resize,
    x: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    match Backward::<B, 1>::prepare::<C>(resize, [x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((), resize.forward::<B>(x.into_primitive())),
        OpsKind::UnTracked(prepared) => prepared.finish(resize.forward::<B>(x.into_primitive())),
    }
}

/// The operations composed of burn's, an axis at a time.
pub(crate) mod portable {
    use super::*;

    /// `[b, c, h, w]` as `[before, along, after]`, `along` being the axis, height or width.
    fn axis<B: Backend>(x: FloatTensor<B>, axis: usize) -> FloatTensor<B> {
        let dims: [usize; 4] = x.shape().dims();
        let [before, after] = [&dims[..axis], &dims[axis + 1..]].map(|dims| dims.iter().product());
        B::float_reshape(x, Shape::from([before, dims[axis], after]))
    }

    /// What lies along the axis of `[before, along, after]` from `from` to `to`.
    fn part<B: Backend>(x: &FloatTensor<B>, from: usize, to: usize) -> FloatTensor<B> {
        let [before, _, after] = x.shape().dims();
        B::float_slice(x.clone(), &[Slice::from(0..before), Slice::from(from..to), Slice::from(0..after)])
    }

    fn scaled<B: Backend>(x: FloatTensor<B>, factor: f32) -> FloatTensor<B> {
        B::float_mul_scalar(x, factor.into())
    }

    /// `[before, along, after]` twice, `[before, along, 2, after]`.
    fn pairs<B: Backend>(first: FloatTensor<B>, second: FloatTensor<B>) -> FloatTensor<B> {
        let [before, along, after] = first.shape().dims();
        let row = |x| B::float_reshape(x, Shape::from([before, along, 1, after]));
        B::float_cat(vec![row(first), row(second)], 2)
    }

    /// The first and the second of each pair along the axis.
    fn split<B: Backend>(x: FloatTensor<B>) -> [FloatTensor<B>; 2] {
        let [before, along, after] = x.shape().dims();
        let x = B::float_reshape(x, Shape::from([before * along / 2, 2, after]));
        [0, 1].map(|n| B::float_reshape(part::<B>(&x, n, n + 1), Shape::from([before, along / 2, after])))
    }

    /// `x` of which the axis has another length now.
    fn back<B: Backend>(
        x: FloatTensor<B>,
        mut shape: [usize; 4],
        axis: usize,
        length: usize,
    ) -> FloatTensor<B> {
        shape[axis] = length;
        B::float_reshape(x, Shape::from(shape))
    }

    pub(crate) fn doubled<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        [2, 3].into_iter().fold(x, |x, n| {
            let shape: [usize; 4] = x.shape().dims();
            let (size, x) = (shape[n], axis::<B>(x, n));
            let before = B::float_cat(vec![part::<B>(&x, 0, 1), part::<B>(&x, 0, size - 1)], 1);
            let after = B::float_cat(vec![part::<B>(&x, 1, size), part::<B>(&x, size - 1, size)], 1);
            let near = scaled::<B>(x, 0.75);
            let first = B::float_add(scaled::<B>(before, 0.25), near.clone());
            let second = B::float_add(near, scaled::<B>(after, 0.25));
            back::<B>(pairs::<B>(first, second), shape, n, 2 * size)
        })
    }

    pub(crate) fn doubled_gradient<B: Backend>(output: FloatTensor<B>) -> FloatTensor<B> {
        [3, 2].into_iter().fold(output, |output, n| {
            let shape: [usize; 4] = output.shape().dims();
            let (size, [first, second]) = (shape[n] / 2, split::<B>(axis::<B>(output, n)));
            let next = B::float_cat(vec![part::<B>(&first, 1, size), part::<B>(&second, size - 1, size)], 1);
            let last = B::float_cat(vec![part::<B>(&first, 0, 1), part::<B>(&second, 0, size - 1)], 1);
            let near = scaled::<B>(B::float_add(first, second), 0.75);
            let far = scaled::<B>(B::float_add(next, last), 0.25);
            back::<B>(B::float_add(near, far), shape, n, size)
        })
    }

    pub(crate) fn halved<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        [3, 2].into_iter().fold(x, |x, n| {
            let shape: [usize; 4] = x.shape().dims();
            let [first, second] = split::<B>(axis::<B>(x, n));
            back::<B>(scaled::<B>(B::float_add(first, second), 0.5), shape, n, shape[n] / 2)
        })
    }

    pub(crate) fn halved_gradient<B: Backend>(output: FloatTensor<B>) -> FloatTensor<B> {
        [2, 3].into_iter().fold(output, |output, n| {
            let shape: [usize; 4] = output.shape().dims();
            let half = scaled::<B>(axis::<B>(output, n), 0.5);
            back::<B>(pairs::<B>(half.clone(), half), shape, n, 2 * shape[n])
        })
    }
}

/// The operations on burn's CPU backend, a plane at a time.
pub(crate) mod fast {
    use std::mem::MaybeUninit;

    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::*;
    use crate::flex::{tensor, values};
    use crate::matrix::{TASK, written};
    use crate::vectors::{Machine, Work, vectorised};

    /// One plane of `[height, width]` into another. Every element of `y` is written.
    type Rows = fn(Plane<'_>);

    struct Plane<'a> {
        x: &'a [f32],
        y: &'a mut [MaybeUninit<f32>],
        /// Of `x`.
        width: usize,
        rows: Rows,
    }

    impl Work for Plane<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            (self.rows)(self);
        }
    }

    /// `rows` of every plane of `x`, which has `height` and `width` afterwards.
    fn planes(x: FlexTensor, [height, width]: [usize; 2], rows: Rows) -> FlexTensor {
        let [batch, channels, old_height, old_width] = x.shape().dims();
        let x = x.to_contiguous();
        let (x, old, new) = (values(&x), old_height * old_width, height * width);
        let fill = |y: &mut [MaybeUninit<f32>]| {
            let planes = y.par_chunks_exact_mut(new).zip(x.par_chunks_exact(old));
            planes.with_min_len((TASK / new.max(old)).max(1)).for_each(|(y, x)| {
                vectorised(Plane { x, y, width: old_width, rows });
            });
        };
        // SAFETY: the planes cover the whole output, and each is written whole.
        let numbers = unsafe { written(batch * channels * new, fill) };
        tensor(numbers, Shape::from([batch, channels, height, width]))
    }

    pub(crate) fn halved(x: FlexTensor) -> FlexTensor {
        let [_, _, height, width] = x.shape().dims();
        planes(x, [height / 2, width / 2], |Plane { x, y, width, .. }| {
            for (y, rows) in y.chunks_exact_mut(width / 2).zip(x.chunks_exact(2 * width)) {
                let (upper, lower) = rows.split_at(width);
                let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                for (y, ([a, b], [c, d])) in y.iter_mut().zip(pairs) {
                    y.write(((a + b) * 0.5 + (c + d) * 0.5) * 0.5);
                }
            }
        })
    }

    pub(crate) fn halved_gradient(output: FlexTensor) -> FlexTensor {
        let [_, _, height, width] = output.shape().dims();
        planes(output, [2 * height, 2 * width], |Plane { x, y, width, .. }| {
            for (rows, x) in y.chunks_exact_mut(4 * width).zip(x.chunks_exact(width)) {
                let (upper, lower) = rows.split_at_mut(2 * width);
                for row in [upper, lower] {
                    for (pair, x) in row.as_chunks_mut::<2>().0.iter_mut().zip(x) {
                        *pair = [MaybeUninit::new(x * 0.25); 2];
                    }
                }
            }
        })
    }

    /// Repeats the first and the last of the numbers that lie between them.
    fn go_on(padded: &mut [f32]) {
        let last = padded.len() - 1;
        padded[0] = padded[1];
        padded[last] = padded[last - 1];
    }

    pub(crate) fn doubled(x: FlexTensor) -> FlexTensor {
        let [_, _, height, width] = x.shape().dims();
        planes(x, [2 * height, 2 * width], |Plane { x, y, width, .. }| {
            let mut padded = vec![0.0; width + 2];
            let row = |n: usize| &x[n * width..][..width];
            let last = x.len() / width - 1;
            for (n, y) in y.chunks_exact_mut(2 * width).enumerate() {
                let (near, far) =
                    (n / 2, if n % 2 == 0 { (n / 2).max(1) - 1 } else { (n / 2 + 1).min(last) });
                for (mixed, (near, far)) in padded[1..].iter_mut().zip(row(near).iter().zip(row(far))) {
                    *mixed = far * 0.25 + near * 0.75;
                }
                go_on(&mut padded);
                for (pair, around) in y.as_chunks_mut::<2>().0.iter_mut().zip(padded.array_windows()) {
                    let [before, near, after] = *around;
                    let near = near * 0.75;
                    *pair = [before * 0.25 + near, near + after * 0.25].map(MaybeUninit::new);
                }
            }
        })
    }

    pub(crate) fn doubled_gradient(output: FlexTensor) -> FlexTensor {
        let [_, _, height, width] = output.shape().dims();
        planes(output, [height / 2, width / 2], |Plane { x, y, width, .. }| {
            let mut padded = vec![0.0; width + 2];
            let row = |n: usize| &x[n * width..][..width];
            let last = x.len() / width - 1;
            for (n, y) in y.chunks_exact_mut(width / 2).enumerate() {
                let near = row(2 * n).iter().zip(row(2 * n + 1));
                let far = row((2 * n).max(1) - 1).iter().zip(row((2 * n + 2).min(last)));
                for (mixed, ((a, b), (c, d))) in padded[1..].iter_mut().zip(near.zip(far)) {
                    *mixed = (a + b) * 0.75 + (c + d) * 0.25;
                }
                go_on(&mut padded);
                for (n, y) in y.iter_mut().enumerate() {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|k| padded[2 * n + k]);
                    y.write((b + c) * 0.75 + (a + d) * 0.25);
                }
            }
        })
    }
}
