//! Mean and scatter of features: all that the Fréchet distance needs. They merge exactly and are saved as one file.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use moue::base::error::{Error, Result};
use moue::base::file::{FileSystem, write_whole};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::features::Features;
use super::linear::product;
use super::npz;

/// The single key of the file's metadata; it holds JSON. One key, since the order of several is random.
const METADATA_KEY: &str = "moue";

/// Mean and scatter of some feature vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Number of vectors, where it is known: pytorch-fid's files do not say.
    pub count: Option<u64>,
    /// Which network and resize the features come from, where it is known.
    pub origin: Option<String>,
    /// `[d]`.
    pub mean: Vec<f64>,
    /// Sum of the squares of what is left without the mean, `[d, d]`; the covariance where the count is unknown.
    pub scatter: Vec<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    statistics: u32,
    count: Option<u64>,
    origin: Option<String>,
}

impl Statistics {
    /// The statistics of features, in two passes.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two vectors.
    pub fn of(features: &Features, origin: Option<String>) -> Result<Self> {
        let (count, d) = (features.count(), features.dimensions());
        if count < 2 {
            let problem = format!("{count} feature vectors have no covariance");
            return Err(Error::config(problem, "compare two images at least on each side"));
        }
        let mean = mean(features);
        // Transposed: [d, count], so that a product's rows are features.
        let mut centred = vec![0.0; count * d];
        for (n, row) in features.values().chunks_exact(d).enumerate() {
            for (k, value) in row.iter().enumerate() {
                centred[k * count + n] = f64::from(*value) - mean[k];
            }
        }
        let scatter = product(&centred, &centred, [d, count, d]);
        Ok(Self { count: Some(count as u64), origin, mean, scatter })
    }

    /// Length of the vectors.
    pub fn dimensions(&self) -> usize {
        self.mean.len()
    }

    /// What the scatter is divided by to be the covariance: count - 1.
    pub(super) fn divisor(&self) -> f64 {
        self.count.map_or(1.0, |count| count.saturating_sub(1) as f64)
    }

    /// The statistics of both sets of vectors together, as Chan, Golub and LeVeque merge them ("Updating Formulae and a
    /// Pairwise Algorithm for Computing Sample Variances", 1979): equal to those of all vectors but for f64's rounding.
    ///
    /// # Errors
    /// [`Error::Config`] when a count is unknown, or they are of different networks, resizes or lengths.
    pub fn merge(mut self, other: &Self) -> Result<Self> {
        self.check_origin(other)?;
        let (Some(own), Some(others)) = (self.count, other.count) else {
            let problem = "statistics of an unknown number of images cannot be merged";
            return Err(Error::config(problem, "compute them again with moue fid --save-statistics"));
        };
        let total = own + others;
        let share = others as f64 / total as f64;
        let apart: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(other, own)| other - own).collect();
        let d = self.dimensions();
        for (row, line) in self.scatter.chunks_exact_mut(d).enumerate() {
            let factor = own as f64 * share * apart[row];
            for (column, value) in line.iter_mut().enumerate() {
                *value += other.scatter[row * d + column] + factor * apart[column];
            }
        }
        self.mean.iter_mut().zip(&apart).for_each(|(mean, apart)| *mean += share * apart);
        self.count = Some(total);
        Ok(self)
    }

    /// # Errors
    /// [`Error::Config`] when the two are known to be of different networks, resizes or lengths.
    pub fn check_origin(&self, other: &Self) -> Result<()> {
        if self.dimensions() != other.dimensions() {
            let problem = format!(
                "features of {} and of {} numbers have no distance",
                self.dimensions(),
                other.dimensions()
            );
            return Err(Error::config(problem, "take statistics of pool3, of 2048 numbers, on both sides"));
        }
        match (&self.origin, &other.origin) {
            (Some(own), Some(others)) if own != others => Err(Error::config(
                format!("the statistics are of different networks or resizes: {own}; {others}"),
                "compute one of them again with the settings of the other",
            )),
            _ => Ok(()),
        }
    }

    /// Writes a safetensors file, whole or not at all: `mean`, `scatter` in f64. The same statistics give the same bytes.
    ///
    /// # Errors
    /// [`Error::Write`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        let metadata = Metadata { statistics: 1, count: self.count, origin: self.origin.clone() };
        let file = || -> std::io::Result<Vec<u8>> {
            let text = serde_json::to_string(&metadata)?;
            let [mean, scatter] =
                [&self.mean, &self.scatter].map(|v| v.iter().flat_map(|x| x.to_le_bytes()).collect());
            let (mean, scatter): (Vec<u8>, Vec<u8>) = (mean, scatter);
            let d = self.dimensions();
            let views = [
                ("mean", TensorView::new(Dtype::F64, vec![d], &mean).map_err(std::io::Error::other)?),
                (
                    "scatter",
                    TensorView::new(Dtype::F64, vec![d, d], &scatter).map_err(std::io::Error::other)?,
                ),
            ];
            let metadata = HashMap::from([(METADATA_KEY.to_string(), text)]);
            safetensors::serialize(views, Some(metadata)).map_err(std::io::Error::other)
        };
        write_whole(&FileSystem, path, |output| output.write_all(&file()?))
    }

    /// Reads what [`Self::save`] wrote, or pytorch-fid's `.npz` with `mu` and `sigma`.
    ///
    /// # Errors
    /// [`Error::Read`] when the file cannot be read; [`Error::Data`] when it holds something else or is not finite.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::read(path))?;
        let read = if bytes.starts_with(b"PK") { read_npz(&bytes) } else { Self::read(&bytes) };
        let wrong = |problem: String| {
            let hint =
                "name a folder, a manifest, a file of moue fid --save-statistics or pytorch-fid's .npz";
            Error::data(path, format!("these are no statistics of features ({problem})"), hint)
        };
        let statistics = read.map_err(wrong)?;
        let (d, values) = (statistics.dimensions(), &statistics.scatter);
        if d == 0 || values.len() != d * d {
            return Err(wrong(format!("a mean of {d} and a covariance of {} numbers", values.len())));
        }
        if !values.iter().chain(&statistics.mean).all(|value| value.is_finite()) {
            return Err(wrong("some of the numbers are not finite".to_string()));
        }
        Ok(statistics)
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let text =
            header.metadata().as_ref().and_then(|map| map.get(METADATA_KEY).cloned()).unwrap_or_default();
        let metadata: Metadata =
            serde_json::from_str(&text).map_err(|_| "the file says nothing of statistics".to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let numbers = |name: &str| -> Result<Vec<f64>, String> {
            let view = file.tensor(name).map_err(|error| error.to_string())?;
            match view.dtype() {
                Dtype::F64 => Ok(npz::doubles(view.data())),
                other => Err(format!("{name} is {other:?}")),
            }
        };
        let (mean, scatter) = (numbers("mean")?, numbers("scatter")?);
        if metadata.count.is_some_and(|count| count < 2) {
            return Err("they are of fewer than two images".to_string());
        }
        Ok(Self { count: metadata.count, origin: metadata.origin, mean, scatter })
    }
}

fn read_npz(bytes: &[u8]) -> Result<Statistics, String> {
    let ([mu, sigma], count) = (npz::read(bytes, ["mu", "sigma"])?, None);
    Ok(Statistics { count, origin: None, mean: mu, scatter: sigma })
}

/// The mean vector.
pub(super) fn mean(features: &Features) -> Vec<f64> {
    let mut mean = vec![0.0; features.dimensions()];
    for row in features.values().chunks_exact(features.dimensions()) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    mean.iter_mut().for_each(|sum| *sum /= features.count() as f64);
    mean
}
