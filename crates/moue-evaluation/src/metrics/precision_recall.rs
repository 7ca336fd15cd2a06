//! How many of the fakes look like reals, and how much of the reals the fakes reach.
//!
//! - Precision and recall: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models",
//!   arXiv 1904.06991, with k = 3: the share of one set's vectors that lie in a ball of the other set, whose balls reach
//!   to the k-th nearest neighbour of their own set.
//! - Density and coverage: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", arXiv
//!   2002.09797, with k = 5: how many balls of the reals a fake lies in, divided by k, and the share of the reals whose
//!   ball holds a fake.
//!
//! A ball includes its border, as in the first paper; the code of the second leaves it out. That differs only where
//! distances are equal: where images are copies of each other. Distances that differ by f64's rounding are equal.

use super::pairs::{Draw, Pairs};

/// Neighbours of precision and recall.
pub const NEIGHBOURS: usize = 3;

/// Neighbours of density and coverage.
pub const WIDE_NEIGHBOURS: usize = 5;

/// Relative differences below this are rounding: far above that of a sum of thousands of products, 1e-13, and far below
/// what two different images make.
const ROUNDING: f64 = 1e-11;

/// The four scores; each is `None` where a set has too few vectors: no more than it takes neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Share of the fakes that look like a real, 0..1.
    pub precision: Option<f64>,
    /// Share of the reals that look like a fake, 0..1.
    pub recall: Option<f64>,
    /// How densely reals lie around the fakes: 1 on average for equal distributions, above 1 where fakes keep to where
    /// reals are many.
    pub density: Option<f64>,
    /// Share of the reals that have a fake in their neighbourhood, 0..1.
    pub coverage: Option<f64>,
}

/// What each vector adds to the scores, so that a bootstrap weighs them and looks at no distance again.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbourhoods {
    /// For each fake: whether it lies in a real's ball.
    precise: Option<Vec<f64>>,
    /// For each real: whether it lies in a fake's ball.
    recalled: Option<Vec<f64>>,
    /// For each fake: in how many balls of reals it lies, divided by k.
    dense: Option<Vec<f64>>,
    /// For each real: whether its ball holds a fake.
    covered: Option<Vec<f64>>,
}

impl Neighbourhoods {
    /// Of pairs whose left set are the reals and whose right set are the fakes.
    pub fn of(pairs: &impl Pairs) -> Self {
        let [reals, fakes] = pairs.counts();
        let squares: Vec<f64> = pairs.map_rows(|row, products| products[row]);
        let radii = pairs.map_rows(|row, products| {
            let own = if row < reals { 0..reals } else { reals..reals + fakes };
            let others = own.filter(|&column| column != row);
            let mut distances: Vec<f64> =
                others.map(|column| distance(&squares, products, row, column)).collect();
            distances.sort_unstable_by(f64::total_cmp);
            [NEIGHBOURS, WIDE_NEIGHBOURS].map(|k| distances.get(k - 1).copied())
        });
        let seen = pairs.map_rows(|row, products| {
            let others = if row < reals { reals..reals + fakes } else { 0..reals };
            let mut seen = Seen::default();
            for column in others {
                let distance = distance(&squares, products, row, column);
                let within =
                    |radius: Option<f64>| radius.is_some_and(|radius| distance <= radius * (1.0 + ROUNDING));
                seen.in_ball |= within(radii[column][0]);
                seen.wide_balls += usize::from(within(radii[column][1]));
                seen.holds_one |= within(radii[row][1]);
            }
            seen
        });
        let (real, fake) = seen.split_at(reals);
        let list = |least: usize, count: usize, seen: &[Seen], value: fn(&Seen) -> f64| {
            (count > least && !seen.is_empty()).then(|| seen.iter().map(value).collect::<Vec<_>>())
        };
        Self {
            precise: list(NEIGHBOURS, reals, fake, |seen| f64::from(u8::from(seen.in_ball))),
            recalled: list(NEIGHBOURS, fakes, real, |seen| f64::from(u8::from(seen.in_ball))),
            dense: list(WIDE_NEIGHBOURS, reals, fake, |seen| seen.wide_balls as f64 / WIDE_NEIGHBOURS as f64),
            covered: list(WIDE_NEIGHBOURS, reals, real, |seen| f64::from(u8::from(seen.holds_one))),
        }
    }

    /// The scores of all vectors, or of a bootstrap's draw: the neighbourhoods stay those of all vectors, for copies of a
    /// vector would be each other's nearest neighbours.
    ///
    /// # Panics
    /// When the draw is of other sets.
    pub fn scores(&self, draw: Option<Draw<'_>>) -> Scores {
        let mean = |values: &Option<Vec<f64>>, side: usize| {
            let values = values.as_ref()?;
            let weight = |n: usize| draw.map_or(1.0, |draw| f64::from(draw.times[draw.clusters[side][n]]));
            if let Some(draw) = draw {
                assert_eq!(
                    draw.clusters[side].len(),
                    values.len(),
                    "a draw names the cluster of each vector"
                );
            }
            let total: f64 = (0..values.len()).map(weight).sum();
            let sum: f64 = values.iter().enumerate().map(|(n, value)| weight(n) * value).sum();
            (total > 0.0).then(|| sum / total)
        };
        Scores {
            precision: mean(&self.precise, 1),
            recall: mean(&self.recalled, 0),
            density: mean(&self.dense, 1),
            coverage: mean(&self.covered, 0),
        }
    }
}

/// Where a vector lies among the balls of the other set.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    in_ball: bool,
    wide_balls: usize,
    holds_one: bool,
}

/// The squared distance of two vectors; exactly 0 for equal ones.
fn distance(squares: &[f64], products: &[f64], row: usize, column: usize) -> f64 {
    let sum = squares[row] + squares[column];
    let distance = sum - 2.0 * products[column];
    if distance > ROUNDING * sum { distance } else { 0.0 }
}
