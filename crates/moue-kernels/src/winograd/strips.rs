//! Images in strips with zeros around them, and the tiles that lie in them.

use crate::columns::{add_every, read_every};
use crate::vectors::LANES;

/// Tile rows of one sample that lie together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) sample: usize,
    /// The first tile row, within the sample.
    pub(crate) row: usize,
    pub(crate) rows: usize,
}

/// Some rows of tiles. Each run has a strip, lines of `width` numbers that hold all patches of its tiles; patches of
/// neighbours share `halo` lines and columns.
#[derive(Debug)]
pub(crate) struct Strips {
    pub(crate) runs: Vec<Run>,
    pub(crate) width: usize,
    tile: usize,
    halo: usize,
    /// Tiles in a row.
    pub(crate) columns: usize,
    /// Rows of tiles in all.
    pub(crate) tile_rows: usize,
    /// Tiles in all.
    pub(crate) tiles: usize,
}

impl Strips {
    /// The tile rows `first..end`, counted through the samples, of maps that `[rows, columns]` of tiles cover.
    pub(crate) fn new(
        [rows, columns]: [usize; 2],
        [first, end]: [usize; 2],
        [tile, halo]: [usize; 2],
    ) -> Self {
        let width = columns * tile + halo;
        let (mut runs, mut at) = (Vec::new(), first);
        while at < end {
            let row = at % rows;
            let run = Run { sample: at / rows, row, rows: (rows - row).min(end - at) };
            at += run.rows;
            runs.push(run);
        }
        let tile_rows = end - first;
        Self { runs, width, tile, halo, columns, tile_rows, tiles: tile_rows * columns }
    }

    /// Numbers in all strips of one channel.
    pub(crate) fn len(&self) -> usize {
        self.runs.iter().map(|run| self.lines(run) * self.width).sum()
    }

    /// Blocks of sixteen tiles.
    pub(crate) fn blocks(&self) -> usize {
        self.tiles.div_ceil(LANES)
    }

    fn lines(&self, run: &Run) -> usize {
        run.rows * self.tile + self.halo
    }

    /// The strip, its run, and the first line of the strip, counted from the top of the sample's virtual image.
    fn parts(&self) -> impl Iterator<Item = (&Run, usize, std::ops::Range<usize>)> {
        let mut start = 0;
        self.runs.iter().map(move |run| {
            let length = self.lines(run) * self.width;
            start += length;
            (run, run.row * self.tile, start - length..start)
        })
    }

    /// Writes what a channel's strips show of its planes: at line i and column j the pixel `stride i + down`,
    /// `stride j + right`, and zero outside the plane.
    #[inline(always)]
    pub(crate) fn read<'a>(&self, look: &Look, plane: impl Fn(usize) -> &'a [f32], strips: &mut [f32]) {
        for (run, top, range) in self.parts() {
            let plane = plane(run.sample);
            for (n, line) in strips[range].chunks_exact_mut(self.width).enumerate() {
                let Some(y) = look.row(top + n) else {
                    line.fill(0.0);
                    continue;
                };
                let (inside, first) = look.columns(self.width);
                // Mostly one or two numbers: too few to call for a fill.
                line[..inside.start].iter_mut().for_each(|value| *value = 0.0);
                line[inside.end..].iter_mut().for_each(|value| *value = 0.0);
                let (line, row) = (&mut line[inside.clone()], &plane[y * look.size[1] + first..]);
                read_every(look.stride, row, line);
            }
        }
    }

    /// Adds what [`Self::read`] reads back to where it was read; `row(sample, y)` is row y of a sample's plane.
    #[inline(always)]
    pub(crate) fn add<'a>(
        &self,
        look: &Look,
        strips: &[f32],
        mut row: impl FnMut(usize, usize) -> &'a mut [f32],
    ) {
        for (run, top, range) in self.parts() {
            for (n, line) in strips[range].chunks_exact(self.width).enumerate() {
                let Some(y) = look.row(top + n) else { continue };
                let (inside, first) = look.columns(self.width);
                let (line, row) = (&line[inside], &mut row(run.sample, y)[first..]);
                add_every(look.stride, line, row);
            }
        }
    }
}

/// How a strip looks at a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Height and width of the plane.
    pub(crate) size: [usize; 2],
    pub(crate) stride: usize,
    /// The pixel that the first line and column see lies so far above and left of the plane.
    pub(crate) outside: [isize; 2],
}

impl Look {
    #[inline(always)]
    fn row(&self, line: usize) -> Option<usize> {
        let y = (line * self.stride).cast_signed() - self.outside[0];
        (0..self.size[0].cast_signed()).contains(&y).then(|| y.cast_unsigned())
    }

    /// The columns of a strip that see the plane, and what the first of them sees.
    #[inline(always)]
    fn columns(&self, width: usize) -> (std::ops::Range<usize>, usize) {
        let (stride, outside) = (self.stride, self.outside[1]);
        let start = outside.max(0).cast_unsigned().div_ceil(stride).min(width);
        let end = (self.size[1].cast_signed() + outside).max(0).cast_unsigned().div_ceil(stride);
        let end = end.clamp(start, width);
        let first = if start < end { (start * stride).cast_signed() - outside } else { 0 };
        (start..end, first.cast_unsigned())
    }
}

impl Strips {
    /// The rows of tiles, in order: sample, first row of the map, and where in the strips the patches start.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.parts().flat_map(move |(run, top, range)| {
            let step = self.tile * self.width;
            (0..run.rows).map(move |row| (run.sample, top + row * self.tile, range.start + row * step))
        })
    }

    /// Where tiles start among `lines` lines of `width` numbers for each row of tiles; sixteen a time.
    pub(crate) fn offsets(&self, lines: usize, width: usize) -> Vec<[usize; LANES]> {
        let place = |tile: usize| tile / self.columns * lines * width + tile % self.columns * self.tile;
        let blocks = (0..self.blocks()).map(|block| {
            // What fills the last block up is the first tile again.
            std::array::from_fn(|lane| {
                place(Some(block * LANES + lane).filter(|n| *n < self.tiles).unwrap_or(0))
            })
        });
        blocks.collect()
    }
}
