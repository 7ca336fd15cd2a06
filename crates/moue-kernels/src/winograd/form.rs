//! The transforms of Winograd's minimal filtering (Lavin and Gray 2016), in one dimension and in two.
//!
//! A tile of `M` outputs in a row is a short convolution of `P = M + R - 1` inputs by `R` taps, which is a product of
//! polynomials, and those are multiplied by their values at `P` points: `y = A^T ((G g) (B^T d))`, element by element
//! between the brackets. With finite points `p_i`, whose product `M(x)` is of all `x - p_i`, and one at infinity, row i
//! of `B^T` has the coefficients of `M(x) / (x - p_i)`, row i of `G` the powers of `p_i` divided by
//! `M'(p_i)`, and column i of `A^T` the powers of `p_i`; the last row or column takes the highest power alone.
//!
//! The points decide how much is rounded away. Of 3x3 taps, +-sqrt(1/2) and +-sqrt(2) beside 0 and infinity round
//! less than the usual +-1 and +-2 (Barabasz et al. 2020 on the choice of points); the tests have the figures.

use crate::panels::{Vector, ZERO};
use crate::vectors::LANES;

/// `N` by `N` matrices, sixteen side by side.
pub(crate) type Square<const N: usize> = [[Vector; N]; N];

/// The one-dimensional transforms of a form with patches of `P` numbers, `M` outputs and `R` taps.
pub(crate) trait Form<const P: usize, const M: usize, const R: usize>: Copy + Send + Sync {
    /// `B^T d`: a patch of the image.
    fn image(d: [f32; P]) -> [f32; P];
    /// `B v`, the transpose of [`Self::image`].
    fn image_transposed(v: [f32; P]) -> [f32; P];
    /// `A^T m`: the outputs.
    fn map(m: [f32; P]) -> [f32; M];
    /// `A y`, the transpose of [`Self::map`].
    fn map_transposed(y: [f32; M]) -> [f32; P];
    /// `G g`: the taps.
    fn taps(g: [f32; R]) -> [f32; P];
    /// `G^T u`, the transpose of [`Self::taps`].
    fn taps_transposed(u: [f32; P]) -> [f32; R];
}

/// Four outputs of three taps, at the points 0, +-`NEAR`, +-`FAR` and infinity: 36 products instead of 144.
#[derive(Clone, Copy)]
pub(crate) struct ThreeTaps;

const NEAR: f64 = std::f64::consts::FRAC_1_SQRT_2;
const FAR: f64 = std::f64::consts::SQRT_2;
/// `1 / M'(p)` at `NEAR` and `-NEAR`; at 0 it is 1, because `NEAR * FAR` is.
const BY_NEAR: f64 = 1.0 / (2.0 * NEAR * NEAR * (NEAR * NEAR - FAR * FAR));
const BY_FAR: f64 = 1.0 / (2.0 * FAR * FAR * (FAR * FAR - NEAR * NEAR));

/// `NEAR` and `FAR` to the powers 1 to 3.
const N: [f32; 3] = [NEAR as f32, (NEAR * NEAR) as f32, (NEAR * NEAR * NEAR) as f32];
const F: [f32; 3] = [FAR as f32, (FAR * FAR) as f32, (FAR * FAR * FAR) as f32];
/// They divided by `M'`, to the powers 0 to 2.
const NG: [f32; 3] = [BY_NEAR as f32, (BY_NEAR * NEAR) as f32, (BY_NEAR * NEAR * NEAR) as f32];
const FG: [f32; 3] = [BY_FAR as f32, (BY_FAR * FAR) as f32, (BY_FAR * FAR * FAR) as f32];
const SQUARES: f32 = (NEAR * NEAR + FAR * FAR) as f32;

impl Form<6, 4, 3> for ThreeTaps {
    #[inline(always)]
    fn image(d: [f32; 6]) -> [f32; 6] {
        let near = [d[4] - d[2] * F[1], (d[3] - d[1] * F[1]) * N[0]];
        let far = [d[4] - d[2] * N[1], (d[3] - d[1] * N[1]) * F[0]];
        [
            d[4] - d[2] * SQUARES + d[0],
            near[0] + near[1],
            near[0] - near[1],
            far[0] + far[1],
            far[0] - far[1],
            d[5] - d[3] * SQUARES + d[1],
        ]
    }

