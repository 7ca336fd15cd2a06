//! Transformed numbers as panels of sixteen, and their products.

use crate::matrix::Scratch;
use crate::vectors::{LANES, Machine, multiply_add};

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
pub(crate) fn multiply_rows<M: Machine>(left: &[&[Vector]], right: &[&[Vector]], out: &mut [Vector]) {
    if M::AVX512 {
        rows_side_by_side::<12, M>(left, right, out);
    } else {
        rows_side_by_side::<6, M>(left, right, out);
    }
}

/// [`multiply_rows`], so many rows at a time: as many as have their sums in registers.
#[inline(always)]
fn rows_side_by_side<const ROWS: usize, M: Machine>(
    left: &[&[Vector]],
    right: &[&[Vector]],
    out: &mut [Vector],
) {
    let whole = out.len() - out.len() % ROWS;
    let (many, few) = out.split_at_mut(whole);
    for (n, out) in many.chunks_exact_mut(ROWS).enumerate() {
        side_by_side::<ROWS, M>(left, n * ROWS, right, out);
    }
    for (n, out) in few.chunks_exact_mut(1).enumerate() {
        side_by_side::<1, M>(left, whole + n, right, out);
    }
}

#[inline(always)]
fn side_by_side<const ROWS: usize, M: Machine>(
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
                add_product::<M>(left[row][t], &right[t], &mut sums[row]);
            }
        }
    }
    out[..ROWS].copy_from_slice(&sums);
}

/// `out[r] = sum_t left[t][r] right[t]` for each of the at most sixteen rows of `out`; added to it on `add`.
#[inline(always)]
pub(crate) fn multiply<M: Machine>(left: &[Vector], right: &[Vector], out: &mut [Vector], add: bool) {
    if M::AVX512 && out.len() == LANES {
        return rows_of::<LANES, M>(left, 0, right, out, add);
    }
    // Up to six rows, whose sums stay in registers.
    let (rows, parts) = (out.len(), out.len().div_ceil(6));
    let mut first = 0;
    for part in 0..parts {
        let end = (part + 1) * rows / parts;
        let out = &mut out[first..end];
        match end - first {
            1 => rows_of::<1, M>(left, first, right, out, add),
            2 => rows_of::<2, M>(left, first, right, out, add),
            3 => rows_of::<3, M>(left, first, right, out, add),
            4 => rows_of::<4, M>(left, first, right, out, add),
            5 => rows_of::<5, M>(left, first, right, out, add),
            _ => rows_of::<6, M>(left, first, right, out, add),
        }
        first = end;
    }
}

#[inline(always)]
fn rows_of<const ROWS: usize, M: Machine>(
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
            add_product::<M>(left[first + row], right, &mut sums[row]);
        }
    }
    for (out, sum) in out.iter_mut().zip(&sums) {
        if add {
            self::add::<M>(sum, out);
        } else {
            *out = *sum;
        }
    }
}

/// `sum += factor vector`.
#[inline(always)]
pub(crate) fn add_product<M: Machine>(factor: f32, vector: &Vector, sum: &mut Vector) {
    #[cfg(target_arch = "x86_64")]
    if M::AVX512 {
        // SAFETY: the machine has AVX-512.
        return unsafe { avx512::add_product(factor, vector, sum) };
    }
    for lane in 0..LANES {
        sum[lane] = multiply_add::<M>(factor, vector[lane], sum[lane]);
    }
}

/// `product *= factors`.
#[inline(always)]
pub(crate) fn scale<M: Machine>(factors: &Vector, product: &mut Vector) {
    #[cfg(target_arch = "x86_64")]
    if M::AVX512 {
        // SAFETY: the machine has AVX-512.
        return unsafe { avx512::scale(factors, product) };
    }
    for lane in 0..LANES {
        product[lane] *= factors[lane];
    }
}

