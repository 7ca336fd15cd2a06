//! Convolutions by Winograd's minimal filtering: tiles of 4x4 outputs with far fewer products than outputs times taps.
//!
//! Image, map and weight are transformed tile by tile ([`form`]); in between there is a product of matrices at each of
//! the places of a transformed tile ("frequencies"), over channels or, for the gradient of the weight, over tiles.
//! Convolutions of 3x3 at stride 1 are taken as they are. One of 4x4 at stride 2 is the sum of four of 2x2 at
//! stride 1, each of which sees every second pixel of every second line: a channel is taken as four.
//!
//! An output depends on its own tile alone, and sums over tiles are added in the order of the tiles, so results do not
//! depend on the number of threads.

mod form;
mod lines;
mod strips;
mod sums;
mod taps;
#[cfg(test)]
mod tests;
mod tiles;

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::columns::Shapes;
use crate::lowering::turned;
use crate::matrix::{Shared, written};
use crate::panels::{Layout, Panels};
use crate::vectors::{LANES, vectorised};
use form::{Form, ThreeTaps, TwoTaps};
use strips::{Look, Strips};
use sums::{Channels, ImageChannels, MapChannels, Products};
use taps::{Taps, TapsBack};
use tiles::Weight;

/// Outputs along a side of a tile.
const TILE: usize = 4;

/// Numbers that a task holds in transformed tiles, about (1 MiB).
const TASK: usize = 1 << 18;

/// Up to so many tiles all tasks share one strip of them: of several each reads the whole transformed weight. A forward
/// pass of `sasn`, with 256 channels of 64 tiles, took 1.25 times as long with four.
const FEW_TILES: usize = 64;

/// Tasks that even a small convolution is split into; a number of its own, so that bits do not depend on the threads.
const LEAST_TASKS: usize = 4;

/// A convolution as one of taps at stride 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    shapes: Shapes,
    /// Rows and columns of tiles that cover the map of a sample.
    tiles: [usize; 2],
    /// Taps along a side.
    taps: usize,
}

/// How a convolution is one of these, where it is and that is worth it.
pub(crate) fn plan(shapes: &Shapes) -> Option<Plan> {
    let plan = Plan::new(shapes)?;
    let tiles = plan.tiles[0] * plan.tiles[1];
    // A sample's tiles stand for at most a half more outputs than there are. With few tiles, transforming the weight
    // takes longer than multiplying by it. How many samples there are must not matter: a result would depend on what
    // else is in its batch.
    let least = if plan.taps == 3 { 9 } else { 16 };
    (2 * tiles * TILE * TILE <= 3 * shapes.positions() && tiles >= least).then_some(plan)
}

impl Plan {
    /// `None` for other kernels and strides.
    fn new(shapes: &Shapes) -> Option<Self> {
        let taps = match (shapes.kernel, shapes.stride) {
            ([3, 3], 1) => 3,
            ([4, 4], 2) => 2,
            _ => return None,
        };
        Some(Self { shapes: *shapes, tiles: shapes.map.map(|side| side.div_ceil(TILE)), taps })
    }

    /// [`crate::lowering::gather`].
    pub(crate) fn gather(&self, image: &[f32], weight: &[f32]) -> Vec<f32> {
        match self.taps {
            3 => gather::<ThreeTaps, 6, 3>(self, image, weight),
            _ => gather::<TwoTaps, 5, 2>(self, image, weight),
        }
    }

    /// [`crate::lowering::scatter`].
    pub(crate) fn scatter(&self, map: &[f32], weight: &[f32]) -> Vec<f32> {
        let shapes = &self.shapes;
        let [vertical, horizontal] = shapes.padding;
        if self.taps == 2 || vertical > 2 || horizontal > 2 {
            return match self.taps {
                3 => scatter::<ThreeTaps, 6, 3>(self, map, weight),
                _ => scatter::<TwoTaps, 5, 2>(self, map, weight),
            };
        }
        // The convolution of the map by the kernel turned, which writes each pixel once.
        let turn = Shapes {
            inner: shapes.outer,
            outer: shapes.inner,
            image: shapes.map,
            map: shapes.image,
            padding: [2 - vertical, 2 - horizontal],
            ..*shapes
        };
        let tiles = turn.map.map(|side| side.div_ceil(TILE));
        let weight = turned(weight, [shapes.outer, shapes.inner], 9);
        gather::<ThreeTaps, 6, 3>(&Plan { shapes: turn, tiles, taps: 3 }, map, &weight)
    }