    #[inline(always)]
    fn image_transposed(v: [f32; 6]) -> [f32; 6] {
        let near = [v[1] + v[2], (v[1] - v[2]) * N[0]];
        let far = [v[3] + v[4], (v[3] - v[4]) * F[0]];
        [
            v[0],
            v[5] - near[1] * F[1] - far[1] * N[1],
            -v[0] * SQUARES - near[0] * F[1] - far[0] * N[1],
            near[1] + far[1] - v[5] * SQUARES,
            v[0] + near[0] + far[0],
            v[5],
        ]
    }

    #[inline(always)]
    fn map(m: [f32; 6]) -> [f32; 4] {
        let near = [m[1] + m[2], m[1] - m[2]];
        let far = [m[3] + m[4], m[3] - m[4]];
        [
            m[0] + near[0] + far[0],
            near[1] * N[0] + far[1] * F[0],
            near[0] * N[1] + far[0] * F[1],
            near[1] * N[2] + far[1] * F[2] + m[5],
        ]
    }

    #[inline(always)]
    fn map_transposed(y: [f32; 4]) -> [f32; 6] {
        let near = [y[0] + y[2] * N[1], y[1] * N[0] + y[3] * N[2]];
        let far = [y[0] + y[2] * F[1], y[1] * F[0] + y[3] * F[2]];
        [y[0], near[0] + near[1], near[0] - near[1], far[0] + far[1], far[0] - far[1], y[3]]
    }

    #[inline(always)]
    fn taps(g: [f32; 3]) -> [f32; 6] {
        let near = [g[0] * NG[0] + g[2] * NG[2], g[1] * NG[1]];
        let far = [g[0] * FG[0] + g[2] * FG[2], g[1] * FG[1]];
        [g[0], near[0] + near[1], near[0] - near[1], far[0] + far[1], far[0] - far[1], g[2]]
    }

    #[inline(always)]
    fn taps_transposed(u: [f32; 6]) -> [f32; 3] {
        let near = [u[1] + u[2], u[1] - u[2]];
        let far = [u[3] + u[4], u[3] - u[4]];
        [
            u[0] + near[0] * NG[0] + far[0] * FG[0],
            near[1] * NG[1] + far[1] * FG[1],
            near[0] * NG[2] + far[0] * FG[2] + u[5],
        ]
    }
}

/// Four outputs of two taps, at the points 0, +-1, 2 and infinity: 25 products instead of 64.
#[derive(Clone, Copy)]
pub(crate) struct TwoTaps;

impl Form<5, 4, 2> for TwoTaps {
    #[inline(always)]
    fn image(d: [f32; 5]) -> [f32; 5] {
        let (odd, even) = (d[3] - d[1], d[2] * 2.0);
        [
            odd + d[0] * 2.0 - even,
            d[3] - d[2] - d[1] * 2.0,
            d[3] - even - d[2] + d[1] * 2.0,
            odd,
            d[4] - d[3] * 2.0 - d[2] + d[1] * 2.0,
        ]
    }

    #[inline(always)]
    fn image_transposed(v: [f32; 5]) -> [f32; 5] {
        [
            v[0] * 2.0,
            (v[2] - v[1] + v[4]) * 2.0 - v[0] - v[3],
            -v[0] * 2.0 - v[1] - v[2] * 3.0 - v[4],
            v[0] + v[1] + v[2] + v[3] - v[4] * 2.0,
            v[4],
        ]
    }

    #[inline(always)]
    fn map(m: [f32; 5]) -> [f32; 4] {
        let (sum, difference) = (m[1] + m[2], m[1] - m[2]);
        [m[0] + sum + m[3], difference + m[3] * 2.0, sum + m[3] * 4.0, difference + m[3] * 8.0 + m[4]]
    }

