//! Products of strided matrices, and buffers that are used again.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use gemm::Parallelism;

/// A view of numbers as a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// `shape` is rows by columns, `strides` the distance between rows and between columns.
    ///
    /// # Panics
    /// When the last element lies outside `data`.
    pub(crate) fn new(data: &'a [f32], shape: [usize; 2], strides: [usize; 2]) -> Self {
        assert!(extent(shape, strides) <= data.len(), "the matrix fits its slice");
        Self { data, shape, strides }
    }

    /// Rows one after the other.
    pub(crate) fn rows(data: &'a [f32], shape: [usize; 2]) -> Self {
        Self::new(data, shape, [shape[1], 1])
    }

    /// The same numbers with rows and columns swapped.
    pub(crate) fn transposed(self) -> Self {
        let ([rows, columns], [row, column]) = (self.shape, self.strides);
        Self { data: self.data, shape: [columns, rows], strides: [column, row] }
    }
}

/// A matrix to write; what it held before need not be initialised.
pub(crate) struct Output<'a> {
    pointer: *mut f32,
    shape: [usize; 2],
    strides: [usize; 2],
    /// Whether every element is initialised, so that a product may be added.
    initialised: bool,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl<'a> Output<'a> {
    /// Over initialised numbers.
    ///
    /// # Panics
    /// When the last element lies outside `data`.
    pub(crate) fn new(data: &'a mut [f32], shape: [usize; 2], strides: [usize; 2]) -> Self {
        assert!(extent(shape, strides) <= data.len(), "the matrix fits its slice");
        Self { pointer: data.as_mut_ptr(), shape, strides, initialised: true, lifetime: PhantomData }
    }

    /// Over memory that nothing was written to yet.
    ///
    /// # Panics
    /// When the last element lies outside `data`.
    pub(crate) fn uninitialised(
        data: &'a mut [MaybeUninit<f32>],
        shape: [usize; 2],
        strides: [usize; 2],
    ) -> Self {
        assert!(extent(shape, strides) <= data.len(), "the matrix fits its slice");
        let pointer = data.as_mut_ptr().cast();
        Self { pointer, shape, strides, initialised: false, lifetime: PhantomData }
    }
}

fn extent(shape: [usize; 2], strides: [usize; 2]) -> usize {
    if shape.contains(&0) { 0 } else { (shape[0] - 1) * strides[0] + (shape[1] - 1) * strides[1] + 1 }
}

/// `output = left right`, or `output += left right`; every element of `output` is written. The order of each sum
/// depends on the shapes alone, not on the number of threads.
///
/// # Panics
/// When the shapes do not match, or on adding to uninitialised numbers.
pub(crate) fn multiply(output: Output<'_>, add: bool, left: Matrix<'_>, right: Matrix<'_>) {
    let ([rows, depth], columns) = (left.shape, right.shape[1]);
    assert!(right.shape[0] == depth && output.shape == [rows, columns], "the shapes match");
    assert!(output.initialised || !add, "only initialised numbers are added to");
    let distinct = |[row, column]: [usize; 2]| {
        (rows < 2 || row > 0)
            && (columns < 2 || column > 0)
            && (column >= rows * row || row >= columns * column)
    };
    assert!(distinct(output.strides), "no two elements of the output share a place");
    let [output_row, output_column] = output.strides.map(usize::cast_signed);
    let [left_row, left_column] = left.strides.map(usize::cast_signed);
    let [right_row, right_column] = right.strides.map(usize::cast_signed);
    // SAFETY: the constructors checked that every element of each matrix lies within its slice; the output is
    // borrowed mutably, so no input overlaps it, and its elements are distinct; it is only read when initialised.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            output.pointer,
            output_column,
            output_row,
            add,
            left.data.as_ptr(),
            left_column,
            left_row,
            right.data.as_ptr(),
            right_column,
            right_row,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}

/// Numbers that one task of the thread pool should handle at least, where each takes few operations.
pub(crate) const TASK: usize = 1 << 14;

/// A vector of `length` numbers, all of which `fill` writes.
///
/// # Safety
/// `fill` must initialise every element of its slice.
pub(crate) unsafe fn written(length: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    // SAFETY: the caller promises what is asked for.
    let [numbers] = unsafe { written_together([length], |[numbers]| fill(numbers)) };
    numbers
}