    /// [`crate::lowering::weights`].
    pub(crate) fn weights(&self, map: &[f32], image: &[f32]) -> Vec<f32> {
        match self.taps {
            3 => weights::<ThreeTaps, 6, 3>(self, map, image),
            _ => weights::<TwoTaps, 5, 2>(self, map, image),
        }
    }

    /// Channels of the image, each as many times as the stride has phases.
    fn inner(&self) -> usize {
        self.shapes.inner * self.shapes.stride * self.shapes.stride
    }

    /// Which of the image's channels one of [`Self::inner`] is a part of.
    #[inline(always)]
    fn channel(&self, inner: usize) -> usize {
        inner / (self.shapes.stride * self.shapes.stride)
    }

    /// What one of [`Self::inner`] is a part of: a channel of a sample of the image.
    #[inline(always)]
    fn image_plane<'a>(&self, image: &'a [f32], inner: usize, sample: usize) -> &'a [f32] {
        let size = self.shapes.pixels();
        &image[(sample * self.shapes.inner + self.channel(inner)) * size..][..size]
    }

    /// A channel of a sample of the map.
    #[inline(always)]
    fn map_plane<'a>(&self, map: &'a [f32], outer: usize, sample: usize) -> &'a [f32] {
        let size = self.shapes.positions();
        &map[(sample * self.shapes.outer + outer) * size..][..size]
    }

    /// How strips see the map: as it is, without the rows and columns that a convolution needs around its image.
    #[inline(always)]
    fn look_at_map(&self) -> Look {
        Look { size: self.shapes.map, stride: 1, outside: [0; 2] }
    }

    /// How the strips of one of [`Self::inner`] see the image.
    #[inline(always)]
    fn look(&self, inner: usize) -> Look {
        let Shapes { stride, padding, image, .. } = self.shapes;
        let phase = [inner / stride % stride, inner % stride];
        let outside = [0, 1].map(|side| padding[side].cast_signed() - phase[side].cast_signed());
        Look { size: image, stride, outside }
    }

    /// Strips of rows of tiles, so many.
    fn strips(&self, parts: usize, halo: usize) -> Vec<Strips> {
        let rows = self.rows();
        let part = |n: usize| [n * rows / parts, (n + 1) * rows / parts];
        (0..parts).map(|n| Strips::new(self.tiles, part(n), [TILE, halo])).collect()
    }

    /// Rows of tiles in all samples.
    fn rows(&self) -> usize {
        self.shapes.samples * self.tiles[0]
    }

    /// How many strips have about `tiles` each.
    fn parts(&self, tiles: usize) -> usize {
        self.rows().div_ceil((tiles / self.tiles[1]).max(1))
    }

    /// The strips of tiles, and how many tasks share each of them, some channels everyone. A tile takes `frequencies`
    /// numbers of each channel that is read and each that is written.
    fn tasks(&self, [read, written]: [usize; 2], frequencies: usize, halo: usize) -> (Vec<Strips>, usize) {
        // With few tiles and many channels the weight is what takes time: it is gone through once.
        if self.rows() * self.tiles[1] <= FEW_TILES && written >= LEAST_TASKS * LANES {
            return (self.strips(1, halo), LEAST_TASKS);
        }
        let mut parts = self.parts((TASK / (frequencies * (read + written))).clamp(LANES, 16 * LANES));
        if parts < 4 * LEAST_TASKS {
            // Whole sixteens of tiles for each.
            let most = self.rows() / LANES.div_ceil(self.tiles[1]);
            parts = parts.next_multiple_of(LEAST_TASKS).min(most.max(parts));
        }
        (self.strips(parts, halo), (LEAST_TASKS / parts).max(1))
    }
}