    #[inline(always)]
    fn map_transposed(y: [f32; 4]) -> [f32; 5] {
        let (even, odd) = (y[0] + y[2], y[1] + y[3]);
        [y[0], even + odd, even - odd, y[0] + y[1] * 2.0 + y[2] * 4.0 + y[3] * 8.0, y[3]]
    }

    #[inline(always)]
    fn taps(g: [f32; 2]) -> [f32; 5] {
        [
            g[0] * 0.5,
            (g[0] + g[1]) * -0.5,
            (g[1] - g[0]) * (1.0 / 6.0),
            g[0] * (1.0 / 6.0) + g[1] * (1.0 / 3.0),
            g[1],
        ]
    }

    #[inline(always)]
    fn taps_transposed(u: [f32; 5]) -> [f32; 2] {
        let sixth = 1.0 / 6.0;
        [(u[0] - u[1]) * 0.5 + (u[3] - u[2]) * sixth, u[1] * -0.5 + u[2] * sixth + u[3] * (1.0 / 3.0) + u[4]]
    }
}

/// `f` of the numbers in each lane.
#[inline(always)]
pub(crate) fn across<const I: usize, const O: usize>(
    d: &[Vector; I],
    y: &mut [Vector; O],
    f: impl Fn([f32; I]) -> [f32; O],
) {
    for lane in 0..LANES {
        let mut column = [0.0; I];
        for i in 0..I {
            column[i] = d[i][lane];
        }
        let column = f(column);
        for i in 0..O {
            y[i][lane] = column[i];
        }
    }
}

/// `f` along the columns, which leaves `half`, and then along the rows of `I` by `I` numbers.
#[inline(always)]
pub(crate) fn both<const I: usize, const O: usize>(
    d: &Square<I>,
    half: &mut [[Vector; I]; O],
    out: &mut Square<O>,
    f: impl Fn([f32; I]) -> [f32; O],
) {
    let (mut column, mut transformed) = ([ZERO; I], [ZERO; O]);
    for j in 0..I {
        for i in 0..I {
            column[i] = d[i][j];
        }
        across(&column, &mut transformed, &f);
        for i in 0..O {
            half[i][j] = transformed[i];
        }
    }
    for (half, out) in half.iter().zip(out) {
        across(half, out, &f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transform's matrix, by its columns.
    fn columns<const I: usize, const O: usize>(f: impl Fn([f32; I]) -> [f32; O]) -> Vec<[f32; O]> {
        let unit = |n: usize| std::array::from_fn(|i| if i == n { 1.0 } else { 0.0 });
        (0..I).map(|n| f(unit(n))).collect()
    }

    fn are_transposes<const I: usize, const O: usize>(
        f: impl Fn([f32; I]) -> [f32; O],
        g: impl Fn([f32; O]) -> [f32; I],
    ) {
        let (f, g) = (columns(f), columns(g));
        (0..I).for_each(|i| (0..O).for_each(|o| assert!((f[i][o] - g[o][i]).abs() < 1e-6, "{i} {o}")));
    }

    fn filters<const P: usize, const M: usize, const R: usize, F: Form<P, M, R>>(_: F) {
        are_transposes(F::image, F::image_transposed);
        are_transposes(F::map, F::map_transposed);
        are_transposes(F::taps, F::taps_transposed);
        let d: [f32; P] = std::array::from_fn(|n| (n * n % 7) as f32 - 2.5);
        let g: [f32; R] = std::array::from_fn(|n| n as f32 * 1.5 - 1.0);
        let (v, u) = (F::image(d), F::taps(g));
        let y = F::map(std::array::from_fn(|n| v[n] * u[n]));
        for (n, y) in y.into_iter().enumerate() {
            let expected: f32 = (0..R).map(|tap| d[n + tap] * g[tap]).sum();
            assert!((y - expected).abs() < 1e-4, "{n}: {y} instead of {expected}");
        }
    }

    #[test]
    fn forms_filter_and_have_their_transposes() {
        filters(ThreeTaps);
        filters(TwoTaps);
    }
}
