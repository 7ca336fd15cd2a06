//! What an evaluation finds: numbers with how far they can be trusted.

use std::collections::BTreeMap;

use moue::base::expression::Expression;
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;

/// Something that is measured of a row, for each expression and over all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Fréchet inception distance to the real images.
    Fid,
    /// Kernel inception distance to the real images, times 1,000.
    Kid,
    /// Share of the results that look like a real image (Kynkäänniemi et al. 2019).
    Precision,
    /// Share of the real images that look like a result.
    Recall,
    /// How densely real images lie about the results (Naeem et al. 2020).
    Density,
    /// Share of the real images that have a result close by.
    Coverage,
    /// Share that face-api's classifier reads as the target.
    FaceApi,
    /// Share that fer's classifier reads as the target.
    Fer,
    /// Share of the contemptuous results whose mouth is askew by landmarks: moue's own figure, see [`crate::contempt`].
    Contempt,
    /// Median distance of identity between source and result, 0 to about 1.4; strangers are at 0.6 and more.
    Identity,
    /// 95th percentile of the same.
    Identity95,
    /// LPIPS to the person's true image.
    Lpips,
    /// Mean LPIPS between different people with one target: results that are all alike are close.
    Diversity,
    /// Mean absolute difference, 0 to 1, of the source and the result translated back to the source's expression.
    Reconstruction,
}

/// Metrics that stand in one table: all of them side by side are wider than a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Sets of results against sets of real images.
    Sets,
    /// What networks read in each face.
    Faces,
    /// How far images are apart.
    Images,
}

impl Group {
    /// All, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Sets, Self::Faces, Self::Images];

    /// What its metrics are of, for captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sets => "sets of results against real images",
            Self::Faces => "expression and identity read in each result",
            Self::Images => "how far images are apart",
        }
    }
}

impl Metric {
    /// Where it stands.
    pub fn group(self) -> Group {
        match self {
            Self::Fid | Self::Kid | Self::Precision | Self::Recall | Self::Density | Self::Coverage => {
                Group::Sets
            }
            Self::FaceApi | Self::Fer | Self::Contempt | Self::Identity | Self::Identity95 => Group::Faces,
            Self::Lpips | Self::Diversity | Self::Reconstruction => Group::Images,
        }
    }

    /// All, in the order of tables.
    pub const ALL: [Self; 14] = [
        Self::Fid,
        Self::Kid,
        Self::Precision,
        Self::Recall,
        Self::Density,
        Self::Coverage,
        Self::FaceApi,
        Self::Fer,
        Self::Contempt,
        Self::Identity,
        Self::Identity95,
        Self::Lpips,
        Self::Diversity,
        Self::Reconstruction,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fid => "FID",
            Self::Kid => "KID x1000",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::Density => "density",
            Self::Coverage => "coverage",
            Self::FaceApi => "face-api",
            Self::Fer => "fer",
            Self::Contempt => "contempt",
            Self::Identity => "identity",
            Self::Identity95 => "identity 95 %",
            Self::Lpips => "LPIPS",
            Self::Diversity => "diversity",
            Self::Reconstruction => "reconstruction",
        }
    }

    /// What it says, in a sentence for the foot of a table.
    pub fn about(self) -> &'static str {
        match self {
            Self::Fid => {
                "Fréchet inception distance between results and real images of the expression; of so few images it is far from 0 even for real ones: see `real`"
            }
            Self::Kid => {
                "kernel inception distance, unbiased, times 1,000; around 0 for two sets of one kind"
            }
            Self::Precision => "share of the results within the real images' neighbourhoods",
            Self::Recall => "share of the real images within the results' neighbourhoods",
            Self::Density => "how many real images' neighbourhoods a result lies in, over their usual number",
            Self::Coverage => "share of the real images with a result in their neighbourhood",
            Self::FaceApi => "share that face-api's classifier reads as the target (it knows no contempt)",
            Self::Fer => "share that fer's classifier reads as the target (it knows no contempt)",
            Self::Contempt => {
                "share of the contemptuous results with one corner of the mouth raised, by 68 landmarks: a figure of our own, for no free classifier knows contempt"
            }
            Self::Identity => {
                "median distance of face embeddings between source and result; below 0.6 is usually taken for one person"
            }
            Self::Identity95 => "95th percentile of the same",
            Self::Lpips => "perceptual distance to the person's true image of the expression",
            Self::Diversity => {
                "mean perceptual distance between results of different people; compare with `real`"
            }
            Self::Reconstruction => {
                "mean absolute difference of the source and the result translated back, 0 to 1"
            }
        }
    }

    /// Digits after the point in tables.
    pub fn digits(self) -> usize {
        match self {
            Self::Fid | Self::Kid => 2,
            Self::Lpips | Self::Diversity | Self::Reconstruction | Self::Identity | Self::Identity95 => 3,
            _ => 2,
        }
    }
}

/// A number and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The number.
    pub value: f64,
    /// Its 95 % interval over draws of people.
    pub interval: Option<[f64; 2]>,
    /// Its standard error over images, where the metric has one (KID).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// How many results it is of.
    pub count: usize,
}

/// The scores of some results.
pub type Scores = BTreeMap<Metric, Score>;

