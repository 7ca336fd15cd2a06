//! The kernel inception distance (Binkowski et al., "Demystifying MMD GANs", arXiv 1801.01401): the unbiased estimate
//! of the squared maximum mean discrepancy with the kernel (x . y / d + 1)^3.
//!
//! All pairs are used instead of the paper's random subsets: nothing is drawn, and at some hundred images nothing is
//! thrown away. The standard error is the jackknife's over images, both sets by themselves: it comes from the sums of
//! the kernel's rows, which are there anyway, and needs no assumption about the features.

use super::pairs::{Draw, Pairs};

/// The kernel distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelDistance {
    /// The squared discrepancy; below 0 by chance where there is none.
    pub value: f64,
    /// Its standard error, where both sets have three vectors at least.
    pub error: Option<f64>,
}

/// The kernel distance of two sets, if each has two vectors at least.
pub fn of_pairs(pairs: &impl Pairs) -> Option<KernelDistance> {
    let [m, n] = pairs.counts();
    if m < 2 || n < 2 {
        return None;
    }
    let kernel = kernel(pairs.dimensions());
    let rows = pairs.map_rows(|row, products| {
        let (left, right) = products.split_at(m);
        let sum = |products: &[f64]| products.iter().map(|product| kernel(*product)).sum::<f64>();
        (sum(left), sum(right), kernel(products[row]))
    });
    // A vector's pairs with the others of its own set, and with those of the other set.
    let own: Vec<f64> = rows
        .iter()
        .enumerate()
        .map(|(n, (l, r, itself))| if n < m { l - itself } else { r - itself })
        .collect();
    let others: Vec<f64> =
        rows.iter().enumerate().map(|(n, (l, r, _))| if n < m { *r } else { *l }).collect();
    let sums = [own[..m].iter().sum(), own[m..].iter().sum(), others[..m].iter().sum()];
    let value = estimate(sums, [m as f64, n as f64]);
    let without = |index: usize| {
        let (less_own, less_others) = (2.0 * own[index], others[index]);
        if index < m {
            estimate([sums[0] - less_own, sums[1], sums[2] - less_others], [m as f64 - 1.0, n as f64])
        } else {
            estimate([sums[0], sums[1] - less_own, sums[2] - less_others], [m as f64, n as f64 - 1.0])
        }
    };
    let variance = |range: std::ops::Range<usize>| {
        let count = range.len() as f64;
        let estimates: Vec<f64> = range.map(without).collect();
        let mean = estimates.iter().sum::<f64>() / count;
        (count - 1.0) / count * estimates.iter().map(|estimate| (estimate - mean).powi(2)).sum::<f64>()
    };
    let error = (m > 2 && n > 2).then(|| (variance(0..m) + variance(m..m + n)).sqrt());
    Some(KernelDistance { value, error })
}

/// The kernel distance of a bootstrap's draw, in which each pair counts as [`Draw`] says. `None` where a set has no two
/// vectors.
///
/// # Panics
/// When the draw is of other sets.
pub fn of_draw(pairs: &impl Pairs, draw: Draw<'_>) -> Option<f64> {
    draw.check(pairs.counts());
    let (m, kernel) = (pairs.counts()[0], kernel(pairs.dimensions()));
    let clusters: Vec<usize> = draw.of_all().collect();
    let times = |cluster: usize| f64::from(draw.times[cluster]);
    // For each vector: weight and weighted kernel of its pairs with the left and with the right set.
    let rows = pairs.map_rows(|row, products| {
        let mut sums = [[0.0; 2]; 2];
        if draw.times[clusters[row]] == 0 {
            return sums;
        }
        for (column, product) in products.iter().enumerate().filter(|(column, _)| *column != row) {
            let (own, other) = (clusters[row], clusters[column]);
            let weight = if own == other { times(own) } else { times(own) * times(other) };
            let [weights, kernels] = &mut sums[usize::from(column >= m)];
            *weights += weight;
            *kernels += weight * kernel(*product);
        }
        sums
    });
    let mean = |rows: &[[[f64; 2]; 2]], side: usize| {
        let (weights, kernels) =
            rows.iter().fold((0.0, 0.0), |(w, k), row| (w + row[side][0], k + row[side][1]));
        (weights > 0.0).then(|| kernels / weights)
    };
    Some(mean(&rows[..m], 0)? + mean(&rows[m..], 1)? - 2.0 * mean(&rows[..m], 1)?)
}

/// (x . y / d + 1)^3, by x . y.
fn kernel(dimensions: usize) -> impl Fn(f64) -> f64 {
    move |product| (product / dimensions as f64 + 1.0).powi(3)
}

/// The estimate, from the sums over the pairs of the left set, of the right set, and of both.
fn estimate([left, right, both]: [f64; 3], [m, n]: [f64; 2]) -> f64 {
    left / (m * (m - 1.0)) + right / (n * (n - 1.0)) - 2.0 * both / (m * n)
}
