//! A convolution, or its transpose, of some rows of tiles.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::form::{Form, across};
use super::lines::{down, read, rows};
use super::strips::{Look, Strips};
use super::taps::Taps;
use super::{Plan, TILE};
use crate::matrix::{Scratch, Shared};
use crate::panels::{Layout, Panels, Vector, ZERO, multiply};
use crate::vectors::{LANES, Machine, Work, vectorised};

/// Tiles that a task transforms: some of the channels of what a convolution, or its transpose, reads.
struct Tiles<'a, F> {
    plan: &'a Plan,
    strips: &'a Strips,
    /// The image of a convolution, the map of a transposed one.
    input: &'a [f32],
    /// Which rows of `tiles` are to be written.
    channels: Range<usize>,
    /// The transformed tiles, by frequency, and how they lie there.
    tiles: &'a Shared<'a, Vector>,
    layout: Layout,
    form: PhantomData<F>,
}

/// Results that a task computes: some of the channels of what a convolution, or its transpose, gives.
struct Results<'a, F, T> {
    plan: &'a Plan,
    strips: &'a Strips,
    /// The transformed tiles, whole.
    tiles: &'a Panels,
    /// The transformed weight, from block `first` on.
    taps: &'a Panels,
    first: usize,
    /// Which blocks of sixteen channels of the map, or of the parts of the image's channels.
    blocks: Range<usize>,
    /// The map of a convolution, the image of a transposed one.
    output: &'a Shared<'a, T>,
    form: PhantomData<F>,
}

/// The convolution's two halves.
struct ImageTiles<'a, F, const P: usize, const R: usize>(Tiles<'a, F>);
struct MapResults<'a, F, const P: usize, const R: usize>(Results<'a, F, MaybeUninit<f32>>);

/// Those of its transpose.
struct MapTiles<'a, F, const P: usize, const R: usize>(Tiles<'a, F>);
struct ImageResults<'a, F, const P: usize, const R: usize>(Results<'a, F, f32>);

/// The weight of a convolution.
pub(super) enum Weight<'a> {
    /// Transformed, where many strips of tiles read it.
    Transformed(Panels),
    /// As it is, where one does: block after block is transformed in the cache where it is read.
    Plain(&'a [f32]),
}

impl Weight<'_> {
    /// Calls `each` with some of the blocks, transformed, and which those are.
    fn blocks<F: Form<P, TILE, R>, const P: usize, const R: usize>(
        &self,
        plan: &Plan,
        scatter: bool,
        blocks: Range<usize>,
        each: impl Fn(&Panels, usize, Range<usize>),
    ) {
        match self {
            Self::Transformed(panels) => each(panels, 0, blocks),
            Self::Plain(weight) => blocks.for_each(|block| {
                let panels = Taps::<F, P, R>::block(plan, weight, scatter, block);
                each(&panels, block, block..block + 1);
            }),
        }
    }
}

/// Calls `each` with each of `parts` parts of `0..count` that is not empty, on as many threads as there are.
fn in_parts(count: usize, parts: usize, each: impl Fn(Range<usize>) + Sync) {
    match parts.min(count) {
        1 => each(0..count),
        parts => (0..parts).into_par_iter().for_each(|n| each(n * count / parts..(n + 1) * count / parts)),
    }
}