/// Vectors of so many numbers each, all of which `fill` writes in one go.
///
/// # Safety
/// `fill` must initialise every element of each of its slices.
pub(crate) unsafe fn written_together<const N: usize>(
    lengths: [usize; N],
    fill: impl FnOnce([&mut [MaybeUninit<f32>]; N]),
) -> [Vec<f32>; N] {
    let mut each = lengths.map(|length| (Vec::with_capacity(length), length));
    fill(each.each_mut().map(|(numbers, length)| &mut numbers.spare_capacity_mut()[..*length]));
    each.map(|(mut numbers, length)| {
        // SAFETY: the capacity is at least `length`, and the caller promises that `fill` initialised that many.
        unsafe { numbers.set_len(length) };
        numbers
    })
}

/// Numbers, or vectors of them, that several tasks write parts of.
pub(crate) struct Shared<'a, T = f32> {
    pointer: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: the numbers are borrowed mutably for as long as this lives, and every access goes through `slice`, whose
// callers see to it that no two tasks have the same numbers.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(numbers: &'a mut [T]) -> Self {
        Self { pointer: numbers.as_mut_ptr(), length: numbers.len(), lifetime: PhantomData }
    }

    /// `length` numbers from `start` on.
    ///
    /// # Panics
    /// When they are not all there.
    ///
    /// # Safety
    /// As long as the result lives, nobody else has any of these numbers.
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, start: usize, length: usize) -> &'a mut [T] {
        assert!(start <= self.length && length <= self.length - start, "the numbers are there");
        // SAFETY: they lie within the borrowed numbers, and the caller promises that they are used here alone.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), length) }
    }
}

/// Buffers that wait to be used again: fresh pages would be faulted in and zeroed at every call.
static POOL: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
/// For each thread at most so many buffers wait,
const POOLED: usize = 8;
/// each at most so long, in numbers (64 MiB).
const POOLED_LENGTH: usize = 16 << 20;

/// Where numbers start that vectors read: a vector of AVX-512 is a line of the cache, and should not lie in two.
const ALIGNMENT: usize = 64;

/// A borrowed buffer with arbitrary content; it goes back to the pool when dropped.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    start: usize,
    length: usize,
}

impl Scratch {
    /// A buffer of `length` numbers.
    pub(crate) fn new(length: usize) -> Self {
        let room = length + ALIGNMENT / size_of::<f32>();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is long enough, else the longest, which then grows.
        let fitting = (0..pool.len()).filter(|&n| pool[n].len() >= room).min_by_key(|&n| pool[n].len());
        let best = fitting.or_else(|| (0..pool.len()).max_by_key(|&n| pool[n].len()));
        let mut buffer = best.map(|n| pool.swap_remove(n)).unwrap_or_default();
        drop(pool);
        if buffer.len() < room {
            buffer.clear(); // Nothing to copy when it moves.
            buffer.resize(room, 0.0);
        }
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(room - length);
        Self { buffer, start, length }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[self.start..][..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start..][..self.length]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED * rayon::current_num_threads() && buffer.len() <= POOLED_LENGTH {
            pool.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_right_and_add_up() {
        let left: Vec<f32> = (0..6).map(|n| n as f32).collect(); // [[0, 1, 2], [3, 4, 5]]
        let right = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]; // [[1, 0], [2, 1], [0, 3]]
        let mut output = vec![0.0; 4];
        for (add, expected) in [(false, [2.0, 7.0, 11.0, 19.0]), (true, [4.0, 14.0, 22.0, 38.0])] {
            let into = Output::new(&mut output, [2, 2], [2, 1]);
            multiply(into, add, Matrix::rows(&left, [2, 3]), Matrix::rows(&right, [3, 2]));
            assert_eq!(output, expected);
        }
    }

    #[test]
    #[should_panic(expected = "the matrix fits its slice")]
    fn a_matrix_beyond_its_slice_is_refused() {
        let _ = Matrix::rows(&[0.0; 5], [2, 3]);
    }
}