/// What a row is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Of {
    /// Real images of other people against the real images: what perfect results would score at this number of images.
    /// Figures of pairs compare the person's own true images.
    Real,
    /// The sources unchanged.
    Copy,
    /// A model's results.
    Model(Facts),
}

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Method: `sasn`.
    pub method: String,
    /// Side of its images in pixels.
    pub image_size: usize,
    /// The data set that it learned from.
    pub data: String,
    /// Batches seen.
    pub iteration: u64,
    /// Updates of each player.
    pub updates: BTreeMap<String, u64>,
    /// Whether these are the moving average's weights.
    pub averaged: bool,
    /// How strongly its edits were applied.
    pub strength: f32,
    /// Trainable parameters of the generator.
    pub parameters: usize,
    /// Results a second, in batches, on the device of the evaluation.
    pub images_per_second: f64,
    /// SHA-256 of its weights, hexadecimal.
    pub weights: String,
}

/// A row of a table: a model, or one of the two that every table has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name: that of the run's folder or the file, `real`, `copy`.
    pub name: String,
    /// What it is of.
    #[serde(flatten)]
    pub of: Of,
    /// Scores by expression.
    pub expressions: BTreeMap<Expression, Scores>,
    /// Scores over all expressions: of sets, of all images together; of classifiers, the mean over those of their seven
    /// classes that are judged; else of all results.
    pub overall: Scores,
    /// How often each target was read as each of the seven classes, by classifier; targets in the order of
    /// [`Expression::ALL`], classes in that of `networks::CLASSES`.
    pub confusion: BTreeMap<String, Vec<Vec<u64>>>,
}

impl Row {
    /// Scores of an expression, or over all.
    pub fn scores(&self, of: Option<Expression>) -> Option<&Scores> {
        match of {
            Some(expression) => self.expressions.get(&expression),
            None => Some(&self.overall),
        }
    }
}

/// Two models' kernel distances, the first's minus the second's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Names of two rows.
    pub rows: [String; 2],
    /// The expression; `None` over all.
    pub expression: Option<Expression>,
    /// The difference, times 1,000.
    pub value: f64,
    /// Its 95 % interval over draws of people, the same draws for both.
    pub interval: [f64; 2],
}

impl Difference {
    /// The name of the better row, where the interval excludes 0.
    pub fn better(&self) -> Option<&str> {
        let [low, high] = self.interval;
        match (high < 0.0, low > 0.0) {
            (true, _) => Some(&self.rows[0]),
            (_, true) => Some(&self.rows[1]),
            _ => None,
        }
    }
}

/// An evaluation of one or several models on the same images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Version of this format: 1.
    pub format: u32,
    /// Name of the data set.
    pub data: String,
    /// Who was judged.
    pub protocol: Protocol,
    /// The protocol in sentences.
    pub description: String,
    /// Side in pixels at which everything was compared.
    pub image_size: usize,
    /// Draws of people that the intervals are of.
    pub draws: usize,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// The rows: `real`, `copy`, and the models.
    pub rows: Vec<Row>,
    /// Kernel distances of every two models.
    pub differences: Vec<Difference>,
}

impl Evaluation {
    /// The metrics that some row has, in the order of tables.
    pub fn metrics(&self) -> Vec<Metric> {
        let has = |metric: &Metric| {
            self.rows.iter().any(|row| {
                row.overall.contains_key(metric) || row.expressions.values().any(|s| s.contains_key(metric))
            })
        };
        Metric::ALL.into_iter().filter(has).collect()
    }

    /// The expressions that some row has scores of.
    pub fn expressions(&self) -> Vec<Expression> {
        let has =
            |expression: &Expression| self.rows.iter().any(|row| row.expressions.contains_key(expression));
        Expression::ALL.into_iter().filter(has).collect()
    }

    /// Those of [`Self::metrics`] that stand in one table, with the table's group; groups that nothing was measured of
    /// are left out.
    pub fn groups(&self) -> Vec<(Group, Vec<Metric>)> {
        let of = |group| self.metrics().into_iter().filter(|metric| metric.group() == group).collect();
        let groups = Group::ALL.map(|group| (group, of(group)));
        groups.into_iter().filter(|(_, metrics): &(Group, Vec<Metric>)| !metrics.is_empty()).collect()
    }

    /// Whether a model's results are read as their targets no more often than the unchanged sources, as far as can be
    /// told.
    pub fn is_read_as_copy(&self, row: &Row) -> bool {
        let interval = |row: &Row| row.overall.get(&Metric::FaceApi).and_then(|score| score.interval);
        let copy = self.rows.iter().find(|row| matches!(row.of, Of::Copy)).and_then(interval);
        matches!((interval(row), copy), (Some([low, _]), Some([_, high])) if low <= high)
    }

    /// The expressions at which one model is better than another by kernel distances whose difference is told from 0;
    /// `None` stands for all together.
    pub fn better_at(&self, model: &str, other: &str) -> Vec<Option<Expression>> {
        let is_of_both = |d: &&Difference| d.rows == [model, other] || d.rows == [other, model];
        let won = self.differences.iter().filter(is_of_both).filter(|d| d.better() == Some(model));
        won.map(|difference| difference.expression).collect()
    }

    /// The rows of models.
    pub fn models(&self) -> impl Iterator<Item = (&Row, &Facts)> {
        self.rows.iter().filter_map(|row| match &row.of {
            Of::Model(facts) => Some((row, facts)),
            _ => None,
        })
    }
}