/// The convolution of some rows of tiles, by so many tasks at a time: `output` is the map, of which every row that the
/// strips' tiles cover is written whole.
///
/// # Safety
/// Nobody else uses those rows of the map.
pub(super) unsafe fn gather<F: Form<P, TILE, R>, const P: usize, const R: usize>(
    plan: &Plan,
    (strips, parts): (&Strips, usize),
    (image, weight): (&[f32], &Weight<'_>),
    output: &Shared<'_, MaybeUninit<f32>>,
) {
    let form = PhantomData::<F>;
    let mut tiles = Panels::by_frequency(P * P, strips.blocks(), plan.inner());
    let (layout, shared) = (tiles.layout(), Shared::new(tiles.vectors_mut()));
    in_parts(plan.inner(), parts, |channels| {
        let work = Tiles { plan, strips, input: image, channels, tiles: &shared, layout, form };
        vectorised(ImageTiles::<F, P, R>(work));
    });
    let tiles = &tiles;
    in_parts(plan.shapes.outer.div_ceil(LANES), parts, |blocks| {
        weight.blocks::<F, P, R>(plan, false, blocks, |taps, first, blocks| {
            let work = Results { plan, strips, tiles, taps, first, blocks, output, form };
            vectorised(MapResults::<F, P, R>(work));
        });
    });
}

/// The transpose of the convolution of some rows of tiles, by so many tasks at a time: it is added to `output`, the image.
///
/// # Safety
/// Nobody else uses the rows of the image that the strips' patches reach.
pub(super) unsafe fn scatter<F: Form<P, TILE, R>, const P: usize, const R: usize>(
    plan: &Plan,
    (strips, parts): (&Strips, usize),
    (map, weight): (&[f32], &Weight<'_>),
    output: &Shared<'_>,
) {
    let form = PhantomData::<F>;
    let mut tiles = Panels::by_frequency(P * P, strips.blocks(), plan.shapes.outer);
    let (layout, shared) = (tiles.layout(), Shared::new(tiles.vectors_mut()));
    in_parts(plan.shapes.outer, parts, |channels| {
        let work = Tiles { plan, strips, input: map, channels, tiles: &shared, layout, form };
        vectorised(MapTiles::<F, P, R>(work));
    });
    let tiles = &tiles;
    // Sixteen parts of channels are whole channels: a channel has one or four.
    in_parts(plan.inner().div_ceil(LANES), parts, |blocks| {
        weight.blocks::<F, P, R>(plan, true, blocks, |taps, first, blocks| {
            let work = Results { plan, strips, tiles, taps, first, blocks, output, form };
            vectorised(ImageResults::<F, P, R>(work));
        });
    });
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
fn transformed_tiles<const I: usize, const O: usize, M: Machine>(
    [block, row]: [usize; 2],
    lines: &[f32],
    width: usize,
    offsets: &[usize; LANES],
    (tiles, layout): (&Shared<'_, Vector>, Layout),
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let (mut d, mut v) = ([ZERO; I], [ZERO; O]);
    for i in 0..O {
        read::<I, M>(&lines[i * width..], offsets, &mut d);
        across(&d, &mut v, &f);
        for (j, v) in v.iter().enumerate() {
            // SAFETY: the row, a channel, is this task's alone.
            let to = unsafe { tiles.slice(layout.start(i * O + j, block) + row, 1) };
            to[0] = *v;
        }
    }
}

/// Transforms the tiles of the task's channels, of which `plane` gives the planes by channel and sample.
#[inline(always)]
fn transformed<'a, F, const I: usize, const O: usize, M: Machine>(
    Tiles { strips, channels, tiles, layout, .. }: Tiles<'_, F>,
    look: impl Fn(usize) -> Look,
    plane: impl Fn(usize, usize) -> &'a [f32],
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let mut buffer = Scratch::new(strips.len());
    let mut lines = Scratch::new(strips.tile_rows * O * strips.width);
    let offsets = strips.offsets(O, strips.width);
    for row in channels {
        let plane = |sample| plane(row, sample);
        transformed_lines::<I, O>(strips, &look(row), plane, &mut buffer, &mut lines, &f);
        for (block, offsets) in offsets.iter().enumerate() {
            let to = (tiles, layout);
            transformed_tiles::<I, O, M>([block, row], &lines, strips.width, offsets, to, &f);
        }
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for ImageTiles<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let (plan, image) = (self.0.plan, self.0.input);
        let plane = |row: usize, sample: usize| plan.image_plane(image, row, sample);
        transformed::<F, P, P, M>(self.0, |row| plan.look(row), plane, F::image);
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for MapResults<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Results { plan, strips, tiles, taps, first, blocks, output, .. } = self.0;
        let shapes = &plan.shapes;
        let channels = blocks.start * LANES..(blocks.end * LANES).min(shapes.outer);
        let out = products::<M>([P * P, strips.blocks()], (taps, first), &channels, (tiles, plan.inner()));
        let covered = strips.columns * TILE;
        let (mut v, mut y, mut fours) = ([ZERO; P], [ZERO; TILE], [[0.0; TILE]; LANES]);
        let mut lines = Scratch::new(strips.tile_rows * P * covered);
        let mut rows_of_tiles = Scratch::new(TILE * covered);
        let offsets = strips.offsets(P, covered);
        let [height, width] = shapes.map;
        for (n, channel) in channels.enumerate() {
            for (block, offsets) in offsets.iter().enumerate() {
                for i in 0..P {
                    for (j, v) in v.iter_mut().enumerate() {
                        *v = out.vectors()[out.start(i * P + j, block) + n];
                    }
                    across(&v, &mut y, F::map);
                    rows::<M>([&y[0], &y[1], &y[2], &y[3]], &mut fours);
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
                    // SAFETY: the row is covered by the strips' tiles, which the caller of `gather` has given to it
                    // alone, and its channel is this task's.
                    let to = unsafe { output.slice((plane + row) * width, width) };
                    to.write_copy_of_slice(&line[..width]);
                }
            }
        }
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for MapTiles<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let (plan, map) = (self.0.plan, self.0.input);
        let plane = |row: usize, sample: usize| plan.map_plane(map, row, sample);
        transformed::<F, TILE, P, M>(self.0, |_| plan.look_at_map(), plane, F::map_transposed);
    }
}

impl<F: Form<P, TILE, R>, const P: usize, const R: usize> Work for ImageResults<'_, F, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<M: Machine>(self) {
        let Results { plan, strips, tiles, taps, first, blocks, output, .. } = self.0;
        let shapes = &plan.shapes;
        let channels = blocks.start * LANES..(blocks.end * LANES).min(plan.inner());
        let out = products::<M>([P * P, strips.blocks()], (taps, first), &channels, (tiles, shapes.outer));
        let (mut v, mut d, mut fours) = ([ZERO; P], [ZERO; P], [[0.0; TILE]; LANES]);
        let (mut sums, mut patches) = (Scratch::new(P * strips.width), Scratch::new(P * strips.width));
        let mut buffer = Scratch::new(strips.len());
        let mut lines = Scratch::new(strips.tile_rows * P * strips.width);
        let offsets = strips.offsets(P, strips.width);
        // What patches have beyond their tiles lies under the next tile: it waits here, where its own tile starts.
        let mut beyond = Scratch::new(lines.len());
        lines.fill(0.0);
        beyond.fill(0.0);
        let [height, width] = shapes.image;
        for (n, row) in channels.enumerate() {
            for (block, offsets) in offsets.iter().enumerate() {
                for i in 0..P {
                    for (j, v) in v.iter_mut().enumerate() {
                        *v = out.vectors()[out.start(i * P + j, block) + n];
                    }
                    across(&v, &mut d, F::image_transposed);
                    rows::<M>([&d[0], &d[1], &d[2], &d[3]], &mut fours);
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
                // SAFETY: the row is reached by the strips' patches, which the caller of `scatter` has given to it
                // alone, and its channel is this task's.
                unsafe { output.slice(start, width) }
            });
        }
    }
}

/// Multiplies the transformed tiles, of so many rows, by the transformed taps of some channels.
#[inline(always)]
fn products<M: Machine>(
    [frequencies, blocks]: [usize; 2],
    (taps, first): (&Panels, usize),
    channels: &Range<usize>,
    (tiles, depth): (&Panels, usize),
) -> Panels {
    let mut out = Panels::by_frequency(frequencies, blocks, channels.len());
    let first = channels.start / LANES - first;
    for frequency in 0..frequencies {
        for block in 0..blocks {
            let right = &tiles.vectors()[tiles.start(frequency, block)..][..depth];
            let start = out.start(frequency, block);
            let out = &mut out.vectors_mut()[start..][..channels.len()];
            for (n, out) in (first..).zip(out.chunks_mut(LANES)) {
                let left = &taps.vectors()[taps.start(frequency, n)..][..depth];
                multiply::<M>(left, right, out, false);
            }
        }
    }
    out
}