/// `sum += vector`.
#[inline(always)]
pub(crate) fn add<M: Machine>(vector: &Vector, sum: &mut Vector) {
    #[cfg(target_arch = "x86_64")]
    if M::AVX512 {
        // SAFETY: the machine has AVX-512.
        return unsafe { avx512::add(vector, sum) };
    }
    for lane in 0..LANES {
        sum[lane] += vector[lane];
    }
}

/// Vectors as vectors: of loops over their numbers within a loop over vectors, compilers make gathers and scatters.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::Vector;

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(vector: &Vector) -> __m512 {
        // SAFETY: the load is of a whole vector.
        unsafe { _mm512_loadu_ps(vector.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(numbers: __m512, vector: &mut Vector) {
        // SAFETY: the store is of a whole vector.
        unsafe { _mm512_storeu_ps(vector.as_mut_ptr(), numbers) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn add_product(factor: f32, vector: &Vector, sum: &mut Vector) {
        store(_mm512_fmadd_ps(_mm512_set1_ps(factor), load(vector), load(sum)), sum);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn scale(factors: &Vector, product: &mut Vector) {
        store(_mm512_mul_ps(load(factors), load(product)), product);
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn add(vector: &Vector, sum: &mut Vector) {
        store(_mm512_add_ps(load(vector), load(sum)), sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{Work, on_each_machine};

    /// `left` by `right` for so many rows, then the same added to it.
    #[derive(Clone)]
    struct Multiplied<'a> {
        left: &'a [Vector],
        right: &'a [Vector],
        rows: usize,
    }

    impl Work for Multiplied<'_> {
        type Output = Vec<Vector>;

        #[inline(always)]
        fn run<M: Machine>(self) -> Vec<Vector> {
            let mut out = vec![[f32::NAN; LANES]; self.rows];
            multiply::<M>(self.left, self.right, &mut out, false);
            multiply::<M>(self.left, self.right, &mut out, true);
            out
        }
    }

    /// The products of many rows.
    #[derive(Clone)]
    struct Rows<'a>(&'a [Vector], &'a [Vector]);

    impl Work for Rows<'_> {
        type Output = Vec<Vector>;

        #[inline(always)]
        fn run<M: Machine>(self) -> Vec<Vector> {
            let (left, right) = (self.0, self.1);
            let mut out = vec![ZERO; left.len() / 2];
            let (a, b) = left.split_at(out.len());
            multiply_rows::<M>(&[a, b], &[&right[..LANES], &right[LANES..]], &mut out);
            out
        }
    }

    /// Small whole numbers, whose sums of products are exact.
    fn vectors(count: usize, seed: usize) -> Vec<Vector> {
        let number = |n: usize| ((n * 7 + seed) % 11) as f32 - 5.0;
        (0..count).map(|n| std::array::from_fn(|lane| number(n * 3 + lane))).collect()
    }

    #[test]
    fn products_are_the_same_on_every_machine() {
        let (left, right) = (vectors(37, 1), vectors(37, 2));
        for rows in 1..=LANES {
            let expected = |row: usize, lane: usize| -> f32 {
                2.0 * left.iter().zip(&right).map(|(left, right)| left[row] * right[lane]).sum::<f32>()
            };
            let expected: Vec<Vector> =
                (0..rows).map(|row| std::array::from_fn(|lane| expected(row, lane))).collect();
            for found in on_each_machine(&Multiplied { left: &left, right: &right, rows }) {
                assert_eq!(found, expected, "{rows} rows");
            }
        }
        let (left, right) = (vectors(2 * 31, 3), vectors(2 * LANES, 4));
        let expected = |row: usize, lane: usize| -> f32 {
            let halves = [(&left[row], &right[..LANES]), (&left[31 + row], &right[LANES..])];
            halves.map(|(left, right)| (0..LANES).map(|t| left[t] * right[t][lane]).sum::<f32>()).iter().sum()
        };
        let expected: Vec<Vector> =
            (0..31).map(|row| std::array::from_fn(|lane| expected(row, lane))).collect();
        for found in on_each_machine(&Rows(&left, &right)) {
            assert_eq!(found, expected);
        }
    }
}
