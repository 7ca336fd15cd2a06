//! A convolution, or its transpose, of some rows of tiles.

use std::marker::PhantomData;

use super::form::{Form, across};
use super::lines::{down, read, rows};
use super::strips::{Look, Strips};
use super::{Plan, TILE, plane};
use crate::matrix::{Scratch, Shared};
use crate::panels::{Panels, ZERO, multiply};
use crate::vectors::{LANES, Work};

/// What a task works on.
pub(super) struct Tiles<'a, F> {
    pub(super) plan: &'a Plan,
    pub(super) strips: &'a Strips,
    /// The image of a convolution, the map of a transposed one.
    pub(super) input: &'a [f32],
    /// The transformed weight.
    pub(super) taps: &'a Panels,
    /// The map of a convolution, the image of a transposed one.
    pub(super) output: &'a Shared<'a>,
    pub(super) form: PhantomData<F>,
}

/// The convolution.
pub(super) struct Gather<'a, F, const P: usize, const R: usize>(Tiles<'a, F>);

impl<'a, F: Form<P, TILE, R>, const P: usize, const R: usize> Gather<'a, F, P, R> {
    /// # Safety
    /// Nobody else uses the rows of the map that the strips' tiles cover, as long as this lives.
    pub(super) unsafe fn new(tiles: Tiles<'a, F>) -> Self {
        Self(tiles)
    }
}

/// The transpose of the convolution.
pub(super) struct Scatter<'a, F, const P: usize, const R: usize>(Tiles<'a, F>);

impl<'a, F: Form<P, TILE, R>, const P: usize, const R: usize> Scatter<'a, F, P, R> {
    /// # Safety
    /// Nobody else uses the rows of the image that the strips' patches reach, as long as this lives.
    pub(super) unsafe fn new(tiles: Tiles<'a, F>) -> Self {
        Self(tiles)
    }
}

/// Reads a channel's strips and transforms the columns of each row of tiles from `I` lines to `O`.
#[inline(always)]
pub(super) fn transformed_lines<'a, const I: usize, const O: usize>(
    strips: &Strips,
    look: &Look,
    plane: impl Fn(usize) -> &'a [f32],
    buffer: &mut [f32],
    lines: &mut [f32],
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let width = strips.width;
    strips.read(look, plane, buffer);
    for ((_, _, start), lines) in strips.rows().zip(lines.chunks_exact_mut(O * width)) {
        down(&buffer[start..], lines, width, &f);
    }
}

