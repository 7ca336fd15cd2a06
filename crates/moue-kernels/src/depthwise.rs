//! Convolutions of each channel by itself, for networks that are only asked, not trained: burn's took a third of the time
//! of finding a face.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn::tensor::ops::ConvOptions;

use crate::Operations;

/// Where the squares lie that a convolution of each channel by itself looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depthwise {
    /// From one square to the next.
    pub stride: usize,
    /// Rows and columns of zeros before the map and after it.
    pub padding: [usize; 2],
}

impl Depthwise {
    /// Squares of `size` along a side of the map.
    fn count(self, side: usize, size: usize) -> usize {
        let room = (side + self.padding[0] + self.padding[1]).checked_sub(size);
        room.expect("a square is not larger than the padded map") / self.stride + 1
    }
}

/// Convolves each channel of `x`, `[batch, channels, h, w]`, with its own square of `weight`, `[channels, 1, size, size]`.
pub fn depthwise(x: Tensor<4>, weight: Tensor<4>, places: Depthwise) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::depthwise(x.into_dispatch(), weight.into_dispatch(), places))
}

/// The operation as burn has it.
pub(crate) mod portable {
    use burn::backend::TensorMetadata;

    use super::*;

    pub(crate) fn forward<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        Depthwise { stride, padding }: Depthwise,
    ) -> FloatTensor<B> {
        let channels = x.shape()[1];
        let padded = [2, 3].into_iter().fold(x, |x, axis| {
            let zeros = |count: usize| {
                let mut shape = x.shape();
                shape[axis] = count;
                (count > 0).then(|| B::float_zeros(shape, &x.device(), x.dtype().into()))
            };
            let [before, after] = padding.map(zeros);
            B::float_cat(before.into_iter().chain([x]).chain(after).collect(), axis)
        });
        B::conv2d(padded, weight, None, ConvOptions::new([stride; 2], [0; 2], [1; 2], channels))
    }
}

/// The operation on burn's CPU backend. Each output adds its products in the order of rows, then columns.
pub(crate) mod fast {
    use burn::backend::TensorMetadata;
    use burn::tensor::Shape;
    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::*;
    use crate::columns::read_every;
    use crate::flex::{tensor, values};
    use crate::matrix::TASK;
    use crate::panels::{ZERO, add_product};
    use crate::vectors::{LANES, Machine, Work, vectorised};

    pub(crate) fn forward(x: FlexTensor, weight: FlexTensor, places: Depthwise) -> FlexTensor {
        let [batch, channels, height, width] = x.shape().dims();
        let [_, _, size, _] = weight.shape().dims::<4>();
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let [rows, columns] = [height, width].map(|side| places.count(side, size));
        let mut y = vec![0.0; batch * channels * rows * columns];
        let weights = values(&weight);
        // The last vector of a row may reach past it.
        let part = columns.next_multiple_of(LANES) + size.div_ceil(places.stride);
        let padded_rows = height + places.padding[0] + places.padding[1];
        let planes = y.par_chunks_exact_mut(rows * columns).zip(values(&x).par_chunks_exact(height * width));
        planes.enumerate().with_min_len((TASK / (height * width)).max(1)).for_each_init(
            || vec![0.0; padded_rows * places.stride * part],
            |padded, (plane, (y, x))| {
                let weight = &weights[plane % channels * size * size..][..size * size];
                let geometry = Geometry { size, stride: places.stride, before: places.padding[0], part };
                vectorised(Plane { x, weight, y, width, columns, padded, geometry });
            },
        );
        tensor(y, Shape::from([batch, channels, rows, columns]))
    }

    #[derive(Clone, Copy)]
    struct Geometry {
        size: usize,
        stride: usize,
        before: usize,
        /// Numbers of a part of a padded row.
        part: usize,
    }

    struct Plane<'a> {
        x: &'a [f32],
        weight: &'a [f32],
        y: &'a mut [f32],
        width: usize,
        columns: usize,
        /// The map between zeros. Of each row first every `stride`th number from the first on, then from the second on, and
        /// so forth: what neighbouring outputs read at one place of their squares lies side by side.
        padded: &'a mut [f32],
        geometry: Geometry,
    }

    impl Work for Plane<'_> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(mut self) {
            // The usual ones with their numbers known, for which everything within is unrolled.
            match self.geometry {
                Geometry { size: 3, stride: 1, .. } => self.of::<M, 3, 1>(),
                Geometry { size: 3, stride: 2, .. } => self.of::<M, 3, 2>(),
                _ => self.of::<M, 0, 0>(),
            }
        }
    }

    impl Plane<'_> {
        /// A size and a stride of 0 stand for those of the geometry.
        #[inline(always)]
        fn of<M: Machine, const SIZE: usize, const STRIDE: usize>(&mut self) {
            let Geometry { size, stride, before, part } = self.geometry;
            let size = if SIZE == 0 { size } else { SIZE };
            let stride = if STRIDE == 0 { stride } else { STRIDE };
            for (row, x) in self.x.chunks_exact(self.width).enumerate() {
                let row = &mut self.padded[(before + row) * stride * part..][..stride * part];
                for (n, parts) in row.chunks_exact_mut(part).enumerate() {
                    // The first number of the map that belongs here, and its place.
                    let first = (n + stride - before % stride) % stride;
                    let count = self.width.saturating_sub(first).div_ceil(stride);
                    if count > 0 {
                        read_every(stride, &x[first..], &mut parts[(before + first) / stride..][..count]);
                    }
                }
            }
            for (row, y) in self.y.chunks_exact_mut(self.columns).enumerate() {
                let rows = &self.padded[row * stride * stride * part..];
                for (n, y) in y.chunks_mut(LANES).enumerate() {
                    let mut sums = ZERO;
                    for down in 0..size {
                        for across in 0..size {
                            let start =
                                (down * stride + across % stride) * part + across / stride + n * LANES;
                            let x = rows[start..].first_chunk().expect("rows are longer than their numbers");
                            add_product::<M>(self.weight[down * size + across], x, &mut sums);
                        }
                    }
                    y.copy_from_slice(&sums[..y.len()]);
                }
            }
        }
    }
}
