//! Transforms down the columns of lines, and between lines and sixteen tiles side by side.

use super::form::across;
use crate::panels::{Vector, ZERO};
use crate::vectors::{LANES, Machine};

/// `f` down each column of `I` lines of `width` numbers: `O` lines.
#[inline(always)]
pub(super) fn down<const I: usize, const O: usize>(
    from: &[f32],
    to: &mut [f32],
    width: usize,
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let (from, to) = (&from[..I * width], &mut to[..O * width]);
    if width < LANES {
        for x in 0..width {
            let mut column = [0.0; I];
            for i in 0..I {
                column[i] = from[i * width + x];
            }
            let column = f(column);
            for i in 0..O {
                to[i * width + x] = column[i];
            }
        }
        return;
    }
    let (mut d, mut y) = ([ZERO; I], [ZERO; O]);
    for x in (0..width).step_by(LANES) {
        let x = x.min(width - LANES); // The last sixteen may be some of the last but one again.
        for i in 0..I {
            d[i].copy_from_slice(&from[i * width + x..][..LANES]);
        }
        across(&d, &mut y, &f);
        for i in 0..O {
            to[i * width + x..][..LANES].copy_from_slice(&y[i]);
        }
    }
}

#[inline(always)]
fn four(numbers: &[f32], at: usize) -> &[f32; 4] {
    match numbers[at..].first_chunk() {
        Some(four) => four,
        None => panic!("a tile lies within its lines"),
    }
}

/// The `N` numbers, 4 to 8, that start at each of sixteen places of `line`: lane n of `d[j]` is number j of place n.
#[inline(always)]
pub(super) fn read<const N: usize, M: Machine>(line: &[f32], offsets: &[usize; LANES], d: &mut [Vector; N]) {
    for start in [0, 8] {
        let left = eight_rows::<M>(fours(line, offsets, start, 0));
        for j in 0..4 {
            d[j][start..][..8].copy_from_slice(&left[j]);
        }
        if N > 4 {
            let right = eight_rows::<M>(fours(line, offsets, start, N - 4));
            for j in 4..N {
                d[j][start..][..8].copy_from_slice(&right[j + 4 - N]);
            }
        }
    }
}

/// Four numbers `beyond` each of the eight places from number `first` on.
#[inline(always)]
fn fours<'a>(line: &'a [f32], offsets: &[usize; LANES], first: usize, beyond: usize) -> [&'a [f32; 4]; 8] {
    [
        four(line, offsets[first] + beyond),
        four(line, offsets[first + 1] + beyond),
        four(line, offsets[first + 2] + beyond),
        four(line, offsets[first + 3] + beyond),
        four(line, offsets[first + 4] + beyond),
        four(line, offsets[first + 5] + beyond),
        four(line, offsets[first + 6] + beyond),
        four(line, offsets[first + 7] + beyond),
    ]
}

/// Eight rows of four as four columns of eight.
#[inline(always)]
fn eight_rows<M: Machine>(rows: [&[f32; 4]; 8]) -> [[f32; 8]; 4] {
    #[cfg(target_arch = "x86_64")]
    if M::AVX2 {
        // SAFETY: the machine has AVX2.
        return unsafe { avx::columns(rows) };
    }
    let mut columns = [[0.0; 8]; 4];
    for n in 0..8 {
        for j in 0..4 {
            columns[j][n] = rows[n][j];
        }
    }
    columns
}

/// The first four numbers of each lane: `rows[n]` of lane n.
#[inline(always)]
pub(super) fn rows<M: Machine>(y: [&Vector; 4], rows: &mut [[f32; 4]; LANES]) {
    #[cfg(target_arch = "x86_64")]
    if M::AVX2 {
        // SAFETY: the machine has AVX2.
        unsafe { avx::rows(y, rows) };
        return;
    }
    for n in 0..LANES {
        for j in 0..4 {
            rows[n][j] = y[j][n];
        }
    }
}

/// The same with shuffles, which no compiler makes of the loops.
#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::*;

    use super::{LANES, Vector};

    /// Four by four numbers in either half, transposed.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; 4] {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn pair(low: &[f32; 4], high: &[f32; 4]) -> __m256 {
        // SAFETY: each load is of a whole array.
        let (low, high) = unsafe { (_mm_loadu_ps(low.as_ptr()), _mm_loadu_ps(high.as_ptr())) };
        _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn columns(rows: [&[f32; 4]; 8]) -> [[f32; 8]; 4] {
        let [a, b, c, d, e, f, g, h] = rows;
        let columns = transposed(pair(a, e), pair(b, f), pair(c, g), pair(d, h));
        // SAFETY: vectors and arrays of eight numbers are the same bytes.
        unsafe { std::mem::transmute::<[__m256; 4], [[f32; 8]; 4]>(columns) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn rows(y: [&Vector; 4], rows: &mut [[f32; 4]; LANES]) {
        let [a, b, c, d] = y;
        for start in [0, 8] {
            // SAFETY: of the sixteen numbers each load takes eight from 0 or 8 on.
            let [a, b, c, d] = unsafe {
                [
                    _mm256_loadu_ps(a.as_ptr().add(start)),
                    _mm256_loadu_ps(b.as_ptr().add(start)),
                    _mm256_loadu_ps(c.as_ptr().add(start)),
                    _mm256_loadu_ps(d.as_ptr().add(start)),
                ]
            };
            let pairs = transposed(a, b, c, d);
            for n in 0..4 {
                // SAFETY: each store fills a whole row.
                unsafe {
                    _mm_storeu_ps(rows[start + n].as_mut_ptr(), _mm256_castps256_ps128(pairs[n]));
                    _mm_storeu_ps(rows[start + n + 4].as_mut_ptr(), _mm256_extractf128_ps::<1>(pairs[n]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{Work, on_each_machine};

    /// What is read at sixteen places of a line, six numbers each, and the first four of them as rows again.
    #[derive(Clone)]
    struct ReadAndRows<'a>(&'a [f32], [usize; LANES]);

    impl Work for ReadAndRows<'_> {
        type Output = ([Vector; 6], [[f32; 4]; LANES]);

        #[inline(always)]
        fn run<M: Machine>(self) -> Self::Output {
            let (mut d, mut fours) = ([ZERO; 6], [[0.0; 4]; LANES]);
            read::<6, M>(self.0, &self.1, &mut d);
            rows::<M>([&d[0], &d[1], &d[2], &d[3]], &mut fours);
            (d, fours)
        }
    }

    #[test]
    fn tiles_are_read_and_written_alike_on_every_machine() {
        let line: Vec<f32> = (0..100).map(|n| n as f32).collect();
        let offsets = std::array::from_fn(|n| n * 37 % 95);
        for (d, fours) in on_each_machine(&ReadAndRows(&line, offsets)) {
            for (n, offset) in offsets.into_iter().enumerate() {
                assert!((0..6).all(|j| d[j][n] == line[offset + j]));
                assert_eq!(fours[n], line[offset..][..4]);
            }
        }
    }
}