/// Transforms the rows of sixteen tiles from `I` columns to `O` and writes them at row `row` of their block.
#[inline(always)]
fn transformed_tiles<const I: usize, const O: usize, const FUSED: bool>(
    [block, row]: [usize; 2],
    lines: &[f32],
    width: usize,
    offsets: &[usize; LANES],
    tiles: &mut Panels,
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let (mut d, mut v) = ([ZERO; I], [ZERO; O]);
    for i in 0..O {
        read::<I, FUSED>(&lines[i * width..], offsets, &mut d);
        across(&d, &mut v, &f);
        for (j, v) in v.iter().enumerate() {
            let start = tiles.start(i * O + j, block);
            tiles.vectors_mut()[start + row] = *v;
        }
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for Gather<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Tiles { plan, strips, input, taps, output, .. } = self.0;
        let (shapes, inner, blocks) = (&plan.shapes, plan.inner(), strips.blocks());
        let mut tiles = Panels::by_frequency(P * P, blocks, inner);
        let mut buffer = Scratch::new(strips.len());
        let mut lines = Scratch::new(strips.tile_rows * P * strips.width);
        let offsets = strips.offsets(P, strips.width);
        for row in 0..inner {
            let channel = plan.channel(row);
            let plane = |sample: usize| plane(input, sample * shapes.inner + channel, shapes.pixels());
            transformed_lines::<P, P>(strips, &plan.look(row), plane, &mut buffer, &mut lines, F::image);
            for (block, offsets) in offsets.iter().enumerate() {
                transformed_tiles::<P, P, FUSED>(
                    [block, row],
                    &lines,
                    strips.width,
                    offsets,
                    &mut tiles,
                    F::image,
                );
            }
        }
        let mut out = Panels::by_frequency(P * P, blocks, shapes.outer);
        products::<FUSED>([P * P, blocks], taps, [shapes.outer, inner], &tiles, &mut out);
        let covered = strips.columns * TILE;
        let (mut v, mut y, mut fours) = ([ZERO; P], [ZERO; TILE], [[0.0; TILE]; LANES]);
        let mut rows_of_tiles = Scratch::new(TILE * covered);
        let offsets = strips.offsets(P, covered);
        let [height, width] = shapes.map;
        for channel in 0..shapes.outer {
            for (block, offsets) in offsets.iter().enumerate() {
                for i in 0..P {
                    for (j, v) in v.iter_mut().enumerate() {
                        *v = out.vectors()[out.start(i * P + j, block) + channel];
                    }
                    across(&v, &mut y, F::map);
                    rows::<FUSED>([&y[0], &y[1], &y[2], &y[3]], &mut fours);
                    let real = LANES.min(strips.tiles - block * LANES);
                    for (four, offset) in fours.iter().zip(offsets).take(real) {
                        lines[offset + i * covered..][..TILE].copy_from_slice(four);
                    }
                }
            }
            for ((sample, top, _), lines) in strips.rows().zip(lines.chunks_exact(P * covered)) {
                down(lines, &mut rows_of_tiles, covered, F::map);
                let plane = (sample * shapes.outer + channel) * height;
                for (row, line) in (top..height).zip(rows_of_tiles.chunks_exact(covered)) {
                    // SAFETY: the row is covered by the strips' tiles, which the caller of `new` has given to this
                    // task alone.
                    let to = unsafe { output.slice((plane + row) * width, width) };
                    to.copy_from_slice(&line[..width]);
                }
            }
        }
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for Scatter<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Tiles { plan, strips, input, taps, output, .. } = self.0;
        let (shapes, inner, blocks) = (&plan.shapes, plan.inner(), strips.blocks());
        let mut tiles = Panels::by_frequency(P * P, blocks, shapes.outer);
        let mut buffer = Scratch::new(strips.len());
        let mut lines = Scratch::new(strips.tile_rows * P * strips.width);
        let offsets = strips.offsets(P, strips.width);
        let look = plan.look_at_map();
        for row in 0..shapes.outer {
            let plane = |sample: usize| plane(input, sample * shapes.outer + row, shapes.positions());
            let f = F::map_transposed;
            transformed_lines::<TILE, P>(strips, &look, plane, &mut buffer, &mut lines, f);
            for (block, offsets) in offsets.iter().enumerate() {
                transformed_tiles::<TILE, P, FUSED>(
                    [block, row],
                    &lines,
                    strips.width,
                    offsets,
                    &mut tiles,
                    f,
                );
            }
        }
        let mut out = Panels::by_frequency(P * P, blocks, inner);
        products::<FUSED>([P * P, blocks], taps, [inner, shapes.outer], &tiles, &mut out);
        let (mut v, mut d, mut fours) = ([ZERO; P], [ZERO; P], [[0.0; TILE]; LANES]);
        let (mut sums, mut patches) = (Scratch::new(P * strips.width), Scratch::new(P * strips.width));
        // What patches have beyond their tiles lies under the next tile: it waits here, where its own tile starts.
        let mut beyond = Scratch::new(lines.len());
        lines.fill(0.0);
        beyond.fill(0.0);
        let [height, width] = shapes.image;
        for row in 0..inner {
            for (block, offsets) in offsets.iter().enumerate() {
                for i in 0..P {
                    for (j, v) in v.iter_mut().enumerate() {
                        *v = out.vectors()[out.start(i * P + j, block) + row];
                    }
                    across(&v, &mut d, F::image_transposed);
                    rows::<FUSED>([&d[0], &d[1], &d[2], &d[3]], &mut fours);
                    let real = LANES.min(strips.tiles - block * LANES);
                    for (lane, (four, offset)) in fours.iter().zip(offsets).enumerate().take(real) {
                        let start = offset + i * strips.width;
                        lines[start..][..TILE].copy_from_slice(four);
                        for j in TILE..P {
                            beyond[start + j - TILE] = d[j][lane];
                        }
                    }
                }
            }
            buffer.fill(0.0);
            let size = P * strips.width;
            let parts = lines.chunks_exact(size).zip(beyond.chunks_exact(size));
            for ((_, _, start), (lines, beyond)) in strips.rows().zip(parts) {
                // The last columns of a line have no tile, and so nothing beyond one for the next line.
                sums[..TILE].copy_from_slice(&lines[..TILE]);
                let shifted = lines[TILE..].iter().zip(beyond);
                sums[TILE..].iter_mut().zip(shifted).for_each(|(sum, (line, beyond))| *sum = line + beyond);
                down(&sums, &mut patches, strips.width, F::image_transposed);
                let to = &mut buffer[start..][..P * strips.width];
                to.iter_mut().zip(patches.iter()).for_each(|(to, value)| *to += value);
            }
            let channel = plan.channel(row);
            strips.add(&plan.look(row), &buffer, |sample, y| {
                let start = ((sample * shapes.inner + channel) * height + y) * width;
                // SAFETY: the row is reached by the strips' patches, and the caller of `new` has given those to this
                // task alone.
                unsafe { output.slice(start, width) }
            });
        }
    }
}

/// Multiplies the transformed tiles by the transformed taps.
#[inline(always)]
fn products<const FUSED: bool>(
    [frequencies, blocks]: [usize; 2],
    taps: &Panels,
    [columns, depth]: [usize; 2],
    tiles: &Panels,
    out: &mut Panels,
) {
    for frequency in 0..frequencies {
        for block in 0..blocks {
            let right = &tiles.vectors()[tiles.start(frequency, block)..][..depth];
            let start = out.start(frequency, block);
            let out = &mut out.vectors_mut()[start..][..columns];
            for (n, out) in out.chunks_mut(LANES).enumerate() {
                let left = &taps.vectors()[taps.start(frequency, n)..][..depth];
                multiply::<FUSED>(left, right, out, false);
            }
        }
    }
}
