//! Pooling of maps for networks that are only asked, not trained: burn's takes a fifth of Inception-v3's time.

use burn::Tensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};

use crate::Operations;

/// The squares that are pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// Height and width of a square.
    pub size: usize,
    /// From one square to the next.
    pub stride: usize,
    /// Rows and columns around the map that squares may reach into, less than `size`; they count for nothing.
    pub padding: usize,
}

impl Pooling {
    /// Squares of this size at this distance, within the map.
    pub const fn new(size: usize, stride: usize) -> Self {
        Self { size, stride, padding: 0 }
    }

    /// Squares of this size around every place.
    pub const fn around(size: usize) -> Self {
        Self { size, stride: 1, padding: size / 2 }
    }

    /// Squares along a side of the map.
    fn count(self, side: usize) -> usize {
        let room = (side + 2 * self.padding).checked_sub(self.size);
        room.expect("a square is not larger than the padded map") / self.stride + 1
    }
}

/// The largest number of each square of each channel, `[batch, channels, h, w]`; no number where there is one that is none.
pub fn max_pooling(x: Tensor<4>, pooling: Pooling) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::max_pooling(x.into_dispatch(), pooling))
}

/// The mean of each square of each channel, of `[batch, channels, h, w]`.
pub fn mean_pooling(x: Tensor<4>, pooling: Pooling) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::mean_pooling(x.into_dispatch(), pooling))
}

/// The operations as burn has them.
pub(crate) mod portable {
    use super::*;

    pub(crate) fn max<B: Backend>(x: FloatTensor<B>, pooling: Pooling) -> FloatTensor<B> {
        let Pooling { size, stride, padding } = pooling;
        B::max_pool2d(x, [size; 2], [stride; 2], [padding; 2], [1; 2], false)
    }

    pub(crate) fn mean<B: Backend>(x: FloatTensor<B>, pooling: Pooling) -> FloatTensor<B> {
        let Pooling { size, stride, padding } = pooling;
        B::avg_pool2d(x, [size; 2], [stride; 2], [padding; 2], false, false)
    }
}

/// The operations on burn's CPU backend.
pub(crate) mod fast {
    use std::marker::PhantomData;
    use std::ops::Range;

    use burn::backend::TensorMetadata;
    use burn::tensor::Shape;
    use burn_flex::FlexTensor;
    use rayon::prelude::*;

    use super::*;
    use crate::columns::read_every;
    use crate::flex::{tensor, values};
    use crate::matrix::TASK;
    use crate::vectors::{Machine, Work, vectorised};

    pub(crate) fn max(x: FlexTensor, pooling: Pooling) -> FlexTensor {
        pooled::<Largest>(x, pooling)
    }

    pub(crate) fn mean(x: FlexTensor, pooling: Pooling) -> FlexTensor {
        pooled::<Mean>(x, pooling)
    }

    fn pooled<K: Kind>(x: FlexTensor, pooling: Pooling) -> FlexTensor {
        let [batch, channels, height, width] = x.shape().dims();
        let x = x.to_contiguous();
        let [rows, columns] = [height, width].map(|side| pooling.count(side));
        let mut y = vec![0.0; batch * channels * rows * columns];
        // What a square's mean is of, along a row: 1 / the columns that are there.
        let of_columns: Vec<f32> =
            (0..columns).map(|n| 1.0 / inside(pooling, n, width).len() as f32).collect();
        let planes = y.par_chunks_exact_mut(rows * columns).zip(values(&x).par_chunks_exact(height * width));
        planes.with_min_len((TASK / (height * width)).max(1)).for_each_init(
            || (vec![K::NOTHING; width + 2 * pooling.padding], vec![0.0; columns]),
            |(line, every), (y, x)| {
                vectorised(Plane::<K> {
                    x,
                    y,
                    width,
                    pooling,
                    line,
                    every,
                    of_columns: &of_columns,
                    kind: PhantomData,
                });
            },
        );
        tensor(y, Shape::from([batch, channels, rows, columns]))
    }

    /// What the `n`th square sees of a side.
    fn inside(pooling: Pooling, n: usize, side: usize) -> Range<usize> {
        let Pooling { size, stride, padding } = pooling;
        (n * stride).saturating_sub(padding)..(n * stride + size - padding).min(side)
    }

    /// What is made of a square.
    trait Kind {
        /// What counts for nothing.
        const NOTHING: f32;
        /// Of two parts.
        fn of(a: f32, b: f32) -> f32;
        /// Of the whole, with 1 / the numbers in it.
        fn whole(all: f32, share: f32) -> f32;
    }

    struct Largest;

    impl Kind for Largest {
        const NOTHING: f32 = f32::NEG_INFINITY;

        #[inline(always)]
        fn of(a: f32, b: f32) -> f32 {
            // Unlike `f32::max`, so that what is no number goes on.
            if a > b || a.is_nan() { a } else { b }
        }

        #[inline(always)]
        fn whole(all: f32, _: f32) -> f32 {
            all
        }
    }

    struct Mean;

    impl Kind for Mean {
        const NOTHING: f32 = 0.0;

        #[inline(always)]
        fn of(a: f32, b: f32) -> f32 {
            a + b
        }

        #[inline(always)]
        fn whole(all: f32, share: f32) -> f32 {
            all * share
        }
    }

    struct Plane<'a, K> {
        x: &'a [f32],
        y: &'a mut [f32],
        width: usize,
        pooling: Pooling,
        /// A row's squares pooled down the columns, between borders of [`Kind::NOTHING`].
        line: &'a mut [f32],
        /// As long as a row of `y`.
        every: &'a mut [f32],
        of_columns: &'a [f32],
        kind: PhantomData<K>,
    }

    impl<K: Kind> Work for Plane<'_, K> {
        type Output = ();

        #[inline(always)]
        fn run<M: Machine>(self) {
            let Self { x, y, width, pooling, line, every, of_columns, kind: _ } = self;
            let Pooling { size, stride, padding } = pooling;
            let height = x.len() / width;
            for (row, y) in y.chunks_exact_mut(of_columns.len()).enumerate() {
                let rows = inside(pooling, row, height);
                let share = 1.0 / rows.len() as f32;
                let down = &mut line[padding..][..width];
                down.copy_from_slice(&x[rows.start * width..][..width]);
                for row in rows.start + 1..rows.end {
                    for (all, x) in down.iter_mut().zip(&x[row * width..][..width]) {
                        *all = K::of(*all, *x);
                    }
                }
                read_every(stride, line, y);
                for column in 1..size {
                    if stride == 1 {
                        for (all, x) in y.iter_mut().zip(&line[column..]) {
                            *all = K::of(*all, *x);
                        }
                    } else {
                        read_every(stride, &line[column..], every);
                        for (all, x) in y.iter_mut().zip(&*every) {
                            *all = K::of(*all, *x);
                        }
                    }
                }
                for (all, of_columns) in y.iter_mut().zip(of_columns) {
                    *all = K::whole(*all, share * of_columns);
                }
            }
        }
    }
}
