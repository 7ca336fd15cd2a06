//! The Fréchet distance between two sets of features, taken as Gaussians (Heusel et al., arXiv 1706.08500, equation 6;
//! Dowson and Landau 1982): |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1^1/2 S2 S1^1/2).
//!
//! The last trace is the sum of the singular values of F1 F2^T for any factors with F^T F = S. That is never complex
//! and never NaN, and nothing is added to a covariance of low rank. With fewer vectors than dimensions the centred
//! vectors themselves are such factors, and the matrix is only as large as there are vectors.

use moue::base::error::{Error, Result};

use super::features::Features;
use super::linear::{factor, nuclear_norm, product};
use super::pairs::{Draw, Gram, Pairs};
use super::statistics::Statistics;

/// The distance between two sets of features, whichever way is the cheaper.
///
/// # Errors
/// [`Error::Config`] when a set has fewer than two vectors, or they differ in length.
pub fn of_features(left: &Features, right: &Features) -> Result<f64> {
    if left.dimensions() == right.dimensions() && left.count().max(right.count()) <= left.dimensions() {
        return of_pairs(&Gram::of(left, right), None);
    }
    of_statistics(&Statistics::of(left, None)?, &Statistics::of(right, None)?)
}

/// The distance between two sets whose statistics are known.
///
/// # Errors
/// [`Error::Config`] when they are of different networks, resizes or lengths, or their covariances cannot be factored.
pub fn of_statistics(left: &Statistics, right: &Statistics) -> Result<f64> {
    left.check_origin(right)?;
    let d = left.dimensions();
    let (first, second) = rayon::join(|| factor(&left.scatter, d), || factor(&right.scatter, d));
    let (first, second) = (first?, second?);
    let (m, n) = (first.len() / d, second.len() / d);
    let divisors = [left, right].map(Statistics::divisor);
    let trace = |statistics: &Statistics| statistics.scatter.iter().step_by(d + 1).sum::<f64>();
    let apart: f64 = left.mean.iter().zip(&right.mean).map(|(left, right)| (left - right).powi(2)).sum();
    let spread = trace(left) / divisors[0] + trace(right) / divisors[1];
    let common = nuclear_norm(&product(&first, &second, [m, d, n]), [m, n])?;
    Ok(distance(apart, spread, common / (divisors[0] * divisors[1]).sqrt()))
}

/// The distance between two sets whose products are known; of a bootstrap's draw of them, where one is given. Costs as
/// much as the singular values of a matrix with a row and a column for each vector that was drawn.
///
/// # Errors
/// [`Error::Config`] when a set has fewer than two vectors.
pub fn of_pairs(gram: &Gram, draw: Option<Draw<'_>>) -> Result<f64> {
    let weights = draw.map_or_else(|| vec![1.0; gram.counts().iter().sum()], |draw| draw.weights());
    if let Some(draw) = draw {
        draw.check(gram.counts());
    }
    let (left, right) = weights.split_at(gram.counts()[0]);
    let totals = [left, right].map(|weights| weights.iter().sum::<f64>());
    if totals.iter().any(|&total| total < 2.0) {
        let problem =
            format!("the Fréchet distance of {} and {} images is not defined", totals[0], totals[1]);
        return Err(Error::config(problem, "compare two images at least on each side"));
    }
    let first = Centred::of(gram, left, 0, totals[0]);
    let second = Centred::of(gram, right, left.len(), totals[1]);
    let crossed = first.product_of_means(&second);
    let apart = first.product_of_means(&first) - 2.0 * crossed + second.product_of_means(&second);
    let divisors = totals.map(|total| total - 1.0);
    let spread = first.scatter(gram) / divisors[0] + second.scatter(gram) / divisors[1];
    let common =
        nuclear_norm(&first.products(&second, gram, crossed), [first.rows.len(), second.rows.len()])?;
    Ok(distance(apart, spread, common / (divisors[0] * divisors[1]).sqrt()))
}

/// Rounding can leave two equal sets a hair below 0.
fn distance(apart: f64, spread: f64, common: f64) -> f64 {
    (apart + spread - 2.0 * common).max(0.0)
}

/// A weighted set of vectors around its mean, of which only the products are known.
struct Centred {
    /// Those that were drawn: place among all vectors, weight.
    rows: Vec<(usize, f64)>,
    total: f64,
    /// The product of the mean with each of all vectors.
    mean: Vec<f64>,
}

impl Centred {
    fn of(gram: &Gram, weights: &[f64], start: usize, total: f64) -> Self {
        let rows: Vec<_> =
            weights.iter().enumerate().filter(|(_, w)| **w > 0.0).map(|(n, &w)| (start + n, w)).collect();
        let mut mean = vec![0.0; gram.counts().iter().sum()];
        for &(row, weight) in &rows {
            mean.iter_mut().zip(gram.row(row)).for_each(|(sum, product)| *sum += weight / total * product);
        }
        Self { rows, total, mean }
    }

    fn product_of_means(&self, other: &Self) -> f64 {
        self.rows.iter().map(|&(row, weight)| weight / self.total * other.mean[row]).sum()
    }

    /// The trace of the scatter.
    fn scatter(&self, gram: &Gram) -> f64 {
        let squares: f64 = self.rows.iter().map(|&(row, weight)| weight * gram.row(row)[row]).sum();
        squares - self.total * self.product_of_means(self)
    }

    /// The products of all centred vectors, each times the root of its weight.
    fn products(&self, other: &Self, gram: &Gram, crossed: f64) -> Vec<f64> {
        let roots: Vec<f64> = other.rows.iter().map(|(_, weight)| weight.sqrt()).collect();
        let row = |&(row, weight): &(usize, f64)| {
            let (products, root, own) = (gram.row(row), weight.sqrt(), other.mean[row]);
            let entry = move |(&(column, _), others): (&(usize, f64), &f64)| {
                root * others * (products[column] - own - self.mean[column] + crossed)
            };
            other.rows.iter().zip(&roots).map(entry).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(row).collect()
    }
}
