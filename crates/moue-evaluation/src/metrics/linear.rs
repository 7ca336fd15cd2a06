//! The little linear algebra that distances need, in f64 and on one thread: the same bits at any number of threads.
//! Matrices are row after row.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par, Side};
use moue::base::error::{Error, Result};
use rayon::prelude::*;

/// Rows of a product that are one task.
const ROWS: usize = 64;

/// `left right^T` of `[m, k]` and `[n, k]`: `[m, n]`. Threads share out whole rows.
pub(super) fn product(left: &[f64], right: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut output = vec![0.0; m * n];
    if output.is_empty() {
        return output;
    }
    let right = MatRef::from_row_major_slice(right, n, k).transpose();
    output.par_chunks_mut(ROWS * n).zip(left.par_chunks(ROWS * k.max(1))).for_each(|(output, left)| {
        let rows = output.len() / n;
        let left = MatRef::from_row_major_slice(left, rows, k);
        matmul(MatMut::from_row_major_slice_mut(output, rows, n), Accum::Replace, left, right, 1.0, Par::Seq);
    });
    output
}

/// The sum of the singular values of `[m, n]`.
///
/// # Errors
/// [`Error::Config`] when they cannot be found, for example of numbers that are not finite.
pub(super) fn nuclear_norm(matrix: &[f64], [m, n]: [usize; 2]) -> Result<f64> {
    if matrix.is_empty() {
        return Ok(0.0);
    }
    let values = MatRef::from_row_major_slice(matrix, m, n).singular_values();
    let sum = values.map(|values| values.iter().sum::<f64>()).map_err(|_| no_convergence())?;
    if sum.is_finite() { Ok(sum) } else { Err(no_convergence()) }
}

/// A factor F `[rank, d]` of a symmetric matrix S `[d, d]` without negative eigenvalues: F^T F = S. Eigenvalues within
/// rounding of 0, d times f64's epsilon times the largest, are 0: their roots would be a hundred million times larger.
///
/// # Errors
/// As [`nuclear_norm`].
pub(super) fn factor(matrix: &[f64], d: usize) -> Result<Vec<f64>> {
    let eigen = MatRef::from_row_major_slice(matrix, d, d)
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| no_convergence())?;
    let (values, vectors) = (eigen.S().column_vector(), eigen.U());
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(*value));
    let least = d as f64 * f64::EPSILON * largest;
    let mut factor = Vec::new();
    for (column, value) in values.iter().enumerate().filter(|(_, value)| **value > least) {
        let root = value.sqrt();
        factor.extend(vectors.col(column).iter().map(|entry| root * entry));
    }
    Ok(factor)
}

fn no_convergence() -> Error {
    Error::config("the features' covariances have no distance", "look for values that are not finite in them")
}
