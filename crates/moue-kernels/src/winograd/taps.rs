//! The weight, to its transform and back.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::form::{Form, both};
use super::lines::{read, rows};
use super::{Plan, TILE};
use crate::panels::{Layout, Panels, Vector, ZERO};
use crate::vectors::{LANES, Machine, Work, vectorised};

/// Where the first tap lies that a channel of the map has of one of [`Plan::inner`].
#[inline(always)]
fn first_tap(plan: &Plan, outer: usize, inner: usize) -> usize {
    let (stride, [height, width]) = (plan.shapes.stride, plan.shapes.kernel);
    let (channel, phase) = (plan.channel(inner), inner % (stride * stride));
    ((outer * plan.shapes.inner + channel) * height + phase / stride) * width + phase % stride
}

/// How far it is to the next tap down and to the right.
#[inline(always)]
fn steps(plan: &Plan) -> [usize; 2] {
    [plan.shapes.kernel[1] * plan.shapes.stride, plan.shapes.stride]
}

/// Transforms a block of sixteen columns.
pub(super) struct Taps<'a, F, const P: usize, const R: usize> {
    plan: &'a Plan,
    weight: &'a [f32],
    /// Whether the columns are the channels of the image, for a scatter, or those of the map.
    scatter: bool,
    block: usize,
    panel: &'a mut [Vector],
    /// Vectors from one frequency to the next.
    frequency: usize,
    form: PhantomData<F>,
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Taps<'_, F, P, R> {
    /// The transformed `weight` `[outer, inner, kernel]`: columns are the outer channels and rows the inner ones, or
    /// the other way round on `scatter`.
    pub(super) fn panels(plan: &Plan, weight: &[f32], scatter: bool) -> Panels {
        let [columns, rows] = Self::shape(plan, scatter);
        let blocks = columns.div_ceil(LANES);
        let mut panels = Panels::by_block(P * P, blocks, rows);
        let Layout { frequency, block: size } = panels.layout();
        let each = panels.vectors_mut().par_chunks_exact_mut(size).enumerate().take(blocks);
        each.for_each(|(block, panel)| {
            vectorised(Taps::<F, P, R> { plan, weight, scatter, block, panel, frequency, form: PhantomData });
        });
        panels
    }

    /// One of their blocks.
    pub(super) fn block(plan: &Plan, weight: &[f32], scatter: bool, block: usize) -> Panels {
        let mut panels = Panels::by_block(P * P, 1, Self::shape(plan, scatter)[1]);
        let (frequency, panel) = (panels.layout().frequency, panels.vectors_mut());
        vectorised(Taps::<F, P, R> { plan, weight, scatter, block, panel, frequency, form: PhantomData });
        panels
    }

    /// How many columns and rows the transformed weight has.
    #[inline(always)]
    fn shape(plan: &Plan, scatter: bool) -> [usize; 2] {
        let (inner, outer) = (plan.inner(), plan.shapes.outer);
        if scatter { [inner, outer] } else { [outer, inner] }
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for Taps<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { plan, weight, scatter, block, panel, frequency, .. } = self;
        let [down, right] = steps(plan);
        let [columns, rows] = Self::shape(plan, scatter);
        let (mut g, mut half, mut u) = ([[ZERO; R]; R], [[ZERO; R]; P], [[ZERO; P]; P]);
        let (mut eight, mut four) = ([ZERO; 8], [ZERO; 4]);
        for row in 0..rows {
            let first = |lane: usize| {
                // Beyond the last column, whose results nobody asks for, the first one again.
                let column =
                    Some(block * LANES + lane).filter(|column| *column < columns).unwrap_or(block * LANES);
                let [outer, inner] = if scatter { [row, column] } else { [column, row] };
                first_tap(plan, outer, inner)
            };
            if R == 3 {
                // Nine taps in a row: the first eight and the last four.
                let offsets = std::array::from_fn(first);
                read::<8, M>(weight, &offsets, &mut eight);
                read::<4, M>(&weight[5..], &offsets, &mut four);
                for tap in 0..R * R {
                    g[tap / R][tap % R] = if tap < 8 { eight[tap] } else { four[3] };
                }
            } else {
                for lane in 0..LANES {
                    let taps = &weight[first(lane)..][..(R - 1) * (down + right) + 1];
                    for i in 0..R {
                        for j in 0..R {
                            g[i][j][lane] = taps[i * down + j * right];
                        }
                    }
                }
            }
            both(&g, &mut half, &mut u, F::taps);
            for (n, u) in u.as_flattened().iter().enumerate() {
                panel[n * frequency + row] = *u;
            }
        }
    }
}

/// Transforms the sums back to the gradient of one channel of the map's weight.
pub(super) struct TapsBack<'a, F, const P: usize, const R: usize> {
    plan: &'a Plan,
    sums: &'a Panels,
    outer: usize,
    row: &'a mut [f32],
    form: PhantomData<F>,
}

impl<'a, F: Form<P, TILE, R>, const P: usize, const R: usize> TapsBack<'a, F, P, R> {
    pub(super) fn new(plan: &'a Plan, sums: &'a Panels, outer: usize, row: &'a mut [f32]) -> Self {
        Self { plan, sums, outer, row, form: PhantomData }
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for TapsBack<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { plan, sums, outer, row, .. } = self;
        let [down, right] = steps(plan);
        let (mut u, mut half, mut g) = ([[ZERO; P]; P], [[ZERO; P]; R], [[ZERO; R]; R]);
        let mut fours = [[[0.0; 4]; LANES]; 2];
        for first in (0..plan.inner()).step_by(LANES) {
            for (n, u) in u.as_flattened_mut().iter_mut().enumerate() {
                *u = sums.vectors()[sums.start(n, first / LANES) + outer];
            }
            both(&u, &mut half, &mut g, F::taps_transposed);
            let inner = first..plan.inner().min(first + LANES);
            if R == 3 {
                let [a, b, c, d, e, f, g, h, last]: [&Vector; 9] = std::array::from_fn(|n| &g[n / R][n % R]);
                rows::<M>([a, b, c, d], &mut fours[0]);
                rows::<M>([e, f, g, h], &mut fours[1]);
                for (lane, inner) in inner.enumerate() {
                    let taps = &mut row[first_tap(plan, 0, inner)..][..9];
                    taps[..4].copy_from_slice(&fours[0][lane]);
                    taps[4..8].copy_from_slice(&fours[1][lane]);
                    taps[8] = last[lane];
                }
                continue;
            }
            for (lane, inner) in inner.enumerate() {
                let taps = &mut row[first_tap(plan, 0, inner)..];
                for i in 0..R {
                    for j in 0..R {
                        taps[i * down + j * right] = g[i][j][lane];
                    }
                }
            }
        }
    }
}
