//! Transformed numbers as panels of sixteen, and their products.

use crate::matrix::Scratch;
use crate::vectors::{LANES, multiply_add};

/// Sixteen numbers.
pub(crate) type Vector = [f32; LANES];

/// Sixteen times nothing.
pub(crate) const ZERO: Vector = [0.0; LANES];

/// For each of the places of a patch ("frequencies") a matrix, in blocks of sixteen columns.
pub(crate) struct Panels {
    numbers: Scratch,
    layout: Layout,
}

/// How panels lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Vectors from one frequency to the next.
    pub(crate) frequency: usize,
    /// Vectors from one block to the next.
    pub(crate) block: usize,
}

impl Layout {
    /// Where row 0 of a block at a frequency lies.
    #[inline(always)]
    pub(crate) fn start(&self, frequency: usize, block: usize) -> usize {
        frequency * self.frequency + block * self.block
    }
}

impl Panels {
    /// Room for `blocks` of `depth` rows at each of `frequencies`, of arbitrary content; all of a frequency together.
    pub(crate) fn by_frequency(frequencies: usize, blocks: usize, depth: usize) -> Self {
        // Odd, so that the same place of many frequencies is not in the same set of a cache.
        let frequency = (blocks * depth) | 1;
        let layout = Layout { frequency, block: depth };
        Self { numbers: Scratch::new(frequencies * frequency * LANES), layout }
    }

    /// The same with all of a block together.
    pub(crate) fn by_block(frequencies: usize, blocks: usize, depth: usize) -> Self {
        let frequency = depth | 1;
        let block = frequencies * frequency;
        Self { numbers: Scratch::new(blocks * block * LANES), layout: Layout { frequency, block } }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn vectors(&self) -> &[Vector] {
        self.numbers.as_chunks().0
    }

    pub(crate) fn vectors_mut(&mut self) -> &mut [Vector] {
        self.numbers.as_chunks_mut().0
    }

    /// Where row 0 of a block at a frequency lies.
    #[inline(always)]
    pub(crate) fn start(&self, frequency: usize, block: usize) -> usize {
        self.layout.start(frequency, block)
    }
}

/// The rows of a matrix `[rows, columns]` in blocks of sixteen columns: a vector is sixteen of a row, and a block all
/// rows; what lacks at the end is zero.
pub(crate) struct ColumnBlocks {
    numbers: Scratch,
    rows: usize,
}

impl ColumnBlocks {
    pub(crate) fn new(matrix: &[f32], [rows, columns]: [usize; 2]) -> Self {
        let mut numbers = Scratch::new(columns.div_ceil(LANES) * rows * LANES);
        for (block, vectors) in numbers.as_chunks_mut::<LANES>().0.chunks_exact_mut(rows).enumerate() {
            let first = block * LANES;
            let count = LANES.min(columns - first);
            for (row, vector) in vectors.iter_mut().enumerate() {
                vector[..count].copy_from_slice(&matrix[row * columns + first..][..count]);
                vector[count..].fill(0.0);
            }
        }
        Self { numbers, rows }
    }

    pub(crate) fn block(&self, block: usize) -> &[Vector] {
        &self.numbers.as_chunks().0[block * self.rows..][..self.rows]
    }
}

/// The columns of a matrix `[rows, columns]` in blocks of sixteen rows: a vector is sixteen of a column, and a block
/// all columns, filled up to whole sixteens; what lacks at the end is zero.
pub(crate) struct RowBlocks {
    numbers: Scratch,
    padded: usize,
}

impl RowBlocks {
    pub(crate) fn new(matrix: &[f32], [rows, columns]: [usize; 2]) -> Self {
        let padded = columns.next_multiple_of(LANES);
        let mut numbers = Scratch::new(rows.div_ceil(LANES) * padded * LANES);
        for (block, vectors) in numbers.as_chunks_mut::<LANES>().0.chunks_exact_mut(padded).enumerate() {
            vectors[columns..].fill(ZERO);
            for (column, vector) in vectors[..columns].iter_mut().enumerate() {
                for (row, value) in (block * LANES..).zip(vector) {
                    *value = if row < rows { matrix[row * columns + column] } else { 0.0 };
                }
            }
        }
        Self { numbers, padded }
    }