fn gather<F: Form<P, TILE, R>, const P: usize, const R: usize>(
    plan: &Plan,
    image: &[f32],
    weight: &[f32],
) -> Vec<f32> {
    let (strips, parts) = plan.tasks([plan.inner(), plan.shapes.outer], P * P, R - 1);
    let weight = weight_for::<F, P, R>(plan, &strips, weight, false);
    let fill = |map: &mut [MaybeUninit<f32>]| {
        let map = Shared::new(map);
        strips.par_iter().for_each(|strips| {
            // SAFETY: strips have different rows of tiles, and write the rows of the map that those cover.
            unsafe { tiles::gather::<F, P, R>(plan, (strips, parts), (image, &weight), &map) };
        });
    };
    // SAFETY: the tiles of all strips cover the whole map.
    unsafe { written(plan.shapes.samples * plan.shapes.outer * plan.shapes.positions(), fill) }
}

fn scatter<F: Form<P, TILE, R>, const P: usize, const R: usize>(
    plan: &Plan,
    map: &[f32],
    weight: &[f32],
) -> Vec<f32> {
    let mut image = vec![0.0; plan.shapes.samples * plan.shapes.inner * plan.shapes.pixels()];
    let output = Shared::new(&mut image);
    let (strips, parts) = plan.tasks([plan.shapes.outer, plan.inner()], P * P, R - 1);
    let weight = weight_for::<F, P, R>(plan, &strips, weight, true);
    // Neighbours overlap by a few lines: first every second, then those between.
    for wave in 0..2 {
        strips.par_iter().skip(wave).step_by(2).for_each(|strips| {
            // SAFETY: the patches of a wave's strips have rows of tiles between them, so they add to different rows
            // of the image.
            unsafe { tiles::scatter::<F, P, R>(plan, (strips, parts), (map, &weight), &output) };
        });
    }
    image
}

/// The weight as so many strips of tiles read it best.
fn weight_for<'a, F: Form<P, TILE, R>, const P: usize, const R: usize>(
    plan: &Plan,
    strips: &[Strips],
    weight: &'a [f32],
    scatter: bool,
) -> Weight<'a> {
    match strips {
        [_] => Weight::Plain(weight),
        _ => Weight::Transformed(Taps::<F, P, R>::panels(plan, weight, scatter)),
    }
}

fn weights<F: Form<P, TILE, R>, const P: usize, const R: usize>(
    plan: &Plan,
    map: &[f32],
    image: &[f32],
) -> Vec<f32> {
    let (inner, outer) = (plan.inner(), plan.shapes.outer);
    let blocks = [inner.div_ceil(LANES), outer.div_ceil(LANES)];
    let tiles = (8 * TASK / (P * P * LANES * (blocks[0] + blocks[1]))).clamp(LANES, 32 * LANES);
    let mut sums = Panels::by_frequency(P * P, blocks[0], outer);
    for (n, strips) in plan.strips(plan.parts(tiles), R - 1).iter().enumerate() {
        let mut images = Panels::by_block(P * P, blocks[0], strips.tiles);
        let (Layout { frequency, block: size }, form) = (images.layout(), PhantomData);
        let panels = images.vectors_mut().par_chunks_exact_mut(size).enumerate().take(blocks[0]);
        panels.for_each(|(block, panel)| {
            let channels = Channels { plan, strips, numbers: image, block, panel, frequency, form };
            vectorised(ImageChannels::<F, P, R>(channels));
        });
        let mut maps = Panels::by_block(P * P, blocks[1], strips.tiles);
        let Layout { frequency, block: size } = maps.layout();
        let panels = maps.vectors_mut().par_chunks_exact_mut(size).enumerate().take(blocks[1]);
        panels.for_each(|(block, panel)| {
            let channels = Channels { plan, strips, numbers: map, block, panel, frequency, form };
            vectorised(MapChannels::<F, P, R>(channels));
        });
        let size = sums.layout().frequency;
        let products = sums.vectors_mut().par_chunks_exact_mut(size).take(P * P).enumerate();
        products.for_each(|(frequency, sums)| {
            let (images, maps, tiles, add) = (&images, &maps, strips.tiles, n > 0);
            vectorised(Products { frequency, images, maps, blocks: blocks[0], outer, tiles, sums, add });
        });
    }
    let mut weight = vec![0.0; outer * plan.shapes.patch()];
    let rows = weight.par_chunks_exact_mut(plan.shapes.patch()).enumerate();
    rows.for_each(|(outer, row)| vectorised(TapsBack::<F, P, R>::new(plan, &sums, outer, row)));
    weight
}
