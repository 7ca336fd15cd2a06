//! The gradient of the weight: sums over tiles.

use std::marker::PhantomData;

use super::form::{Form, across};
use super::lines::read;
use super::strips::{Look, Strips};
use super::tiles::transformed_lines;
use super::{Plan, TILE};
use crate::matrix::Scratch;
use crate::panels::{Panels, Vector, ZERO, multiply};
use crate::vectors::{LANES, Machine, Work};

/// Sixteen channels of the image or of the map, side by side.
pub(super) struct Channels<'a, F> {
    pub(super) plan: &'a Plan,
    pub(super) strips: &'a Strips,
    pub(super) numbers: &'a [f32],
    /// Which sixteen channels.
    pub(super) block: usize,
    /// Gets the transformed tiles: `[frequency, tile]`,
    pub(super) panel: &'a mut [Vector],
    /// so many vectors from one frequency to the next.
    pub(super) frequency: usize,
    pub(super) form: PhantomData<F>,
}

/// The transformed patches of the image.
pub(super) struct ImageChannels<'a, F, const P: usize, const R: usize>(pub(super) Channels<'a, F>);

/// The transformed gradients of the map.
pub(super) struct MapChannels<'a, F, const P: usize, const R: usize>(pub(super) Channels<'a, F>);

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for ImageChannels<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Channels { plan, strips, numbers, block, panel, frequency, .. } = self.0;
        let look = |row: usize| plan.look(row);
        let plane = |row: usize, sample: usize| plan.image_plane(numbers, row, sample);
        transformed::<P, P, M>(strips, [block, plan.inner()], look, plane, (panel, frequency), F::image);
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for MapChannels<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Channels { plan, strips, numbers, block, panel, frequency, .. } = self.0;
        let look = |_| plan.look_at_map();
        let plane = |row: usize, sample: usize| plan.map_plane(numbers, row, sample);
        let (count, f) = (plan.shapes.outer, F::map_transposed);
        transformed::<TILE, P, M>(strips, [block, count], look, plane, (panel, frequency), f);
    }
}

/// Transforms the tiles of a block of the `count` channels, of which `plane` gives the planes by channel and sample.
#[inline(always)]
fn transformed<'a, const I: usize, const O: usize, M: Machine>(
    strips: &Strips,
    [block, count]: [usize; 2],
    look: impl Fn(usize) -> Look,
    plane: impl Fn(usize, usize) -> &'a [f32],
    (panel, frequency): (&mut [Vector], usize),
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let length = strips.tile_rows * O * strips.width;
    let mut buffer = Scratch::new(strips.len());
    let mut lines = Scratch::new(length * LANES);
    for (lane, lines) in lines.chunks_exact_mut(length).enumerate() {
        let row = block * LANES + lane;
        if row < count {
            let plane = |sample| plane(row, sample);
            transformed_lines::<I, O>(strips, &look(row), plane, &mut buffer, lines, &f);
        } else {
            lines.fill(0.0);
        }
    }
    let (mut d, mut v) = ([ZERO; I], [ZERO; O]);
    for tile in 0..strips.tiles {
        let offset = tile / strips.columns * O * strips.width + tile % strips.columns * TILE;
        let mut offsets = [offset; LANES];
        for (lane, offset) in offsets.iter_mut().enumerate() {
            *offset += lane * length;
        }
        for i in 0..O {
            read::<I, M>(&lines[i * strips.width..], &offsets, &mut d);
            across(&d, &mut v, &f);
            for (j, v) in v.iter().enumerate() {
                panel[(i * O + j) * frequency + tile] = *v;
            }
        }
    }
}

/// The sums over some tiles of the products of images and maps at one frequency.
pub(super) struct Products<'a> {
    pub(super) frequency: usize,
    pub(super) images: &'a Panels,
    pub(super) maps: &'a Panels,
    /// Blocks of the image's channels.
    pub(super) blocks: usize,
    /// Channels of the map.
    pub(super) outer: usize,
    pub(super) tiles: usize,
    /// `[block, outer]`.
    pub(super) sums: &'a mut [Vector],
    pub(super) add: bool,
}

impl Work for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Self { frequency, images, maps, blocks, outer, tiles, sums, add } = self;
        for (block, sums) in sums.chunks_exact_mut(outer).take(blocks).enumerate() {
            let right = &images.vectors()[images.start(frequency, block)..][..tiles];
            for (n, sums) in sums.chunks_mut(LANES).enumerate() {
                let left = &maps.vectors()[maps.start(frequency, n)..][..tiles];
                multiply::<M>(left, right, sums, add);
            }
        }
    }
}
