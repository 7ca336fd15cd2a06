//! The products x . y of all pairs of vectors of two sets. Every distance between sets of features is made of them, so
//! once they are known a bootstrap looks at no feature again.

use std::ops::Range;

use rayon::prelude::*;

use super::features::Features;
use super::linear::product;

/// Vectors that go through the other ones together: one task.
const TILE: usize = 64;

/// Where products come from. Vectors are counted through: first those of the left set, then those of the right.
pub trait Pairs: Sync {
    /// How many vectors the two sets have.
    fn counts(&self) -> [usize; 2];

    /// Length of a vector.
    fn dimensions(&self) -> usize;

    /// The products of some vectors with all vectors, `[rows.len(), left + right]`.
    fn products(&self, rows: Range<usize>) -> Vec<f64>;

    /// Calls `each` with every vector's products with all vectors, on all threads, and returns what it returned in order.
    fn map_rows<T: Send>(&self, each: impl Fn(usize, &[f64]) -> T + Sync) -> Vec<T>
    where
        Self: Sized,
    {
        let total: usize = self.counts().iter().sum();
        let tiles: Vec<Vec<T>> = (0..total.div_ceil(TILE))
            .into_par_iter()
            .map(|tile| {
                let rows = tile * TILE..((tile + 1) * TILE).min(total);
                let products = self.products(rows.clone());
                rows.zip(products.chunks_exact(total)).map(|(row, products)| each(row, products)).collect()
            })
            .collect();
        tiles.into_iter().flatten().collect()
    }
}

/// Products that are computed when asked for: for sets whose [`Gram`] would fill the memory.
#[derive(Debug, Clone)]
pub struct Streamed {
    counts: [usize; 2],
    dimensions: usize,
    /// `[left + right, dimensions]`.
    values: Vec<f64>,
}

impl Streamed {
    /// The pairs of two sets.
    ///
    /// # Panics
    /// When their vectors differ in length.
    pub fn of(left: &Features, right: &Features) -> Self {
        assert_eq!(left.dimensions(), right.dimensions(), "features of one network");
        let values = left.values().iter().chain(right.values()).map(|value| f64::from(*value)).collect();
        Self { counts: [left.count(), right.count()], dimensions: left.dimensions(), values }
    }
}

impl Pairs for Streamed {
    fn counts(&self) -> [usize; 2] {
        self.counts
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn products(&self, rows: Range<usize>) -> Vec<f64> {
        let (d, total) = (self.dimensions, self.counts.iter().sum());
        product(&self.values[rows.start * d..rows.end * d], &self.values, [rows.len(), d, total])
    }
}

/// All products, kept: (left + right)^2 numbers of 8 bytes, 1.3 MB for 200 against 200 images.
#[derive(Debug, Clone)]
pub struct Gram {
    counts: [usize; 2],
    dimensions: usize,
    products: Vec<f64>,
}

impl Gram {
    /// The products of two sets.
    ///
    /// # Panics
    /// When their vectors differ in length.
    pub fn of(left: &Features, right: &Features) -> Self {
        let streamed = Streamed::of(left, right);
        let products = streamed.map_rows(|_, products| products.to_vec()).concat();
        Self { counts: streamed.counts, dimensions: streamed.dimensions, products }
    }

    /// The products of one vector with all.
    pub(super) fn row(&self, row: usize) -> &[f64] {
        let total: usize = self.counts.iter().sum();
        &self.products[row * total..][..total]
    }
}

impl Pairs for Gram {
    fn counts(&self) -> [usize; 2] {
        self.counts
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn products(&self, rows: Range<usize>) -> Vec<f64> {
        rows.flat_map(|row| self.row(row)).copied().collect()
    }
}

/// A bootstrap's draw: how often each cluster (a person, say) was drawn, and the cluster of each vector. Both sets share
/// the clusters, so the same people are drawn for both.
///
/// A pair of vectors of two clusters counts as often as the product of how often these were drawn. A pair within one
/// cluster counts as often as the cluster was drawn, and not the square of it: copies of a person are different people
/// in a draw, and no pair of a vector with its own copy is ever looked at. Otherwise every draw of a distance without
/// bias would have one.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// The cluster of each vector, left and right.
    pub clusters: [&'a [usize]; 2],
    /// How often each cluster was drawn.
    pub times: &'a [u32],
}

impl Draw<'_> {
    /// The weight of each vector, left and then right.
    pub(super) fn weights(&self) -> Vec<f64> {
        self.of_all().map(|cluster| f64::from(self.times[cluster])).collect()
    }

    /// The cluster of each vector, left and then right.
    pub(super) fn of_all(&self) -> impl Iterator<Item = usize> + '_ {
        self.clusters.iter().flat_map(|clusters| clusters.iter().copied())
    }

    /// # Panics
    /// When the draw is of other sets.
    pub(super) fn check(&self, counts: [usize; 2]) {
        assert_eq!(self.clusters.map(<[usize]>::len), counts, "a draw names the cluster of each vector");
    }
}
