//! A set of feature vectors.

use moue::base::error::{Error, Result};

/// Feature vectors of some images, `[count, dimensions]`, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    dimensions: usize,
    values: Vec<f32>,
}

impl Features {
    /// `values` holds vector after vector.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first vector with a value that is not finite.
    ///
    /// # Panics
    /// When `dimensions` is 0 or does not divide the number of values.
    pub fn new(dimensions: usize, values: Vec<f32>) -> Result<Self> {
        assert!(dimensions > 0 && values.len().is_multiple_of(dimensions), "whole vectors");
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Self { dimensions, values }),
            Some(at) => {
                let (row, value) = (at / dimensions, values[at]);
                let problem = format!("feature vector {row}, counted from 0, holds {value}");
                Err(Error::config(problem, "look at that image: what made it did not work"))
            }
        }
    }

    /// Number of vectors.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Length of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// All values, vector after vector.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One vector.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dimensions..][..self.dimensions]
    }

    /// The vectors of some indices, in their order; one may occur again.
    ///
    /// # Panics
    /// When an index lies outside.
    pub fn select(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&index| self.row(index)).copied().collect();
        Self { dimensions: self.dimensions, values }
    }
}