    pub(crate) fn block(&self, block: usize) -> &[Vector] {
        &self.numbers.as_chunks().0[block * self.padded..][..self.padded]
    }
}

/// `out[r] += sum_t left[n][r][t] right[n][t]` over the blocks n and the sixteen t: the factors of a row lie side by side.
#[inline(always)]
pub(crate) fn multiply_rows<const FUSED: bool>(left: &[&[Vector]], right: &[&[Vector]], out: &mut [Vector]) {
    const ROWS: usize = 6;
    let whole = out.len() - out.len() % ROWS;
    let (many, few) = out.split_at_mut(whole);
    for (n, out) in many.chunks_exact_mut(ROWS).enumerate() {
        side_by_side::<ROWS, FUSED>(left, n * ROWS, right, out);
    }
    for (n, out) in few.chunks_exact_mut(1).enumerate() {
        side_by_side::<1, FUSED>(left, whole + n, right, out);
    }
}

#[inline(always)]
fn side_by_side<const ROWS: usize, const FUSED: bool>(
    left: &[&[Vector]],
    first: usize,
    right: &[&[Vector]],
    out: &mut [Vector],
) {
    let mut sums = [ZERO; ROWS];
    sums.copy_from_slice(&out[..ROWS]);
    for (left, right) in left.iter().zip(right) {
        let (Some(left), Some(right)) = (left[first..].first_chunk::<ROWS>(), right.first_chunk::<LANES>())
        else {
            panic!("a block has its rows and sixteen factors");
        };
        for t in 0..LANES {
            for row in 0..ROWS {
                for lane in 0..LANES {
                    sums[row][lane] = multiply_add::<FUSED>(left[row][t], right[t][lane], sums[row][lane]);
                }
            }
        }
    }
    out[..ROWS].copy_from_slice(&sums);
}

/// `out[r] = sum_t left[t][r] right[t]` for each of the at most sixteen rows of `out`; added to it on `add`.
#[inline(always)]
pub(crate) fn multiply<const FUSED: bool>(left: &[Vector], right: &[Vector], out: &mut [Vector], add: bool) {
    // Up to six rows have their sums in registers all along.
    let (rows, parts) = (out.len(), out.len().div_ceil(6));
    let mut first = 0;
    for part in 0..parts {
        let end = (part + 1) * rows / parts;
        let out = &mut out[first..end];
        match end - first {
            1 => rows_of::<1, FUSED>(left, first, right, out, add),
            2 => rows_of::<2, FUSED>(left, first, right, out, add),
            3 => rows_of::<3, FUSED>(left, first, right, out, add),
            4 => rows_of::<4, FUSED>(left, first, right, out, add),
            5 => rows_of::<5, FUSED>(left, first, right, out, add),
            _ => rows_of::<6, FUSED>(left, first, right, out, add),
        }
        first = end;
    }
}

#[inline(always)]
fn rows_of<const ROWS: usize, const FUSED: bool>(
    left: &[Vector],
    first: usize,
    right: &[Vector],
    out: &mut [Vector],
    add: bool,
) {
    assert!(first + ROWS <= LANES && out.len() == ROWS, "the rows are some of a block");
    let mut sums = [[0.0_f32; LANES]; ROWS];
    for (left, right) in left.iter().zip(right) {
        for row in 0..ROWS {
            for lane in 0..LANES {
                sums[row][lane] = multiply_add::<FUSED>(left[first + row], right[lane], sums[row][lane]);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for lane in 0..LANES {
            out[lane] = if add { out[lane] + sums[lane] } else { sums[lane] };
        }
    }
}
